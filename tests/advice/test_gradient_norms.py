"""Tests of `tltk.advice.gradient_norms`."""

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import squares, squares_model
from tltk.advice import gradient_norms
from tltk.advice.gradient_norms import mean_of_trained, relative_gradient_norms
from tltk.trainability.plan import train_all, train_top

CONVOLUTIONS = ["stem_conv", "conv2_conv", "conv3_conv"]


def with_a_head(model):
    """Give the head, which starts at zero, weights: otherwise no layer below it gets a gradient."""
    kernel = model.keras.get_layer("head_output").kernel
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    return model


def norms_by_tape(model, source):
    """Return the same by `tf.GradientTape`, of all examples at once."""
    layers = [model.keras.get_layer(name) for name in CONVOLUTIONS]
    variables = [variable.value for layer in layers for variable in layer.trainable_variables]
    with tf.GradientTape() as tape:
        outputs = model.keras(source.examples.astype("float32"), training=False)
        loss = model.task.loss()(tf.one_hot(source.targets, 3), outputs)
    norms = tf.linalg.global_norm
    pairs = list(zip(variables, tape.gradient(loss, variables), strict=True))
    return [
        float(
            norms([gradient for _, gradient in pairs[row : row + 2]]) / norms([old for old, _ in pairs[row : row + 2]])
        )
        for row in (0, 2, 4)
    ]


@pytest.mark.parametrize("batch_size", [24, 8, 100])
def test_the_norms_are_those_of_the_gradient_and_the_weights_stay(batch_size):
    model, source = with_a_head(squares_model()), squares(24)
    for layer in map(model.keras.get_layer, CONVOLUTIONS):
        layer.bias.assign(np.full(layer.bias.shape, 0.1))
    before = [values.copy() for values in model.keras.get_weights()]
    norms = relative_gradient_norms(model, source, batch_size=batch_size)
    assert list(norms) == CONVOLUTIONS  # no head, no batch norm in inference mode
    np.testing.assert_allclose(list(norms.values()), norms_by_tape(model, source), rtol=1e-3)
    assert all(np.array_equal(now, old) for now, old in zip(model.keras.get_weights(), before, strict=True))


def test_of_many_examples_some_batches_are_used(monkeypatch):
    model, seen = with_a_head(squares_model()), []

    def no_gradients(model, source, variables, *, batch_size):
        seen.append((len(source), batch_size))
        return [None] * len(variables)

    monkeypatch.setattr(gradient_norms, "_gradients", no_gradients)
    assert relative_gradient_norms(model, squares(90), batch_size=8) == {}
    assert seen == [(32, 8)]


def test_the_mean_is_that_of_the_layers_that_a_plan_trains():
    model = squares_model()
    norms = dict(zip(CONVOLUTIONS, (6.0, 2.0, 1.0), strict=True))
    assert mean_of_trained(norms, train_all(), model) == pytest.approx(3)
    assert mean_of_trained(norms, train_top(layers=2), model) == 1
    assert mean_of_trained({}, train_all(), model) == 0
