import keras
import numpy as np
import pytest

import tltk
from tests.conftest import squares, squares_model
from tltk.errors import TrainingDiverged
from tltk.recipes import Phase, Recipe
from tltk.training.divergence import explain


class Reciprocal(keras.layers.Layer):
    """Divides by its inputs."""

    def call(self, inputs):
        return 1.0 / inputs


class SquareRoot(keras.layers.Layer):
    """Its gradient at zero is infinite."""

    def call(self, inputs):
        return keras.ops.sqrt(inputs)


def model_with(*layers, kernel=1.0):
    inputs = x = keras.Input((2,))
    start = keras.initializers.Constant(kernel)
    for layer in (keras.layers.Dense(2, kernel_initializer=start, name="low"), *layers):
        x = layer(x)
    model = keras.Model(inputs, keras.layers.Dense(1, name="high")(x))
    model.compile("sgd", "mse")
    return model


def explained(model, x, y=0.0, stages=None):
    batch = np.array([x], "float32"), np.array([[y]], "float32")
    return explain(model, batch, good_weights=(model, model.get_weights()), stages=stages or {})


@pytest.mark.parametrize(("x", "y", "name"), [([np.nan, 1], 0, "inputs"), ([1, 1], np.inf, "targets")])
def test_data_that_is_not_finite(x, y, name):
    assert explained(model_with(), x, y) == f"The {name} of this batch have values that are not finite."


def test_the_first_layer_whose_outputs_are_not_finite():
    model = model_with(Reciprocal(name="divide"), keras.layers.ReLU(name="relu"))
    message = explained(model, [0, 0], stages={"divide": "conv3"})
    assert message.endswith("are the outputs of the layer 'divide' (stage conv3).")


def test_a_loss_or_gradients_that_are_not_finite():
    assert "its loss is not" in explained(model_with(kernel=1e30), [1, 1])
    assert "not the gradients of low/" in explained(model_with(SquareRoot()), [0, 0], 1.0)


def test_a_step_that_was_too_large_names_the_weights_that_it_changes_most():
    model = model_with(kernel=2.0)
    model.get_layer("high").kernel.assign([[0.01], [0.0]])
    # Outputs are 0.01 · 2 · 2 = 0.04; the gradient of the kernel of `high` is 2 · (0.04 + 1) · [4, 4], its norm 11.77.
    message = explained(model, [1, 1], -1.0)
    assert "were too large" in message
    assert "Relative to their norm (0.01), the weights high/kernel have the largest gradient (12)" in message


def test_a_divergence_above_frozen_layers_is_explained_if_their_features_are_not_stored():
    bad = Phase("bad", tltk.freeze("backbone"), 2, tltk.sgd(1e38, momentum=0.0), "constant", 0.0)
    with pytest.raises(TrainingDiverged, match="finite"):
        tltk.fit(squares_model(), squares(), recipe=Recipe("one", (bad,)), batch_size=8, cache="off")


def test_fit_stops_in_the_step_with_the_weights_of_the_phase_before():
    good = Phase("good", tltk.freeze("backbone"), 4, tltk.adamw(3e-2))
    bad = Phase("bad", tltk.train_all(batch_norm="train"), 3, tltk.sgd(1e30, momentum=0.0), "constant", 0.0)
    weights = {}
    for name, phases in (("good", (good,)), ("both", (good, bad))):
        keras.utils.clear_session()
        keras.utils.set_random_seed(0)
        model, options = squares_model(), {"recipe": Recipe("r", phases), "batch_size": 8, "verbose": 0}
        if name == "good":
            tltk.fit(model, squares(), squares(12, seed=1), **options)
        else:
            with pytest.raises(TrainingDiverged, match=r"epoch 1, step [123]\. .*Try a learning rate"):
                tltk.fit(model, squares(), squares(12, seed=1), **options)
        weights[name] = [weight.tobytes() for weight in model.keras.get_weights()]
    assert weights["good"] == weights["both"]
