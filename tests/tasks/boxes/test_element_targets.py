"""Boxes in the pixels of the input."""

import numpy as np

from tltk.data.boxes import BoxTargets, as_objects
from tltk.specs import Boxes, ImageSpec
from tltk.tasks.boxes.element_targets import LetterboxedBoxes


def test_boxes_move_with_the_letterboxed_image_and_padding_stays():
    values = as_objects([Boxes([[0, 0, 100, 200]], [1]), Boxes([[5, 6, 7, 8], [0, 0, 9, 9]], [0, 1], [False, True])])
    targets = LetterboxedBoxes(BoxTargets(values, [[100, 200], [50, 50]]), ImageSpec(50, 50, resize="pad"))
    batch = targets.take([1, 0]).batch(np.array([0, 1]))
    assert batch["boxes"].tolist() == [[[5, 6, 7, 8], [0, 0, 9, 9]], [[12, 0, 37, 50], [0, 0, 0, 0]]]
    assert batch["labels"].tolist() == [[0, 1], [1, -1]] and batch["ignored"].tolist() == [
        [False, True],
        [False, False],
    ]
    assert set(targets.element_spec) == set(batch)
