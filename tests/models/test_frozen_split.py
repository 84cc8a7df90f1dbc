from contextlib import ExitStack

import keras
import numpy as np
import pytest

from tests.conftest import conv_net
from tltk.models.frozen_split import split
from tltk.trainability.apply import applied
from tltk.trainability.plan import Plan, Rule, train_all

X = np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype("float32")


def with_head(body):
    x = keras.layers.GlobalAveragePooling2D(name="head_pool")(body.output)
    x = keras.layers.Dense(2, name="head_output")(x)
    return keras.Model(body.input, x)


@pytest.fixture
def view_of():
    """Build the view of a plan, or of rules that train some layers; the plan stays applied until the test ends."""
    with ExitStack() as stack:

        def build(model, *trained, plan=None):
            plan = plan or Plan((*(Rule(pattern, "train") for pattern in trained), Rule("*", "frozen")))
            return split(model, stack.enter_context(applied(plan, model)).decisions)

        yield build


def test_prefix_then_suffix_is_the_model(view_of):
    model = with_head(conv_net())
    view = view_of(model, "conv3_*", "head_*")
    np.testing.assert_array_equal(view.suffix(view.prefix(X)), model(X))
    np.testing.assert_array_equal(view.train(X), model(X))


def test_only_the_suffix_holds_what_learns_and_shares_it(view_of):
    model = with_head(conv_net())
    view = view_of(model, "conv3_*", "head_*")
    assert not view.prefix.trainable_variables
    assert {id(v) for v in view.train.trainable_variables} == {id(v) for v in model.trainable_variables}
    assert {id(v) for v in view.train.variables} == {id(v) for v in model.variables}


def test_the_boundary_moves_past_layers_that_cannot_change(view_of):
    view = view_of(with_head(conv_net()), "head_*")
    assert view.prefix.output_shape == (
        None,
        8,
    )  # the head's pooling needs no training, so it is computed with the rest


def test_a_frozen_dropout_drops_nothing_and_a_trained_one_does(view_of):
    model = with_head(conv_net(dropout=0.5))
    frozen = view_of(model, "head_*")
    np.testing.assert_array_equal(frozen.train(X, training=True), model(X, training=False))
    partly = view_of(model, "conv3_*", "head_*")
    assert np.abs(partly.train(X, training=True) - model(X, training=False)).max() > 0


def test_plain_keras_overrides_a_baked_in_inference_mode():
    # The trap that `View` is built around; if Keras mends it, a functional composition will do.
    x = keras.Input((64,))
    base = keras.Model(x, keras.layers.Dropout(0.5, seed=0)(x))
    y = keras.Input((64,))
    outer = keras.Model(y, base(y, training=False))
    assert np.any(np.asarray(outer(np.ones((1, 64), "float32"), training=True)) == 0)


def test_several_tensors_may_cross_the_boundary(view_of):
    x = keras.Input((8,), name="x")
    low = keras.layers.Dense(8, name="low")(x)
    middle = keras.layers.Dense(8, name="middle")(low)
    out = keras.layers.Dense(2, name="out")(keras.layers.Add(name="skip")([low, middle]))
    model = keras.Model(x, out)
    view = view_of(model, "middle", "skip", "out")
    assert len(view.prefix.outputs) == 1
    late = view_of(model, "out")
    assert late.prefix.output_shape == (None, 8)
    data = np.ones((2, 8), "float32")
    np.testing.assert_array_equal(late.train(data), model(data))
    both = keras.Model(
        x,
        keras.layers.Dense(2, name="top")(
            keras.layers.Concatenate(name="join")(
                [keras.layers.Dense(3, name="a")(low), keras.layers.Dense(3, name="b")(middle)]
            )
        ),
    )
    two = view_of(both, "a", "b", "join", "top")
    assert len(two.prefix.outputs) == 2
    np.testing.assert_array_equal(two.train(data), both(data))


def test_a_layer_called_twice_belongs_where_each_call_stands(view_of):
    shared = keras.layers.Dense(8, name="shared")
    x = keras.Input((8,), name="x")
    out = keras.layers.Dense(2, name="out")(shared(keras.layers.Dense(8, name="middle")(shared(x))))
    model = keras.Model(x, out)
    view = view_of(model, "middle", "out")
    data = np.ones((2, 8), "float32")
    np.testing.assert_array_equal(view.train(data), model(data))
    np.testing.assert_array_equal(view.prefix(data), shared(data))


def test_training_everything_is_a_view_too_so_that_the_model_is_never_compiled(view_of):
    model = with_head(conv_net())
    view = view_of(model, plan=train_all())
    assert view.train is not model
    assert {id(layer) for layer in view.train.layers} >= {id(layer) for layer in model.layers if layer.weights}
    assert view.prefix is None
    assert view.suffix is None


def test_freezing_everything_is_refused(view_of):
    model = with_head(conv_net())
    with pytest.raises(ValueError, match="nothing to train"):
        view_of(model, plan=Plan((Rule("*", "frozen"),)))


def test_frozen_batch_norm_in_the_suffix_keeps_its_statistics(view_of):
    model = with_head(conv_net())
    view = view_of(model, "conv2_*", "conv3_*", "head_*")
    before = [np.array(w) for layer in model.layers if layer.name.endswith("_bn") for w in layer.get_weights()]
    view.train.compile("sgd", "mse", jit_compile=False)
    view.train.fit(X, np.ones((4, 2)), verbose=0)
    after = [np.array(w) for layer in model.layers if layer.name.endswith("_bn") for w in layer.get_weights()]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_layer_in_which_nothing_learns_is_computed_with_the_frozen_part(view_of):
    x = keras.Input((16, 16, 3))
    hidden = keras.layers.Conv2D(4, 3, use_bias=False, name="plain")(x)
    hidden = keras.layers.BatchNormalization(name="bn")(hidden)
    out = keras.layers.Dense(2, name="top")(keras.layers.Flatten(name="flat")(hidden))
    model = keras.Model(x, out)
    assert view_of(model, plan=Plan((Rule("*", "bias"),), "affine")).prefix.layers[-1].name == "plain"
    assert view_of(model, plan=Plan((Rule("*", "bias"),), "train")).prefix.layers[-1].name == "plain"
    assert view_of(model, plan=Plan((Rule("*", "bias"),), "frozen")).prefix.layers[-1].name == "flat"
    assert view_of(model, "bn", "flat", "top").prefix.layers[-1].name == "flat"


def test_batch_norm_that_only_keeps_statistics_stays_out_of_the_frozen_part(view_of):
    x = keras.Input((8,))
    bn = keras.layers.BatchNormalization(center=False, scale=False, name="bn")(x)
    model = keras.Model(x, keras.layers.Dense(2, name="top")(bn))
    assert view_of(model, plan=train_all(batch_norm="train")).prefix is None
    assert view_of(model, plan=train_all(batch_norm="affine")).prefix.layers[-1].name == "bn"


def test_lora_at_the_input_is_part_of_what_is_trained(view_of):
    x = keras.Input((8,))
    low = keras.layers.Dense(8, name="low")(x)
    model = keras.Model(x, keras.layers.Dense(2, name="top")(keras.layers.Dense(8, name="middle")(low)))
    plan = Plan((Rule("top", "train"), Rule("*", "lora", rank=2, target="middle")))
    view = view_of(model, plan=plan)
    assert view.prefix.layers[-1].name == "low"
    assert [v.path for v in view.train.trainable_variables] == [v.path for v in model.trainable_variables]
    np.testing.assert_array_equal(view.train(np.ones((2, 8), "float32")), model(np.ones((2, 8), "float32")))


def test_a_weightless_layer_of_one_s_own_and_one_that_adds_a_loss_stay_where_the_plan_trains(view_of):
    class Jitter(keras.layers.Layer):
        """Acts in training alone, and tells nobody."""

        def call(self, x, training=False):
            return x + 100.0 if training else x

    pixels = keras.Input((16, 16, 3), name="pixels")
    for layer in (Jitter(name="own"), keras.layers.ActivityRegularization(l2=0.1, name="own")):
        x = keras.layers.GlobalAveragePooling2D(name="pool")(layer(pixels))
        model = keras.Model(pixels, keras.layers.Dense(2, name="out")(x))
        view = view_of(model, "own", "pool", "out")
        assert view.prefix is None or "own" not in {each.name for each in view.prefix.layers}
        frozen = view_of(model, "out")
        assert "own" in {each.name for each in frozen.prefix.layers}, "where it is frozen it runs as it is served"
