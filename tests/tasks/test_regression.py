import keras
import numpy as np
import pytest

from tltk import tasks
from tltk.specs import LabelSpec
from tltk.tasks.regression import StandardizedSquaredError

AGES = LabelSpec(("age", "price"), "regression", (40.0, 1000.0), (10.0, 500.0))


def test_an_untrained_regressor_predicts_the_mean():
    x = keras.Input((3,))
    model = keras.Model(x, tasks.regression(AGES).outputs(x))
    np.testing.assert_allclose(model(np.ones((2, 3), "float32")), [[40, 1000]] * 2)


def test_the_loss_weighs_columns_by_their_deviation():
    loss = tasks.regression(AGES).loss()
    assert float(loss(np.array([[50.0, 1500.0]]), np.array([[40.0, 1000.0]]))) == pytest.approx(1.0)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert isinstance(again, StandardizedSquaredError)
    assert again.std == (10.0, 500.0)


def test_decoding_names_the_columns():
    found = tasks.regression(AGES).decode(np.array([[41.5, 900.0]]), ["a"])[0]
    assert found.scores == {"age": 41.5, "price": 900.0}
    assert found.label == "41.5, 900"


def test_classes_are_refused():
    with pytest.raises(ValueError, match=r"`labels` are classes \(cat, dog\), not numbers. Use tltk.classification"):
        tasks.regression(LabelSpec(("cat", "dog")))
