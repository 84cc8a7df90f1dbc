"""Graphs of functional models: ancestors, cuts, reproducible names."""

import keras
import numpy as np
import pytest

from tests.conftest import conv_net
from tltk.foundation import keras_graph as graph


def test_what_leads_to_a_layer_includes_itself_and_every_branch():
    pixels = keras.Input((8, 8, 3), name="pixels")
    left, right = keras.layers.Conv2D(2, 1, name="left")(pixels), keras.layers.Conv2D(2, 1, name="right")(pixels)
    model = keras.Model(pixels, keras.layers.ReLU(name="end")(keras.layers.Add(name="sum")([left, right])))
    order = graph.nodes(model)
    assert graph.leading_to(order, "sum") == {"sum", "left", "right", "pixels"}
    assert graph.leading_to(order, "nowhere") == set()
    assert [node.operation.name for node in graph.cuts(order)] == ["pixels", "sum", "end"]


def test_a_shared_layer_is_followed_only_inside_the_model():
    net = conv_net()
    other = keras.Input((16, 16, 3), name="other")
    flat = keras.Model(other, net.call(other))
    assert "pixels" not in graph.leading_to(graph.nodes(flat), "conv3_relu")
    assert "other" in graph.leading_to(graph.nodes(flat), "conv3_relu")


def test_automatic_names_do_not_depend_on_what_was_built_before():
    def build():
        pixels = keras.Input((8, 8, 3))
        x = keras.layers.ReLU()(keras.layers.Conv2D(2, 1)(pixels))
        x = x + keras.layers.Conv2D(2, 1, name="given")(keras.layers.Conv2D(2, 1)(x))
        return keras.Model(pixels, x)

    build()
    model = build()
    assert "conv2d_2" in {operation.name for operation in model.operations}
    graph.rename_automatic(model)
    assert {operation.name for operation in model.operations} == {
        "input_layer", "conv2d", "re_lu", "conv2d_1", "given", "add"
    }  # fmt: skip


def test_what_is_put_on_a_model_gets_names_that_the_model_does_not_have():
    net = conv_net()
    x = keras.layers.Conv2D(2, 1, name="conv3_conv")(net.output)
    x = keras.layers.Conv2D(2, 1, name="conv3_conv")(keras.layers.ReLU()(x)) * 2.0
    calls = graph.name_added(net, x)
    assert [call.operation.name for call in calls] == ["conv3_conv_1", "re_lu", "conv3_conv_2", "multiply"]
    assert [operation.name for operation in graph.behind([net.output], calls)] == [
        call.operation.name for call in calls
    ]
    assert keras.Model(net.input, x).get_layer("conv3_conv_1").weights[0].path == "conv3_conv_1/kernel"


def test_calls_behind_a_tensor_come_in_order_and_each_once():
    x = keras.Input((3,), name="x")
    dense = keras.layers.Dense(3, name="dense")
    low = dense(x)
    out = keras.layers.Add(name="add")([dense(low), low])
    assert [node.operation.name for node in graph.calls_behind([out, low])] == ["x", "dense", "dense", "add"]
    assert [node.operation.name for node in graph.calls_behind([out], until=[low])] == ["dense", "add"]


def test_what_is_made_of_a_tensor_leaves_out_what_is_not():
    x = keras.Input((3,), name="x")
    mask = keras.layers.ReLU(name="mask")(x)
    feature = keras.layers.Dense(3, name="feature")(x)
    out = keras.layers.Multiply(name="head")([mask, feature])
    nodes = graph.nodes(keras.Model(x, out))
    assert [operation.name for operation in graph.behind([feature], nodes)] == ["head"]


def test_a_renamed_model_saves_and_loads(tmp_path):
    keras.layers.Conv2D(1, 1)
    pixels = keras.Input((8, 8, 3))
    model = keras.Model(pixels, keras.layers.Conv2D(2, 1)(pixels))
    graph.rename_automatic(model)
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").get_layer("conv2d").filters == 2


def test_a_fingerprint_is_of_what_is_computed_and_not_of_names():
    def net(name, units=3):
        pixels = keras.Input((4,), name=f"{name}_in")
        x = keras.layers.Dense(units, kernel_initializer="ones", name=name)(pixels)
        return keras.Model(pixels, x * 2.0 + pixels[:, :1])

    first, again, wider = net("a"), net("b"), net("c", units=4)
    assert graph.fingerprint(first) == graph.fingerprint(again)
    assert graph.fingerprint(first) != graph.fingerprint(wider)
    again.layers[1].kernel.assign(again.layers[1].kernel * 1.5)
    assert graph.fingerprint(first) != graph.fingerprint(again)


def test_a_fingerprint_knows_how_operations_are_joined():
    def net(turned):
        pixels = keras.Input((4,))
        parts = [keras.layers.ReLU()(pixels), keras.layers.Softmax()(pixels)]
        return keras.Model(pixels, keras.ops.subtract(*(parts[::-1] if turned else parts)))

    assert graph.fingerprint(net(False)) != graph.fingerprint(net(True))


def test_a_fingerprint_knows_what_an_operation_reads_where_their_order_is_the_same():
    def net(deep):
        pixels = keras.Input((4,))
        first = keras.layers.ReLU()(pixels)
        second = keras.layers.Softmax()(first if deep else pixels)
        return keras.Model(pixels, keras.ops.subtract(first, second))

    assert graph.fingerprint(net(False)) != graph.fingerprint(net(True))


def test_automatic_names_are_counted_within_their_siblings():
    counts = {}
    layers = [keras.layers.Dense(1), keras.layers.Dense(1, name="own"), keras.layers.Dense(1), keras.layers.ReLU()]
    assert [graph.counted_anew(layer, counts) for layer in layers] == ["dense", "own", "dense_1", "re_lu"]


def test_a_fingerprint_sees_the_middle_of_a_large_constant():
    def net(change):
        constant = np.zeros(3000, "float32")
        constant[1500] = change
        pixels = keras.Input((3000,))
        return keras.Model(pixels, keras.ops.multiply(pixels, constant))

    assert graph.fingerprint(net(1.0)) != graph.fingerprint(net(2.0))


def test_a_fingerprint_sees_the_precision_strides_and_activation_of_a_layer():
    def build(**options):
        pixels = keras.Input((8, 8, 3))
        layer = keras.layers.Conv2D(2, 2, kernel_initializer="ones", **options)
        return graph.fingerprint(keras.Model(pixels, keras.ops.cast(layer(pixels), "float32")))

    changes = ({}, {"dtype": "mixed_bfloat16"}, {"strides": 2}, {"activation": "relu"}, {"padding": "same"})
    assert len({build(**change) for change in changes}) == len(changes)
    assert build() == build()


def of_layer(layer):
    pixels = keras.Input((4,))
    return graph.fingerprint(keras.Model(pixels, layer(pixels)))


class Own(keras.layers.Layer):
    """A layer of somebody's own, with a number in its configuration."""

    def __init__(self, by=2, **options):
        super().__init__(**options)
        self.by = by

    def call(self, x):
        return x * self.by

    def get_config(self):
        return {**super().get_config(), "by": self.by}


class Composite(keras.layers.Layer):
    """A layer that holds another one."""

    def __init__(self, inner, **options):
        super().__init__(**options)
        self.inner = inner

    def call(self, x):
        return self.inner(x)

    def get_config(self):
        return super().get_config()


def test_a_fingerprint_sees_the_configuration_of_own_layers_and_not_their_names():
    assert of_layer(Own(2, name="a")) == of_layer(Own(2, name="b"))
    assert of_layer(Own(2)) != of_layer(Own(3))


@pytest.mark.parametrize("wrap", [lambda layer: layer, Composite], ids=["itself", "within another"])
def test_the_cache_version_of_an_own_layer_changes_the_fingerprint(wrap):
    def with_version(version):
        layer = type("Own", (Own,), {"cache_version": version})()
        return of_layer(wrap(layer))

    assert with_version(1) == with_version(1)
    assert with_version(1) != with_version(2)
    assert with_version(1) != of_layer(wrap(Own()))


def test_the_code_of_an_own_layer_does_not_change_the_fingerprint():
    other = type("Own", (Own,), {"call": lambda self, x: x * self.by + 1})
    assert of_layer(other()) == of_layer(Own())


def test_a_layer_without_a_configuration_has_no_fingerprint():
    class Silent(keras.layers.Layer):
        def __init__(self, function, **options):
            super().__init__(**options)
            self.function = function

        def call(self, x):
            return self.function(x)

    with pytest.raises(ValueError, match=r"layer 'mine' cannot be cached.*Give the layer a `get_config`"):
        of_layer(Silent(lambda x: x, name="mine"))
