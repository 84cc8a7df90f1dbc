"""Masks are drawn over their images."""

import numpy as np
import pytest

from tltk.errors import InvalidInput
from tltk.tasks.drawing import PALETTE
from tltk.tasks.masks.records import SegmentationPrediction

NAMES = ("background", "cat", "dog")


def prediction(mask):
    return SegmentationPrediction("a.jpg", "", None, {}, mask=mask, names=NAMES)


def test_classes_are_translucent_and_the_background_is_clear():
    image = np.full((300, 400, 3), 100, "uint8")
    mask = np.zeros((300, 400), "uint8")
    mask[100:200, 150:250] = 1
    drawn = np.asarray(prediction(mask).draw(image))
    assert drawn.shape == image.shape and tuple(drawn[50, 200]) == (100, 100, 100)
    np.testing.assert_allclose(drawn[150, 200], (100 + np.array(PALETTE[1])) / 2, atol=1)
    assert tuple(drawn[100, 200]) == PALETTE[1]  # the outline
    assert (drawn == PALETTE[1]).all(-1).sum() > 4 * 100  # the legend, too
    truth = np.full_like(mask, 255)
    truth[:, :200] = 2
    both = prediction(mask).draw(image, truth=truth)
    assert both.width > 800 and both.height > 300
    assert SegmentationPrediction("a.jpg", "", None, {}, mask=mask).draw(image).size == (400, 300)  # without names


def test_an_image_of_another_size_is_refused():
    image, mask = np.zeros((30, 40, 3), "uint8"), np.zeros((40, 30), "uint8")
    with pytest.raises(InvalidInput, match="40 x 30 pixels, and `mask` 30 x 40"):
        prediction(mask).draw(image)
    with pytest.raises(InvalidInput, match="`truth` 30 x 40"):
        prediction(mask.T).draw(image, truth=mask)
