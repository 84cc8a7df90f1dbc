"""Loss and metric of semantic segmentation against formulas and scikit-learn."""

import keras
import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from tltk.tasks.masks.loss import MeanIoU, SegmentationLoss

GENERATOR = np.random.default_rng(0)
LOGITS = GENERATOR.normal(size=(2, 3, 4, 3)).astype("float32")
MASKS = GENERATOR.integers(0, 3, (2, 3, 4, 1)).astype("int32")
MASKS[0, 0] = MASKS[1, 2, 1] = 255


def softmax(logits):
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(-1, keepdims=True)


def test_the_loss_is_the_mean_cross_entropy_of_valid_pixels_plus_dice():
    valid, probabilities = MASKS[..., 0] != 255, softmax(LOGITS.astype("float64"))
    true = MASKS[..., 0][valid]
    own = probabilities[valid][np.arange(len(true)), true]
    assert float(SegmentationLoss(0.0)(MASKS, LOGITS)) == pytest.approx(-np.log(own).mean(), rel=1e-5)
    dice = []
    for number in range(3):
        target, predicted = true == number, probabilities[valid][:, number]
        dice.append((2 * predicted[target].sum() + 1) / (target.sum() + predicted.sum() + 1))
    expected = -np.log(own).mean() + 0.5 * np.mean(1 - np.array(dice))
    assert float(SegmentationLoss(0.5)(MASKS, LOGITS)) == pytest.approx(expected, rel=1e-5)


def test_masks_without_a_valid_pixel_have_no_loss():
    assert float(SegmentationLoss()(np.full_like(MASKS, 255), LOGITS)) == 0


def test_logits_are_enlarged_to_the_pixels():
    masks = np.kron(MASKS[..., 0], np.ones((1, 4, 4), "int32"))[..., None]
    constant = np.broadcast_to(LOGITS[:, :1, :1], LOGITS.shape)
    assert float(SegmentationLoss(0.0)(masks, constant)) == pytest.approx(float(SegmentationLoss(0.0)(MASKS, constant)))


def test_the_mean_iou_equals_that_of_scikit_learn():
    valid = MASKS[..., 0] != 255
    metric = MeanIoU(3)
    metric.update_state(MASKS, LOGITS)
    expected = jaccard_score(MASKS[..., 0][valid], LOGITS.argmax(-1)[valid], average="macro")
    assert float(metric.result()) == pytest.approx(expected)
    metric.reset_state()
    metric.update_state(MASKS, LOGITS, sample_weight=np.array([1, 0]))
    first = jaccard_score(MASKS[0, ..., 0][valid[0]], LOGITS[0].argmax(-1)[valid[0]], average="macro")
    assert float(metric.result()) == pytest.approx(first)


def test_loss_and_metric_can_be_saved():
    for item in (SegmentationLoss(0.3), MeanIoU(4)):
        rebuilt = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(item))
        assert rebuilt.get_config() == item.get_config()


def test_pixels_that_share_logits_count_as_each_alone():
    generator = np.random.default_rng(0)
    masks = generator.integers(0, 3, (2, 16, 16, 1)).astype("uint8")
    masks[0, :3] = 255
    logits = generator.normal(size=(2, 4, 4, 3)).astype("float32")
    enlarged = np.asarray(keras.ops.image.resize(logits, (8, 8), interpolation="bilinear"))
    log_probabilities = np.repeat(np.repeat(enlarged - np.log(np.exp(enlarged).sum(-1, keepdims=True)), 2, 1), 2, 2)
    valid = masks[..., 0] != 255
    own = np.take_along_axis(log_probabilities, np.where(masks == 255, 0, masks).astype(int), -1)[..., 0]
    assert float(SegmentationLoss(0.0)(masks, logits)) == pytest.approx(-own[valid].mean(), rel=1e-5)
    target = np.eye(3)[np.where(valid, masks[..., 0], 0)] * valid[..., None]
    predicted = np.exp(log_probabilities) * valid[..., None]
    both, areas = (target * predicted).sum((0, 1, 2)), target.sum((0, 1, 2)) + predicted.sum((0, 1, 2))
    dice = (2 * both + 1) / (areas + 1)
    expected = -own[valid].mean() + (1 - dice).mean()
    assert float(SegmentationLoss(1.0)(masks, logits)) == pytest.approx(expected, rel=1e-5)
