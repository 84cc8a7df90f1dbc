"""A loss or metric that does not fit a task is refused by its constructor, with the reason."""

import keras
import pytest

import tltk
from tests.tasks.test_base import COUNTING
from tests.tasks.test_objective import Hits, squared
from tltk.errors import InvalidInput
from tltk.tasks.objective_check import without_weights

SPARSE, SPARSE_LOGITS = (keras.losses.SparseCategoricalCrossentropy(from_logits=logits) for logits in (False, True))
TOP2 = keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")
MULTILABEL = tltk.LabelSpec(("a", "b"), "multilabel")


def broken(y_true, y_pred):
    return y_pred["logits"]


@pytest.mark.parametrize(
    "task",
    [
        tltk.classification(["a", "b"], loss="categorical_focal_crossentropy", metrics=["AUC", "Precision", squared]),
        tltk.classification(MULTILABEL, loss="binary_focal_crossentropy", metrics=["AUC", "BinaryIoU"]),
        tltk.classification(["a", "b"], metrics=[keras.metrics.OneHotMeanIoU(2)]),
        tltk.token_classification(["x"], metrics=[keras.metrics.MeanIoU(3, sparse_y_pred=False, dtype="float32")]),
        tltk.regression(["x", "y"], loss="huber", metrics=["r2_score", "mape"]),
        tltk.token_classification(
            ["x"], loss="sparse_categorical_crossentropy", metrics=["sparse_categorical_accuracy"]
        ),
        tltk.question_answering(
            loss=SPARSE_LOGITS, metrics=[keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")]
        ),
    ],
    ids=lambda task: task.name,
)
def test_every_built_in_task_takes_what_fits(task):
    batch = task.example_batch()
    assert float(task.training_loss()(batch.targets, batch.outputs)) > 0
    assert [metric.name for metric in task.training_metrics()][len(task.metrics()) :] == [
        metric.name for metric in task.own_metrics()
    ]
    assert without_weights(task) == ()


def classify(**options):
    return tltk.classification(["a", "b", "c"], **options)


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: classify(loss=keras.losses.CategoricalCrossentropy(from_logits=True)), "outputs are probabilities"),
        (lambda: classify(loss="sparse_categorical_crossentropy"), "class numbers, but .*use CategoricalCrossentropy"),
        (lambda: classify(loss="mse", label_smoothing=0.1), "`label_smoothing` belongs to the loss of the task"),
        (lambda: classify(loss=keras.losses.Huber(reduction="sum")), "reduction='sum'.*mean over its examples"),
        (
            lambda: classify(loss=broken),
            r"'broken' fails on targets float32 \[batch, 3\] and outputs float32 \[batch, 3\]",
        ),
        (lambda: classify(metrics=["sparse_categorical_accuracy"]), "use CategoricalAccuracy"),
        (lambda: classify(metrics=["F1Score"]), r"must return one number. Received: shape \(3,\).*average='macro'"),
        (lambda: classify(metrics=[keras.metrics.AUC(name="accuracy")]), "the name 'accuracy' is taken"),
        (lambda: classify(metrics=["AUC", "AUC"]), "the name 'auc' is taken"),
        (lambda: classify(metrics=[keras.metrics.Accuracy(name="x")]), "'x' tests for equality"),
        (
            lambda: classify(metrics=[keras.metrics.MeanIoU(3)]),
            r"takes class numbers, .*use OneHotIoU or OneHotMeanIoU",
        ),
        (lambda: classify(metrics=[keras.metrics.OneHotMeanIoU(3, sparse_y_pred=True)]), "takes class numbers"),
        (lambda: tltk.token_classification(["x"], metrics=[keras.metrics.MeanIoU(3)]), "pass sparse_y_pred=False"),
        (lambda: tltk.regression(["x"], loss="binary_crossentropy"), "is for classes, and .* regression are numbers"),
        (lambda: tltk.regression(["x"], metrics=["AUC"]), "'auc' is for classes"),
        (lambda: tltk.question_answering(loss="sparse_categorical_crossentropy"), "are logits: pass from_logits=True"),
        (lambda: tltk.token_classification(["x"], loss="dice"), r"fails on targets int32 \[batch, 3\]"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(build, match):
    with pytest.raises(InvalidInput, match=match):
        build()


def test_everything_that_is_wrong_is_listed():
    with pytest.raises(InvalidInput, match=r"(?s)2 problems.*`loss`: 'binary_crossentropy'.*`metrics`: 'auc'"):
        tltk.regression(["x"], loss="binary_crossentropy", metrics=["AUC"])


def test_metrics_without_weights_are_named():
    assert without_weights(classify(metrics=[Hits(name="hits")])) == ("hits",)


def test_a_task_of_your_own_defines_its_loss_itself():
    with pytest.raises(InvalidInput, match=r"takes no `loss` and `metrics`: define Counting\.loss"):
        COUNTING.example_batch()
