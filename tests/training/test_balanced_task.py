"""The task of a phase on uneven classes."""

import keras

import tltk
from tests.conftest import squares_model
from tltk.specs import LabelSpec
from tltk.tasks.loss_terms import ClassLoss, LossTerms
from tltk.training.balanced_task import balanced_model


def test_the_loss_has_the_terms_and_the_balanced_accuracy_decides_between_epochs():
    model = squares_model()
    balanced = balanced_model(model, LossTerms(focal_gamma=2.0))
    assert balanced.keras is model.keras
    assert isinstance(balanced.task.training_loss(), ClassLoss)
    assert [metric.name for metric in balanced.task.training_metrics()] == ["accuracy", "balanced_accuracy"]
    assert balanced.task.epoch_monitor() == ("balanced_accuracy", "max")


def test_without_terms_the_loss_is_that_of_the_task():
    balanced = balanced_model(squares_model(), None)
    assert isinstance(balanced.task.training_loss(), keras.losses.CategoricalCrossentropy)
    labels = tltk.classification(LabelSpec(("a", "b"), "multilabel"))
    assert labels.balanced_metrics() == []
    assert labels.balanced_monitor().metric == "macro_f1"
