"""The losses of FCOS against values that were computed by hand."""

import keras
import numpy as np
import pytest

from tltk.tasks.boxes.loss import BoxLoss, CentrenessLoss, FocalLoss, centreness

log = np.log


def test_the_focal_loss_equals_the_formula():
    predicted = np.array([[[0.9, 0.2], [0.1, 0.4], [0.5, 0.5], [0.3, 0.7]]], "float32")
    positions = np.array([[[0], [-1], [-2], [1]]])
    expected = 0.25 * 0.1**2 * -log(0.9) + 0.75 * 0.2**2 * -log(0.8)  # class 0
    expected += 0.75 * 0.1**2 * -log(0.9) + 0.75 * 0.4**2 * -log(0.6)  # background
    expected += 0.75 * 0.3**2 * -log(0.7) + 0.25 * 0.3**2 * -log(0.7)  # class 1; the third position is ignored
    assert float(FocalLoss()(positions, predicted)) == pytest.approx(expected / 2, rel=1e-5)


def test_the_loss_is_divided_by_the_objects_of_the_whole_batch():
    predicted = np.full((2, 3, 1), 0.5, "float32")
    one, three = np.array([[0, -1, -1], [-1, -1, -1]])[..., None], np.array([[0, 0, -1], [0, -1, -1]])[..., None]
    background, own = 0.75 * 0.25 * -log(0.5), 0.25 * 0.25 * -log(0.5)
    assert float(FocalLoss()(one, predicted)) == pytest.approx(own + 5 * background, rel=1e-5)
    assert float(FocalLoss()(three, predicted)) == pytest.approx((3 * own + 3 * background) / 3, rel=1e-5)
    nothing = np.full((2, 3, 1), -1)
    assert float(FocalLoss()(nothing, predicted)) == pytest.approx(6 * background, rel=1e-5)  # as for one object


def test_the_box_loss_is_weighted_by_centreness():
    true = np.array([[[2, 2, 2, 2], [1, 2, 4, 2], [0, 0, 0, 0]]], "float32")
    predicted = np.array([[[2, 2, 2, 6], [1, 2, 4, 2], [9, 9, 9, 9]]], "float32")
    # Only the first box is wrong: 4 x 4 in 4 x 8, so GIoU = 0.5; centreness 1 and 0.5.
    assert float(BoxLoss()(true, predicted)) == pytest.approx(0.5 / 1.5, rel=1e-5)
    assert float(BoxLoss(weight=2.0)(true, predicted)) == pytest.approx(2 * 0.5 / 1.5, rel=1e-5)


def test_the_centreness_loss_is_the_cross_entropy_of_positions_with_an_object():
    true = np.array([[[2, 2, 2, 2], [1, 2, 4, 2], [0, 0, 0, 0]]], "float32")
    predicted = np.array([[[0.8], [0.6], [0.9]]], "float32")
    expected = -log(0.8) - (0.5 * log(0.6) + 0.5 * log(0.4))
    assert float(CentrenessLoss()(true, predicted)) == pytest.approx(expected / 2, rel=1e-5)
    np.testing.assert_allclose(centreness(true[0]), [1.0, 0.5, 0.0], atol=1e-6)


@pytest.mark.parametrize(
    "loss", [FocalLoss(gamma=1.5), BoxLoss(weight=3.0), CentrenessLoss()], ids=lambda loss: loss.name
)
def test_a_batch_without_objects_has_a_finite_loss_and_the_losses_can_be_saved(loss):
    shapes = {
        "focal_loss": ((2, 3, 1), (2, 3, 4)),
        "box_loss": ((2, 3, 4), (2, 3, 4)),
        "centreness_loss": ((2, 3, 4), (2, 3, 1)),
    }
    true, predicted = (np.zeros(shape, "float32") for shape in shapes[loss.name])
    true = true - 1 if loss.name == "focal_loss" else true
    assert np.isfinite(float(loss(true, predicted)))
    rebuilt = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert rebuilt.get_config() == loss.get_config()
