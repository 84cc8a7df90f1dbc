"""Frequencies of classes in training masks."""

import numpy as np
import pytest

from tltk.data.masks import array_targets
from tltk.tasks.masks.frequencies import class_frequencies


def test_the_fraction_of_pixels_that_count():
    masks = np.zeros((3, 4, 5), "uint8")
    masks[0, 0], masks[1, :2] = 2, 255
    assert class_frequencies(array_targets(masks, 3), 3) == pytest.approx([45 / 50, 1e-3, 5 / 50])


def test_without_a_pixel_that_counts_classes_are_equal():
    assert class_frequencies(array_targets(np.full((1, 2, 2), 255, "uint8"), 4), 4) == pytest.approx([0.25] * 4)


def test_some_masks_of_many_are_read():
    masks = np.zeros((1000, 1, 2), "uint8")
    masks[:, 0, 1] = 1
    targets = array_targets(masks, 2)
    values = list(targets.values)
    assert class_frequencies(targets, 2) == pytest.approx([0.5, 0.5]) and len(values) == 1000
