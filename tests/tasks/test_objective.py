"""A loss and metrics of the user's own: parsed, stored and rebuilt."""

import json

import keras
import numpy as np
import pytest

import tltk
from tltk.errors import InvalidInput, InvalidType
from tltk.tasks import from_config
from tltk.tasks.objective import NO_OBJECTIVE, FunctionLoss, as_objective


def squared(y_true, y_pred):
    return keras.ops.mean((y_true - y_pred) ** 2, axis=-1)


@keras.saving.register_keras_serializable(package="tests")
class Hits(keras.metrics.Mean):
    """Fraction of right classes, without `sample_weight`."""

    def update_state(self, y_true, y_pred):
        super().update_state(keras.ops.argmax(y_true, -1) == keras.ops.argmax(y_pred, -1))


@pytest.mark.parametrize("loss", ["mse", "mean_squared_error", "MeanSquaredError", keras.losses.mean_squared_error])
def test_a_loss_of_keras_is_known_by_any_of_its_names(loss):
    assert isinstance(as_objective(loss, ()).new_loss(), keras.losses.MeanSquaredError)


@pytest.mark.parametrize("name", ["huber", "kl_divergence", "log_cosh", "categorical_focal_crossentropy", "poisson"])
def test_functions_of_keras_are_stored_as_its_classes(name):
    (config,) = {as_objective(loss, ()).to_config()["loss"]["module"] for loss in (name, getattr(keras.losses, name))}
    assert config == "keras.losses"


def test_a_function_is_a_loss_and_a_metric():
    objective = as_objective(squared, [squared, keras.losses.mean_absolute_error])
    targets, outputs = np.eye(2, dtype="float32"), np.full((2, 2), 0.5, "float32")
    assert isinstance(objective.new_loss(), FunctionLoss)
    assert float(objective.new_loss()(targets, outputs)) == pytest.approx(0.25)
    metric, absolute = objective.new_metrics()
    metric.update_state(targets, outputs)
    assert (metric.name, float(metric.result()), absolute.name) == ("squared", 0.25, "mean_absolute_error")


def test_metrics_have_the_names_they_were_given_and_begin_anew():
    keras.metrics.AUC()  # Keras numbers the names of further ones
    given = keras.metrics.MeanSquaredError(name="error")
    given.update_state([1.0], [3.0])
    objective = as_objective(None, ["AUC", "mse", given])
    first, second = objective.new_metrics(), objective.new_metrics()
    assert [metric.name for metric in first] == ["auc", "mse", "error"]
    assert float(first[2].result()) == 0 and float(given.result()) == 4
    assert not {id(metric) for metric in first} & {id(metric) for metric in second}


@pytest.mark.parametrize(
    ("loss", "metrics", "error", "match"),
    [
        ("categorical_crosentropy", (), InvalidInput, "no loss.*Did you mean 'categorical_crossentropy'"),
        (keras.losses.Huber, (), InvalidType, r"pass Huber\(\)"),
        ({"a": "mse"}, (), InvalidType, "`loss`: a loss must be a Keras loss.*'a': 'mse'"),
        (lambda true, predicted: true, (), InvalidInput, "`loss`: a lambda cannot be saved"),
        (None, ["auk"], InvalidInput, "Keras has no metric 'auk'"),
        (
            None,
            [keras.losses.huber],
            InvalidInput,
            "no metric 'huber'. To measure this loss, pass a function of your own",
        ),
        (None, "AUC", InvalidType, "`metrics` must be a list.*'AUC'"),
        (None, ["accuracy"], InvalidInput, "'accuracy' means several metrics in Keras"),
        (None, [3], InvalidType, "`metrics`: a metric must be a Keras metric.* Received: 3"),
    ],
)
def test_what_is_neither_a_loss_nor_a_metric_is_refused(loss, metrics, error, match):
    with pytest.raises(error, match=match):
        as_objective(loss, metrics)


def test_a_metric_that_cannot_be_copied_is_refused():
    class Uncopied(keras.metrics.Mean):
        def __init__(self, scale):
            super().__init__(name="uncopied")

    with pytest.raises(InvalidInput, match="'uncopied' cannot be copied from its `get_config`"):
        as_objective(None, [Uncopied(2)]).new_metrics()


def test_a_task_is_rebuilt_with_its_objective():
    task = tltk.classification(["a", "b"], loss="categorical_focal_crossentropy", metrics=["AUC", Hits(name="hits")])
    assert from_config(json.loads(json.dumps(task.to_config()))) == task
    assert task != tltk.classification(["a", "b"]) and "objective" not in tltk.classification(["a", "b"]).to_config()
    assert "auc" in repr(task) and repr(NO_OBJECTIVE) == "Objective()"
    own = tltk.classification(["a", "b"], loss=squared)
    with keras.saving.custom_object_scope({"squared": squared}):
        assert from_config(own.to_config()).objective.loss is squared
