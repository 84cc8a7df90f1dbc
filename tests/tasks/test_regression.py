import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics as sk

import tltk
from tltk.specs import LabelSpec
from tltk.tasks import Context
from tltk.tasks.regression import RegressionEvaluator, StandardizedSquaredError

AGES = LabelSpec(("age", "price"), "regression", (40.0, 1000.0), (10.0, 500.0))


def measured(targets, values, size):
    evaluator = RegressionEvaluator(["a", "b", "constant"])
    for start in range(0, len(targets), size):
        evaluator.update(targets[start : start + size], {"values": values[start : start + size]}, [""] * size)
    return evaluator.result()


def test_an_untrained_regressor_predicts_the_mean():
    features = keras.Input((3,))
    model = keras.Model(features, tltk.regression(AGES).outputs({"last": features}))
    np.testing.assert_allclose(model(np.ones((2, 3), "float32")), [[40, 1000]] * 2)


def test_the_loss_divides_errors_by_the_standard_deviation_of_the_column():
    loss = tltk.regression(AGES).loss()
    assert float(loss(np.array([[50.0, 1500.0]]), np.array([[40.0, 1000.0]]))) == pytest.approx(1.0)
    restored = keras.losses.deserialize(keras.losses.serialize(loss))
    assert isinstance(restored, StandardizedSquaredError)
    assert restored.std == (10.0, 500.0)


def test_decoded_values_are_named_by_their_columns():
    task = tltk.regression(AGES)
    columns = task.decode(tf.constant([[41.5, 900.0]]), Context(tf.constant(1, tf.int64)))
    assert columns["labels"].numpy().tolist() == [[b"age", b"price"]]
    (prediction,) = task.predictions({"values": columns["values"].numpy()}, ["a"])
    assert prediction.scores == {"age": 41.5, "price": 900.0}
    assert prediction.label == "41.5, 900"


@pytest.mark.parametrize("size", [1, 7, 100])
def test_regression_metrics_equal_those_of_scikit_learn(size):
    generator = np.random.default_rng(0)
    targets = (generator.normal(size=(100, 3)) * [1, 1e4, 0] + [0, 1e5, 0.1]).astype("float32")
    values = (targets + generator.normal(size=(100, 3))).astype("float32")
    parts = measured(targets, values, size)
    for column, row in enumerate(parts.classes):
        true, predicted = targets[:, column].astype("float64"), values[:, column].astype("float64")
        assert row["mae"] == pytest.approx(sk.mean_absolute_error(true, predicted), rel=1e-12)
        assert row["rmse"] == pytest.approx(sk.root_mean_squared_error(true, predicted), rel=1e-12)
        if column < 2:
            assert row["r2"] == pytest.approx(sk.r2_score(true, predicted), rel=1e-12)
    assert np.isnan(parts.classes[2]["r2"]), "equal targets have no variance to explain"
    assert "r2" not in parts.metrics and parts.notes[0].endswith(f"{parts.classes[2]['name']!r}: r2 is not defined")
    assert set(parts.metrics) == {"mae", "rmse"}
    assert parts.classes_title == "Columns"


def test_a_list_of_column_names_is_accepted_and_classes_are_refused():
    assert tltk.regression(["age"]).std == (1.0,)
    with pytest.raises(ValueError, match=r"`labels` are classes \(cat, dog\), not numbers. Use tltk.classification"):
        tltk.regression(LabelSpec(("cat", "dog")))


def test_targets_of_a_dataset_must_be_finite():
    task = tltk.regression(["age"])
    assert task.target_problem(np.array([1.5])) == "" and "nan" in task.target_problem(np.array([np.nan]))


@pytest.mark.parametrize("size", [1, 7, 60])
def test_weighted_metrics_equal_those_of_scikit_learn(size):
    generator = np.random.default_rng(0)
    targets = generator.normal(100, 3, (60, 1)).astype("float32")
    values = (targets + generator.normal(size=(60, 1))).astype("float32")
    weights = generator.uniform(0.01, 0.5, 60).astype("float32")
    evaluator = RegressionEvaluator(["a"])
    for start in range(0, 60, size):
        rows = slice(start, start + size)
        evaluator.update(targets[rows], {"values": values[rows]}, [""] * size, sample_weight=weights[rows])
    true, predicted, options = targets.astype("float64"), values.astype("float64"), {"sample_weight": weights}
    expected = {
        "mae": sk.mean_absolute_error(true, predicted, **options),
        "rmse": sk.root_mean_squared_error(true, predicted, **options),
        "r2": sk.r2_score(true, predicted, **options),
    }
    assert evaluator.result().metrics == pytest.approx(expected, rel=1e-9)
