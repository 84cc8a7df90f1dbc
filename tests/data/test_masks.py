"""Targets of semantic segmentation."""

import numpy as np
import pytest

from tltk.data.masks import MaskTargets, array_targets
from tltk.data.source import Source
from tltk.data.targets import as_objects
from tltk.errors import InvalidInput
from tltk.specs import LabelSpec

LABELS = LabelSpec(("background", "cat", "dog"), "masks")
SMALL, LARGE = np.array([[0, 1]], np.uint8), np.array([[2, 2], [0, 255]], np.uint8)


def read_name(name):
    if name == "damaged":
        raise InvalidInput("no PNG")
    return {"small": SMALL, "large": LARGE}[name]


def named(*names, **options):
    return MaskTargets(as_objects(names), read_name, **options)


def test_masks_of_several_sizes_are_padded_to_a_batch():
    batch = named("small", "large").batch(np.array([0, 1]))
    assert batch["masks"].tolist() == [[[0, 1], [255, 255]], [[2, 2], [0, 255]]]
    assert batch["masks"].dtype == np.uint8


def test_masks_that_cannot_be_read_are_named_with_the_reason():
    masks = named("damaged", "small", "large", sizes=np.array([[1, 2], [3, 2], [2, 2]]))
    readable, unreadable = masks.read_masks(np.array([0, 1, 2]))
    assert [mask.tolist() for mask in readable] == [LARGE.tolist()]
    assert unreadable == {
        0: "its mask cannot be read: no PNG",
        1: "its mask cannot be read: the mask has 2 x 1 pixels, its image 2 x 3",
    }
    with pytest.raises(ValueError, match=r"masks cannot be read: .*no PNG, .*2 x 3"):
        masks.batch(np.array([0, 1]))


def test_masks_know_what_they_contain():
    contents = np.array([[True, True, False], [True, False, True], [True, True, False]])
    masks = named("small", "large", "small", contents=contents)
    assert masks.counts(LABELS) == {"background": 3, "cat": 2, "dog": 1}
    assert masks.strata().tolist() == [1, 2, 1]
    assert masks.take([1]).contents.tolist() == [[True, False, True]]
    assert masks.cell(1, LABELS) == "50.0% dog, 25.0% background, 25.0% ignored"
    assert named("small").strata() is None and named("small").counts(LABELS) == {}


def test_masks_get_the_numbers_of_other_labels():
    masks = named("small", "large", contents=np.array([[True, True, False], [True, False, True]]))
    relabelled = masks.relabelled(LABELS, LabelSpec(("cow", "dog", "cat", "background"), "masks"))
    assert relabelled.read_mask(1).tolist() == [[1, 1], [3, 255]]
    assert relabelled.contents.tolist() == [[False, False, True, True], [False, True, False, True]]


def test_masks_in_memory_have_the_size_of_their_array():
    masks = array_targets(np.array([[[0, 1]], [[2, 255]]], np.uint8), 3)
    assert masks.contents.tolist() == [[True, True, False], [False, False, True]]
    source = Source("image", "arrays", np.zeros((2, 1, 2, 3), "uint8"), masks, LABELS)
    assert source[0].label.tolist() == [[0, 1]]
    assert "uint8[1, 2]" in repr(source[1]) and "50.0% dog" in source._repr_html_()
