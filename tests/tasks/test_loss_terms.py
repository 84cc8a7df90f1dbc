"""Losses for uneven classes equal the published formulas, computed with NumPy and SciPy."""

import keras
import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax
from sklearn.metrics import balanced_accuracy_score

import tltk
from tests.conftest import squares_model
from tltk.errors import InvalidInput
from tltk.tasks.loss_terms import BalancedAccuracy, LossTerms
from tltk.tasks.masks.loss import SegmentationLoss
from tltk.tasks.token_classification import TokenCrossEntropy

GENERATOR = np.random.default_rng(0)
LOGITS = GENERATOR.normal(size=(6, 3)).astype("float32")
CLASSES = np.array([0, 0, 0, 1, 1, 2])
ONE_HOT = np.eye(3, dtype="float32")[CLASSES]
LABELS = GENERATOR.integers(0, 2, (6, 3)).astype("float32")
ROWS = np.arange(6)


def class_loss(terms, **options):
    task = tltk.classification(["a", "b", "c"], **options)
    return float(task.balanced_loss(terms)(ONE_HOT, softmax(LOGITS, axis=1)))


def label_loss(terms):
    task = tltk.classification(tltk.LabelSpec(("a", "b", "c"), "multilabel"))
    return float(task.balanced_loss(terms)(LABELS, expit(LOGITS)))


def test_without_terms_the_losses_are_those_of_the_task():
    smoothed = tltk.classification(["a", "b", "c"], label_smoothing=0.2)
    expected = float(smoothed.loss()(ONE_HOT, softmax(LOGITS, axis=1)))
    assert class_loss(LossTerms(), label_smoothing=0.2) == pytest.approx(expected, rel=1e-5)
    expected = float(keras.losses.BinaryCrossentropy()(LABELS, expit(LOGITS)))
    assert label_loss(LossTerms()) == pytest.approx(expected, rel=1e-5)


def test_class_weights_weigh_the_cross_entropy():
    weights = np.array([0.5, 1.0, 3.0])
    expected = (weights[CLASSES] * -log_softmax(LOGITS, axis=1)[ROWS, CLASSES]).mean()
    assert class_loss(LossTerms(class_weights=tuple(weights))) == pytest.approx(expected, rel=1e-5)


def test_the_focal_loss_is_equation_4_of_lin_et_al():
    probability = softmax(LOGITS, axis=1)[ROWS, CLASSES]
    expected = -((1 - probability) ** 2 * np.log(probability)).mean()
    assert class_loss(LossTerms(focal_gamma=2.0)) == pytest.approx(expected, rel=1e-5)
    probability = np.where(LABELS > 0, expit(LOGITS), 1 - expit(LOGITS))
    expected = -((1 - probability) ** 1.5 * np.log(probability)).mean()
    assert label_loss(LossTerms(focal_gamma=1.5)) == pytest.approx(expected, rel=1e-5)


def test_the_adjusted_loss_is_equation_10_of_menon_et_al():
    offsets = 0.7 * np.log([0.5, 0.3, 0.2])
    adjusted = LOGITS + offsets
    expected = (np.log(np.exp(adjusted).sum(1)) - adjusted[ROWS, CLASSES]).mean()
    assert class_loss(LossTerms(logit_offsets=tuple(offsets))) == pytest.approx(expected, rel=1e-5)
    expected = (np.logaddexp(0, LOGITS + offsets) - LABELS * (LOGITS + offsets)).mean()
    assert label_loss(LossTerms(logit_offsets=tuple(offsets))) == pytest.approx(expected, rel=1e-5)


def test_label_smoothing_is_that_of_keras():
    expected = float(keras.losses.CategoricalCrossentropy(label_smoothing=0.1)(ONE_HOT, softmax(LOGITS, axis=1)))
    assert class_loss(LossTerms(label_smoothing=0.1)) == pytest.approx(expected, rel=1e-5)
    expected = float(keras.losses.BinaryCrossentropy(label_smoothing=0.1)(LABELS, expit(LOGITS)))
    assert label_loss(LossTerms(label_smoothing=0.1)) == pytest.approx(expected, rel=1e-5)


def test_weights_of_labels_weigh_positives_and_negatives():
    positive, negative = np.array([2.0, 3.0, 1.0]), np.array([0.5, 0.2, 1.0])
    losses = -(positive * LABELS * np.log(expit(LOGITS)) + negative * (1 - LABELS) * np.log(expit(-LOGITS)))
    terms = LossTerms(class_weights=tuple(positive), negative_weights=tuple(negative))
    assert label_loss(terms) == pytest.approx(losses.mean(), rel=1e-5)


def test_tokens_without_a_label_do_not_count():
    tags = np.array([[0, 2, -1], [1, 0, 0]])
    logits = GENERATOR.normal(size=(2, 3, 3)).astype("float32")
    weights = np.array([0.2, 2.0, 4.0])
    losses = -np.take_along_axis(log_softmax(logits, axis=-1), np.maximum(tags, 0)[..., None], -1)[..., 0]
    expected = (losses * weights[tags] * (tags >= 0)).sum() / 5
    loss = TokenCrossEntropy(terms=LossTerms(class_weights=tuple(weights)))
    assert float(loss(tags, softmax(logits, axis=-1))) == pytest.approx(expected, rel=1e-5)


def test_weights_of_classes_weigh_the_cross_entropy_of_pixels():
    masks = np.array([[[[0], [1]], [[1], [255]]]])
    logits = GENERATOR.normal(size=(1, 2, 2, 2)).astype("float32")
    losses = -np.take_along_axis(log_softmax(logits, axis=-1), np.minimum(masks, 1), -1)[..., 0]
    weights = np.array([0.5, 4.0])
    expected = (losses * weights[np.minimum(masks[..., 0], 1)] * (masks[..., 0] != 255)).sum() / 3
    weighted = float(SegmentationLoss(0.0, class_weights=(0.5, 4.0))(masks, logits))
    assert weighted == pytest.approx(expected, rel=1e-5)
    assert SegmentationLoss(0.0, class_weights=(0.5, 4.0)).get_config()["class_weights"] == (0.5, 4.0)


def test_the_balanced_accuracy_is_that_of_scikit_learn():
    metric = BalancedAccuracy(4)  # the fourth class does not occur
    scores = np.pad(LOGITS, ((0, 0), (0, 1)), constant_values=-9)
    targets = np.pad(ONE_HOT, ((0, 0), (0, 1)))
    metric.update_state(targets[:2], scores[:2])
    metric.update_state(targets[2:], scores[2:])
    assert float(metric.result()) == pytest.approx(balanced_accuracy_score(CLASSES, LOGITS.argmax(1)))
    weighted = BalancedAccuracy.from_config({"classes": 3})
    weighted.update_state(ONE_HOT, LOGITS, sample_weight=np.arange(6))
    expected = balanced_accuracy_score(CLASSES, LOGITS.argmax(1), sample_weight=np.arange(6))
    assert float(weighted.result()) == pytest.approx(expected)


def test_a_task_without_classes_has_no_such_loss():
    for call in (lambda task: task.balanced_loss(LossTerms()), lambda task: task.class_rows(None)):
        with pytest.raises(InvalidInput, match=r"regression has no"):
            call(tltk.regression(["price"]))


def test_the_trained_model_has_the_task_of_the_user():
    assert squares_model().task.epoch_monitor().metric == "accuracy"
    assert squares_model().task.balanced_monitor().metric == "balanced_accuracy"
