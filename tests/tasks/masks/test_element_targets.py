"""Masks in the size of the input."""

import numpy as np

from tltk.data.boxes import as_objects
from tltk.data.masks import MaskTargets
from tltk.specs import ImageSpec
from tltk.tasks.masks.element_targets import LetterboxedMasks


def test_masks_are_letterboxed_and_unreadable_ones_are_named():
    def read(value):
        if value is None:
            raise OSError("no such file")
        return value

    values = as_objects([np.ones((10, 20), "uint8"), None, np.zeros((8, 8), "uint8")])
    targets = LetterboxedMasks(MaskTargets(values, read), ImageSpec(8, 8, resize="pad")).take([0, 1, 2])
    batch, unreadable = targets.read(np.arange(3))
    assert batch["masks"].shape == (2, 8, 8) and not batch["masks"][1].any()
    assert batch["masks"][0, :, 0].tolist() == [255, 255, 1, 1, 1, 1, 255, 255]
    assert list(unreadable) == [1] and "no such file" in unreadable[1]
    assert targets.element_spec["masks"].shape == (None, 8, 8)
    assert targets.batch(np.array([0]))["masks"].shape == (1, 8, 8)
