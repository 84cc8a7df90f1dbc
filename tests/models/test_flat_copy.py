import keras
import numpy as np
import pytest

from tltk.models.flat_copy import FlatCopy, has_nested_models

layers = keras.layers
X = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")


def nested():
    """A model with operations, a shared layer, a nested model and one that is nested in that."""
    inner_inputs = keras.Input((4,))
    innermost = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="dense")], name="innermost")
    inner = keras.Model(inner_inputs, innermost(layers.Dense(4, name="inner_dense")(inner_inputs)), name="inner")
    inputs = keras.Input((4,))
    shared = layers.Dense(4, name="dense")
    x = shared(shared(inputs) * 2.0)
    x = keras.ops.concatenate([inner(x), x], axis=-1)
    return keras.Model(inputs, layers.BatchNormalization()(x), name="outer")


def copied(model, **options):
    inputs = keras.Input(model.inputs[0].shape[1:], name="copied_input")
    flat_copy = FlatCopy(**options)
    return keras.Model(inputs, flat_copy.call(model, inputs)), flat_copy


def test_a_copy_is_flat_and_computes_the_same():
    model = nested()
    model.layers[-1].moving_mean.assign_add(np.arange(8.0))
    copy, flat_copy = copied(model)
    assert has_nested_models(model) and not has_nested_models(copy)
    np.testing.assert_allclose(copy(X, training=False), model(X, training=False), rtol=1e-6)
    assert flat_copy.nested_ends == {"innermost": "dense_1", "inner": "dense_1"}


def test_nothing_is_shared_with_the_original_but_a_shared_layer_stays_one():
    model = nested()
    copy, _ = copied(model)
    assert copy.count_params() == model.count_params()
    assert not {id(weight) for weight in copy.weights} & {id(weight) for weight in model.weights}
    before = model(X, training=False)
    copy.get_layer("dense").kernel.assign_add(np.ones((4, 4)))
    np.testing.assert_array_equal(model(X, training=False), before)
    assert [layer.name for layer in copy.layers if "dense" in layer.name] == ["dense", "inner_dense", "dense_1"]


def test_names_that_are_taken_are_numbered():
    copy, _ = copied(nested(), taken={"dense", "inner_dense"})
    assert [layer.name for layer in copy.layers if "dense" in layer.name] == ["dense_1", "inner_dense_1", "dense_2"]


class WithoutConfig(keras.layers.Layer):
    def __init__(self, factor):
        super().__init__(name="own")
        self.factor = factor

    def call(self, inputs):
        return inputs * self.factor


def test_a_layer_that_cannot_be_copied_is_named():
    inputs = keras.Input((4,))
    with pytest.raises(ValueError, match=r"layer 'own' cannot be copied: .*Give it a `get_config`"):
        copied(keras.Model(inputs, WithoutConfig(2.0)(inputs)))
