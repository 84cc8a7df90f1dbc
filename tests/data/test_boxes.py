"""Targets of object detection."""

import subprocess
import sys

import numpy as np
import pytest

from tltk.data.boxes import BoxTargets
from tltk.data.source import Source
from tltk.data.split import split
from tltk.data.targets import as_objects
from tltk.specs import Boxes, LabelSpec

LABELS = LabelSpec(("cat", "dog", "cow"), "boxes")
SIZES = [[10, 20], [30, 40], [50, 60]]


def targets():
    return BoxTargets(
        as_objects(
            [Boxes([[1, 2, 3, 4], [0, 0, 9, 9]], [1, 0], [False, True]), Boxes([], []), Boxes([[0, 0, 5, 5]], [1])]
        ),
        SIZES,
    )


def source_of(contents):
    values = [Boxes([[0, 0, 5, 5]] * len(classes), classes) for classes in contents]
    sizes = np.full((len(values), 2), 10)
    return Source(
        "image", "arrays", np.zeros((len(values), 10, 10, 3), "uint8"), BoxTargets(as_objects(values), sizes), LABELS
    )


def test_boxes_are_taken_with_the_sizes_of_their_images():
    taken = targets().take([2, 0])
    assert taken.sizes.tolist() == [[50, 60], [10, 20]]
    assert taken.values[1].classes.tolist() == [1, 0]


def test_a_batch_of_boxes_is_padded():
    batch = targets().batch(np.array([1, 0]))
    assert batch["boxes"].shape == (2, 2, 4) and batch["boxes"][0].tolist() == [[0, 0, 0, 0]] * 2
    assert batch["labels"].tolist() == [[-1, -1], [1, 0]] and batch["ignored"].tolist() == [
        [False, False],
        [False, True],
    ]
    assert {name: spec.dtype.as_numpy_dtype for name, spec in targets().element_spec.items()} == {
        name: values.dtype.type for name, values in batch.items()
    }


def test_ignored_boxes_are_not_counted():
    assert targets().counts(LABELS) == {"cat": 0, "dog": 2, "cow": 0}
    assert targets().describe(LABELS) == "2 boxes of 3 classes, 1 ignored boxes, 1 images without a box"
    assert targets().label(0, LABELS) == (("dog", (1, 2, 3, 4)), ("cat (ignored)", (0, 0, 9, 9)))
    assert targets().cell(1, LABELS) == "no box"


def test_boxes_get_the_numbers_of_other_labels():
    relabelled = targets().relabelled(LABELS, LabelSpec(("cow", "dog", "pig", "cat"), "boxes"))
    assert relabelled.values[0].classes.tolist() == [1, 3] and relabelled.sizes.tolist() == SIZES


def test_sizes_of_all_images_are_required():
    with pytest.raises(ValueError, match=r"`sizes` must have height and width of the 1 images. Received: None"):
        BoxTargets(as_objects([Boxes([], [])]))


def test_a_split_gives_each_part_its_share_of_the_rare_classes():
    contents = [[0]] * 40 + [[0, 1]] * 10 + [[2, 0, 1]] * 10 + [[]] * 20
    for seed in range(3):
        for part, share in zip(split(source_of(contents), val=0.2, test=0.2, seed=seed), (6, 2, 2), strict=True):
            occurs = part.targets.contents(3)
            assert occurs.sum(0).tolist() == [share * 6, share * 2, share]
            assert (~occurs.any(1)).sum() == share * 2


def test_classes_of_single_images_do_not_prevent_a_split(caplog):
    parts = split(source_of([[0]] * 12 + [[1]] + [[2]]), val=0.2, test=0.2)
    assert [len(part) for part in parts] == [8, 3, 3]
    assert "part has no example of" in caplog.text
    assert [len(part) for part in split(source_of([[0], [1], [2]]), val=1, test=1)] == [1, 1, 1]


def test_groups_stay_together_in_a_split_by_contents():
    groups = np.repeat(np.arange(20), 2)
    parts = split(source_of([[0]] * 30 + [[1]] * 10), val=0.25, test=0, groups=groups)
    held_out = set(parts[1].ids // 2)
    assert held_out and not held_out & set(parts[0].ids // 2)


def test_other_boxes_have_other_bytes():
    source = source_of([[0], [1]])
    assert source.targets.tobytes() != source_of([[0], [2]]).targets.tobytes()
    assert source.targets.tobytes() == source_of([[0], [1]]).targets.tobytes()


@pytest.mark.parametrize("module", ["tltk.data.boxes", "tltk.data.masks", "tltk.data.targets"])
def test_modules_of_targets_can_be_imported_first(module):
    code = f"import {module}; from tltk.data.targets import TARGETS; assert {{'boxes', 'masks'}} <= set(TARGETS)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
