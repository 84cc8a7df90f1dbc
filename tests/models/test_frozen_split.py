from contextlib import ExitStack

import keras
import numpy as np
import pytest

from tests.conftest import conv_net
from tltk.models.frozen_split import split_frozen_prefix
from tltk.trainability.apply import apply_plan
from tltk.trainability.plan import Plan, Rule, train_all

X = np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype("float32")


def with_head(body):
    x = keras.layers.GlobalAveragePooling2D(name="head_pool")(body.output)
    x = keras.layers.Dense(2, name="head_output")(x)
    return keras.Model(body.input, x)


@pytest.fixture
def split_by():
    """Split a model by a plan, or by patterns of trained layers; the plan stays applied until the test ends."""
    with ExitStack() as stack:

        def build(model, *trained, plan=None):
            plan = plan or Plan((*(Rule(pattern, "train") for pattern in trained), Rule("*", "frozen")))
            return split_frozen_prefix(model, stack.enter_context(apply_plan(plan, model)).decisions)

        yield build


def test_prefix_and_suffix_compute_the_outputs_of_the_model(split_by):
    model = with_head(conv_net())
    parts = split_by(model, "conv3_*", "head_*")
    np.testing.assert_array_equal(parts.suffix(parts.prefix(X)), model(X))
    np.testing.assert_array_equal(parts.model(X), model(X))


def test_only_the_suffix_has_trainable_variables_which_are_those_of_the_model(split_by):
    model = with_head(conv_net())
    parts = split_by(model, "conv3_*", "head_*")
    assert not parts.prefix.trainable_variables
    assert {id(v) for v in parts.model.trainable_variables} == {id(v) for v in model.trainable_variables}
    assert {id(v) for v in parts.model.variables} == {id(v) for v in model.variables}


def test_the_prefix_includes_weightless_layers_behind_frozen_ones(split_by):
    parts = split_by(with_head(conv_net()), "head_*")
    # The pooling of the head has no weights, so it is computed with the prefix.
    assert parts.prefix.output_shape == (None, 8)


def test_dropout_is_inactive_in_the_prefix_and_active_in_the_suffix(split_by):
    model = with_head(conv_net(dropout=0.5))
    frozen = split_by(model, "head_*")
    np.testing.assert_array_equal(frozen.model(X, training=True), model(X, training=False))
    partly = split_by(model, "conv3_*", "head_*")
    assert np.abs(partly.model(X, training=True) - model(X, training=False)).max() > 0


def test_plain_keras_overrides_a_baked_in_inference_mode():
    # The reason for `_PrefixSuffixModel`; if Keras changes this, a functional model can replace it.
    x = keras.Input((64,))
    base = keras.Model(x, keras.layers.Dropout(0.5, seed=0)(x))
    y = keras.Input((64,))
    outer = keras.Model(y, base(y, training=False))
    assert np.any(np.asarray(outer(np.ones((1, 64), "float32"), training=True)) == 0)


def test_the_boundary_may_have_several_tensors(split_by):
    x = keras.Input((8,), name="x")
    low = keras.layers.Dense(8, name="low")(x)
    middle = keras.layers.Dense(8, name="middle")(low)
    out = keras.layers.Dense(2, name="out")(keras.layers.Add(name="skip")([low, middle]))
    model = keras.Model(x, out)
    parts = split_by(model, "middle", "skip", "out")
    assert len(parts.prefix.outputs) == 1
    late = split_by(model, "out")
    assert late.prefix.output_shape == (None, 8)
    data = np.ones((2, 8), "float32")
    np.testing.assert_array_equal(late.model(data), model(data))
    both = keras.Model(
        x,
        keras.layers.Dense(2, name="top")(
            keras.layers.Concatenate(name="join")(
                [keras.layers.Dense(3, name="a")(low), keras.layers.Dense(3, name="b")(middle)]
            )
        ),
    )
    two = split_by(both, "a", "b", "join", "top")
    assert len(two.prefix.outputs) == 2
    np.testing.assert_array_equal(two.model(data), both(data))


def test_a_layer_called_on_both_sides_of_the_boundary_is_split_by_call(split_by):
    shared = keras.layers.Dense(8, name="shared")
    x = keras.Input((8,), name="x")
    out = keras.layers.Dense(2, name="out")(shared(keras.layers.Dense(8, name="middle")(shared(x))))
    model = keras.Model(x, out)
    parts = split_by(model, "middle", "out")
    data = np.ones((2, 8), "float32")
    np.testing.assert_array_equal(parts.model(data), model(data))
    np.testing.assert_array_equal(parts.prefix(data), shared(data))


def test_without_a_frozen_prefix_a_new_model_is_trained_so_that_the_original_is_not_compiled(split_by):
    model = with_head(conv_net())
    parts = split_by(model, plan=train_all())
    assert parts.model is not model
    assert {id(layer) for layer in parts.model.layers} >= {id(layer) for layer in model.layers if layer.weights}
    assert parts.prefix is None
    assert parts.suffix is None


def test_freezing_everything_is_rejected(split_by):
    model = with_head(conv_net())
    with pytest.raises(ValueError, match="nothing to train"):
        split_by(model, plan=Plan((Rule("*", "frozen"),)))


def test_frozen_batch_norm_in_the_suffix_keeps_its_statistics(split_by):
    model = with_head(conv_net())
    parts = split_by(model, "conv2_*", "conv3_*", "head_*")
    before = [np.array(w) for layer in model.layers if layer.name.endswith("_bn") for w in layer.get_weights()]
    parts.model.compile("sgd", "mse", jit_compile=False)
    parts.model.fit(X, np.ones((4, 2)), verbose=0)
    after = [np.array(w) for layer in model.layers if layer.name.endswith("_bn") for w in layer.get_weights()]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_layer_without_trainable_weights_is_part_of_the_prefix(split_by):
    x = keras.Input((16, 16, 3))
    hidden = keras.layers.Conv2D(4, 3, use_bias=False, name="plain")(x)
    hidden = keras.layers.BatchNormalization(name="bn")(hidden)
    out = keras.layers.Dense(2, name="top")(keras.layers.Flatten(name="flat")(hidden))
    model = keras.Model(x, out)
    assert split_by(model, plan=Plan((Rule("*", "bias"),), "affine")).prefix.layers[-1].name == "plain"
    assert split_by(model, plan=Plan((Rule("*", "bias"),), "train")).prefix.layers[-1].name == "plain"
    assert split_by(model, plan=Plan((Rule("*", "bias"),), "frozen")).prefix.layers[-1].name == "flat"
    assert split_by(model, "bn", "flat", "top").prefix.layers[-1].name == "flat"


def test_batch_norm_that_updates_statistics_is_not_part_of_the_prefix(split_by):
    x = keras.Input((8,))
    bn = keras.layers.BatchNormalization(center=False, scale=False, name="bn")(x)
    model = keras.Model(x, keras.layers.Dense(2, name="top")(bn))
    assert split_by(model, plan=train_all(batch_norm="train")).prefix is None
    assert split_by(model, plan=train_all(batch_norm="affine")).prefix.layers[-1].name == "bn"


def test_a_layer_with_lora_is_not_part_of_the_prefix(split_by):
    x = keras.Input((8,))
    low = keras.layers.Dense(8, name="low")(x)
    model = keras.Model(x, keras.layers.Dense(2, name="top")(keras.layers.Dense(8, name="middle")(low)))
    plan = Plan((Rule("top", "train"), Rule("*", "lora", rank=2, target="middle")))
    parts = split_by(model, plan=plan)
    assert parts.prefix.layers[-1].name == "low"
    assert [v.path for v in parts.model.trainable_variables] == [v.path for v in model.trainable_variables]
    np.testing.assert_array_equal(parts.model(np.ones((2, 8), "float32")), model(np.ones((2, 8), "float32")))


def test_custom_weightless_layers_and_layers_that_add_a_loss_are_in_the_prefix_only_if_frozen(split_by):
    class Jitter(keras.layers.Layer):
        """Is active in training only, which nothing outside of `call` shows."""

        def call(self, x, training=False):
            return x + 100.0 if training else x

    pixels = keras.Input((16, 16, 3), name="pixels")
    for layer in (Jitter(name="custom"), keras.layers.ActivityRegularization(l2=0.1, name="custom")):
        x = keras.layers.GlobalAveragePooling2D(name="pool")(layer(pixels))
        model = keras.Model(pixels, keras.layers.Dense(2, name="out")(x))
        parts = split_by(model, "custom", "pool", "out")
        assert parts.prefix is None or "custom" not in {part.name for part in parts.prefix.layers}
        frozen = split_by(model, "out")
        assert "custom" in {part.name for part in frozen.prefix.layers}, "a frozen layer runs in inference mode"
