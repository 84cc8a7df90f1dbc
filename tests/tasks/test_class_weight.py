"""Weights of classes: as Keras and scikit-learn define them, in the training loss only."""

import keras
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

import tltk
from tests.conftest import coloured_squares, squares, squares_model
from tltk.errors import InvalidInput, InvalidType
from tltk.tasks.class_weight import weights_of_classes

NAMES = ("red", "green", "blue")
WEIGHTS = {"red": 3.0, 2: 0.5}


def test_balanced_weights_are_those_of_scikit_learn():
    targets = np.array([0] * 7 + [1] * 2 + [2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=targets)
    np.testing.assert_allclose(weights_of_classes("balanced", NAMES, targets), expected, rtol=1e-6)


def test_a_class_without_examples_weighs_one():
    assert weights_of_classes("balanced", NAMES, np.array([0, 0, 1, 1])).tolist() == [1, 1, 1]


def test_classes_are_given_by_name_or_index_and_the_others_weigh_one():
    assert weights_of_classes(WEIGHTS, NAMES, None).tolist() == [3, 1, 0.5]
    assert weights_of_classes({np.int64(2): np.float32(0.5)}, NAMES, None).tolist() == [1, 1, 0.5]


def test_everything_that_is_wrong_is_listed():
    with pytest.raises(InvalidInput, match=r"(?s)'rad'.*Did you mean 'red'.*class 3.*'blue' must be.*-1"):
        weights_of_classes({"rad": 1.0, 3: 1.0, "blue": -1}, NAMES, None)
    with pytest.raises(InvalidType, match=r"`class_weight` must be 'balanced' or a dict.*\[1, 2\]"):
        weights_of_classes([1, 2], NAMES, None)
    with pytest.raises(InvalidType, match=r"must be 'balanced' or a dict.*array\(\[1., 2.\]\)"):
        weights_of_classes(np.array([1.0, 2.0]), NAMES, None)
    with pytest.raises(InvalidInput, match=r"names one class twice: 0 and 'red'"):
        weights_of_classes({0: 1.0, "red": 5.0}, NAMES, None)


def one_step(**options):
    """Train one step of SGD on one batch."""
    phase = tltk.Phase("one", tltk.train_all(), epochs=1, optimizer=tltk.sgd(0.1, momentum=0.0), **options)
    return tltk.Recipe("one", (phase,))


def test_a_step_is_that_of_keras_with_the_same_class_weight():
    x, y = coloured_squares(12)
    model = squares_model(head=tltk.head(normalization=None))
    plain = keras.models.clone_model(model.keras)
    plain.set_weights(model.keras.get_weights())
    recipe = one_step(schedule="constant", warmup=0)
    source = tltk.from_arrays(x, y, labels=NAMES)
    run = tltk.fit(model, source, recipe=recipe, batch_size=12, class_weight=WEIGHTS, seed=1)

    for layer in plain.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    plain.compile(keras.optimizers.SGD(0.1), "categorical_crossentropy", metrics=["accuracy"])
    history = plain.fit(
        x.astype("float32"), np.eye(3)[y], batch_size=12, verbose=0, class_weight={0: 3.0, 1: 1.0, 2: 0.5}
    )
    for expected, weight in zip(plain.get_weights(), model.keras.get_weights(), strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-4, atol=1e-6)
    assert run.history[0]["loss"] == pytest.approx(history.history["loss"][0], rel=1e-5)
    assert run.history[0]["accuracy"] == pytest.approx(history.history["accuracy"][0])
    assert run.config["class_weight"] == {"red": 3.0, "green": 1.0, "blue": 0.5}


@pytest.mark.parametrize("cache", ["memory", "off"])
def test_validation_is_not_weighted_with_or_without_the_cache(cache):
    model = squares_model()
    run = tltk.fit(
        model, squares(), squares(), recipe=tltk.linear_probe(epochs=1), class_weight=WEIGHTS, cache=cache, batch_size=8
    )
    assert run.history[0]["val_loss"] == pytest.approx(tltk.evaluate(model, squares()).metrics["log_loss"], rel=1e-3)


def test_balanced_needs_a_source_and_other_tasks_have_no_class_weights():
    x, y = coloured_squares(8)
    dataset = tltk.from_arrays(x, y, labels=NAMES).to_dataset(squares_model(), batch_size=4)
    with pytest.raises(InvalidInput, match=r"class_weight='balanced'.*tf.data.Dataset"):
        tltk.fit(squares_model(), dataset, recipe=tltk.linear_probe(epochs=1), class_weight="balanced")
    with pytest.raises(InvalidInput, match=r"`class_weight` is for tasks with one class per example.*regression"):
        tltk.regression(("price",)).class_weights("balanced", None)
