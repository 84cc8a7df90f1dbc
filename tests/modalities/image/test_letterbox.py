"""Letterboxing of boxes and masks agrees with that of the pixels."""

import numpy as np
import pytest
import tensorflow as tf

from tltk.modalities.image.decode import resize
from tltk.modalities.image.letterbox import bars, boxes_to_input, boxes_to_original, fitted_size, mask_to_input
from tltk.specs import ImageSpec

SIZES = [(20, 40), (57, 31), (64, 64), (12, 200), (333, 250)]
SPEC = ImageSpec(64, 48, resize="pad")


@pytest.mark.parametrize("size", SIZES)
def test_boxes_and_masks_lie_where_their_pixels_lie(size):
    box = (np.array([0.25, 0.25, 0.75, 0.75]) * np.tile(size, 2)).round().astype("float32")
    image = np.zeros((*size, 3), "float32")
    top, left, bottom, right = box.astype(int)
    image[top:bottom, left:right] = 255
    pixels = resize(tf.constant(image), SPEC).numpy()[..., 0]
    moved = boxes_to_input(box[None, None], [size], SPEC).numpy()[0, 0]
    rows, columns = np.nonzero(pixels > 127)
    np.testing.assert_allclose(moved, [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1], atol=1.01)
    mask = mask_to_input((image[..., 0] > 0).astype("uint8"), SPEC, fill=255)
    (above, before), (height, width) = bars(fitted_size(size, SPEC), SPEC).numpy(), fitted_size(size, SPEC).numpy()
    inside = mask[above : above + height, before : before + width]
    assert set(np.unique(inside)) <= {0, 1} and (mask == 255).sum() == mask.size - height * width
    assert np.mean((mask == 1) != (pixels > 127)) < 0.03


@pytest.mark.parametrize("size", SIZES)
def test_boxes_return_to_the_original(size):
    generator = np.random.default_rng(0)
    low = generator.uniform(0, 0.5, (1, 9, 2))
    boxes = (np.concatenate([low, low + 0.5], -1) * np.tile(size, 2)).astype("float32")
    returned = boxes_to_original(boxes_to_input(boxes, [size], SPEC), tf.constant([size]), SPEC)
    np.testing.assert_allclose(returned, boxes, atol=1e-3)
    outside = boxes_to_original(tf.constant([[[-5.0, -5, 900, 900]]]), tf.constant([size]), SPEC)
    np.testing.assert_allclose(outside[0, 0], [0, 0, *size])
