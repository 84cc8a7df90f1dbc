"""Graphs of functional models: ancestors, cuts, reproducible names, fingerprints."""

import keras
import numpy as np
import pytest

from tests.conftest import conv_net
from tltk.foundation import keras_graph as graph


def test_ancestors_of_a_layer_include_itself_and_every_branch():
    pixels = keras.Input((8, 8, 3), name="pixels")
    left, right = keras.layers.Conv2D(2, 1, name="left")(pixels), keras.layers.Conv2D(2, 1, name="right")(pixels)
    model = keras.Model(pixels, keras.layers.ReLU(name="end")(keras.layers.Add(name="sum")([left, right])))
    order = graph.nodes(model)
    assert graph.ancestors(order, "sum") == {"sum", "left", "right", "pixels"}
    assert graph.ancestors(order, "missing") == set()
    assert [node.operation.name for node in graph.cut_nodes(order)] == ["pixels", "sum", "end"]


def test_ancestors_of_a_shared_layer_are_only_those_inside_the_model():
    net = conv_net()
    other = keras.Input((16, 16, 3), name="other")
    flat = keras.Model(other, net.call(other))
    assert "pixels" not in graph.ancestors(graph.nodes(flat), "conv3_relu")
    assert "other" in graph.ancestors(graph.nodes(flat), "conv3_relu")


def test_automatic_names_do_not_depend_on_models_built_before():
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


def test_operations_added_to_a_model_get_unused_names():
    net = conv_net()
    x = keras.layers.Conv2D(2, 1, name="conv3_conv")(net.output)
    x = keras.layers.Conv2D(2, 1, name="conv3_conv")(keras.layers.ReLU()(x)) * 2.0
    added = graph.rename_added(net, x)
    assert [node.operation.name for node in added] == ["conv3_conv_1", "re_lu", "conv3_conv_2", "multiply"]
    assert [operation.name for operation in graph.descendants([net.output], added)] == [
        node.operation.name for node in added
    ]
    assert keras.Model(net.input, x).get_layer("conv3_conv_1").weights[0].path == "conv3_conv_1/kernel"


def test_ancestor_nodes_of_tensors_are_listed_once_in_topological_order():
    x = keras.Input((3,), name="x")
    dense = keras.layers.Dense(3, name="dense")
    low = dense(x)
    out = keras.layers.Add(name="add")([dense(low), low])
    assert [node.operation.name for node in graph.ancestor_nodes([out, low])] == ["x", "dense", "dense", "add"]
    assert [node.operation.name for node in graph.ancestor_nodes([out], until=[low])] == ["dense", "add"]


def test_descendants_of_a_tensor_exclude_parallel_branches():
    x = keras.Input((3,), name="x")
    mask = keras.layers.ReLU(name="mask")(x)
    feature = keras.layers.Dense(3, name="feature")(x)
    out = keras.layers.Multiply(name="head")([mask, feature])
    nodes = graph.nodes(keras.Model(x, out))
    assert [operation.name for operation in graph.descendants([feature], nodes)] == ["head"]


def test_a_renamed_model_saves_and_loads(tmp_path):
    keras.layers.Conv2D(1, 1)
    pixels = keras.Input((8, 8, 3))
    model = keras.Model(pixels, keras.layers.Conv2D(2, 1)(pixels))
    graph.rename_automatic(model)
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").get_layer("conv2d").filters == 2


def test_a_fingerprint_depends_on_the_computation_and_not_on_names():
    def net(name, units=3):
        pixels = keras.Input((4,), name=f"{name}_in")
        x = keras.layers.Dense(units, kernel_initializer="ones", name=name)(pixels)
        return keras.Model(pixels, x * 2.0 + pixels[:, :1])

    first, same, wider = net("a"), net("b"), net("c", units=4)
    assert graph.fingerprint(first) == graph.fingerprint(same)
    assert graph.fingerprint(first) != graph.fingerprint(wider)
    same.layers[1].kernel.assign(same.layers[1].kernel * 1.5)
    assert graph.fingerprint(first) != graph.fingerprint(same)


def test_a_fingerprint_depends_on_the_order_of_inputs():
    def net(swapped):
        pixels = keras.Input((4,))
        parts = [keras.layers.ReLU()(pixels), keras.layers.Softmax()(pixels)]
        return keras.Model(pixels, keras.ops.subtract(*(parts[::-1] if swapped else parts)))

    assert graph.fingerprint(net(False)) != graph.fingerprint(net(True))


def test_a_fingerprint_depends_on_connections_even_if_the_order_of_operations_is_the_same():
    def net(deep):
        pixels = keras.Input((4,))
        first = keras.layers.ReLU()(pixels)
        second = keras.layers.Softmax()(first if deep else pixels)
        return keras.Model(pixels, keras.ops.subtract(first, second))

    assert graph.fingerprint(net(False)) != graph.fingerprint(net(True))


def test_automatic_names_are_counted_among_siblings():
    last_index = {}
    layers = [keras.layers.Dense(1), keras.layers.Dense(1, name="mine"), keras.layers.Dense(1), keras.layers.ReLU()]
    assert [graph.sibling_name(layer, last_index) for layer in layers] == ["dense", "mine", "dense_1", "re_lu"]


def test_a_fingerprint_depends_on_the_middle_of_a_large_constant():
    def net(value):
        constant = np.zeros(3000, "float32")
        constant[1500] = value
        pixels = keras.Input((3000,))
        return keras.Model(pixels, keras.ops.multiply(pixels, constant))

    assert graph.fingerprint(net(1.0)) != graph.fingerprint(net(2.0))


def test_a_fingerprint_depends_on_precision_strides_padding_and_activation():
    def build(**options):
        pixels = keras.Input((8, 8, 3))
        layer = keras.layers.Conv2D(2, 2, kernel_initializer="ones", **options)
        return graph.fingerprint(keras.Model(pixels, keras.ops.cast(layer(pixels), "float32")))

    changes = ({}, {"dtype": "mixed_bfloat16"}, {"strides": 2}, {"activation": "relu"}, {"padding": "same"})
    assert len({build(**change) for change in changes}) == len(changes)
    assert build() == build()


def layer_fingerprint(layer):
    pixels = keras.Input((4,))
    return graph.fingerprint(keras.Model(pixels, layer(pixels)))


class Scale(keras.layers.Layer):
    """A user-defined layer with a number in its configuration."""

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


def test_a_fingerprint_depends_on_the_configuration_of_user_layers_and_not_on_their_names():
    assert layer_fingerprint(Scale(2, name="a")) == layer_fingerprint(Scale(2, name="b"))
    assert layer_fingerprint(Scale(2)) != layer_fingerprint(Scale(3))


@pytest.mark.parametrize("wrap", [lambda layer: layer, Composite], ids=["itself", "within another"])
def test_the_cache_version_of_a_user_layer_changes_the_fingerprint(wrap):
    def with_version(version):
        layer = type("Scale", (Scale,), {"cache_version": version})()
        return layer_fingerprint(wrap(layer))

    assert with_version(1) == with_version(1)
    assert with_version(1) != with_version(2)
    assert with_version(1) != layer_fingerprint(wrap(Scale()))


def test_the_code_of_a_user_layer_does_not_change_the_fingerprint():
    other = type("Scale", (Scale,), {"call": lambda self, x: x * self.by + 1})
    assert layer_fingerprint(other()) == layer_fingerprint(Scale())


def test_the_fingerprint_of_a_layer_without_get_config_raises():
    class WithoutConfig(keras.layers.Layer):
        def __init__(self, function, **options):
            super().__init__(**options)
            self.function = function

        def call(self, x):
            return self.function(x)

    with pytest.raises(ValueError, match=r"layer 'mine' cannot be cached.*Give the layer a `get_config`"):
        layer_fingerprint(WithoutConfig(lambda x: x, name="mine"))
