"""Boxes and masks in memory."""

import numpy as np
import pytest

import tltk
from tltk.data.formats.arrays import from_arrays
from tltk.errors import InvalidInput

X = np.zeros((2, 10, 20, 3), "uint8")


def test_dicts_and_boxes_become_targets_with_the_size_of_the_images():
    y = [
        {"boxes": [[1, 2, 3, 4], [0, 0, 10, 20]], "labels": ["dog", "cat"], "ignored": [False, True]},
        {"boxes": [], "labels": []},
    ]
    source = from_arrays(X, y, label_type="boxes")
    assert source.labels == tltk.LabelSpec(("cat", "dog"), "boxes")
    assert source.targets.values[0].classes.tolist() == [1, 0] and source.targets.values[0].ignored.tolist() == [
        False,
        True,
    ]
    assert source.targets.sizes.tolist() == [[10, 20]] * 2
    again = from_arrays(X, list(source.targets.values), labels=source.labels)
    assert again.targets.tobytes() == source.targets.tobytes()
    numbered = [{"boxes": np.ones((1, 4)) * [1, 1, 2, 2], "labels": np.array([1])}] * 2
    assert from_arrays(X, numbered, labels=["a", "b"], label_type="boxes").counts() == {"a": 0, "b": 2}


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (
            {"boxes": [[0, 0, 11, 5]], "labels": [0]},
            r"lie in their image of 20 x 10 pixels. Received: \[0.0, 0.0, 11.0",
        ),
        ({"boxes": [[0, 0, 0, 5]], "labels": [0]}, "must have an area"),
        ({"boxes": [[0, 0, 1, 5]], "labels": [2]}, "2 is not one of the 2 classes"),
        ({"boxes": [[0, 0, 1, 5]], "labels": ["catt"]}, "'catt' is not one of the 2 classes. Did you mean 'cat'"),
        ({"boxes": [[0, 0, 1]], "labels": [0]}, r"`boxes` must be \[k, 4\]"),
        ({"boxes": [], "labels": [], "scores": []}, "`y` has no key 'scores'"),
        ([[0, 0, 1, 5]], 'must be `Boxes`, or a dict of "boxes" and "labels"'),
        (tltk.Boxes([[0, 0, 1, 5]], [7]), "classes must be below 2"),
    ],
)
def test_wrong_boxes_are_listed_by_their_image(item, message):
    with pytest.raises(InvalidInput, match=r"(?s)`y`\[1\].*" + message):
        from_arrays(X, [{"boxes": [], "labels": []}, item], labels=("cat", "dog"), label_type="boxes")


def test_boxes_without_names_or_of_another_number_raise():
    with pytest.raises(InvalidInput, match=r"must be a list of 2 dicts or `Boxes`, one per image. Received: 1 items"):
        from_arrays(X, [{"boxes": [], "labels": []}], labels=["a"], label_type="boxes")
    with pytest.raises(InvalidInput, match="`labels` must name the classes"):
        from_arrays(X, [{"boxes": [[0, 0, 1, 1]], "labels": [0]}] * 2, label_type="boxes")


def test_masks_of_the_size_of_the_images_become_targets():
    y = np.zeros((2, 10, 20), np.int64)
    y[0, 2:4], y[1, 0] = 1, 255
    source = from_arrays(X, y, labels=("background", "cat"), label_type="masks")
    assert (source[0].label == y[0]).all() and source[0].label.dtype == np.uint8
    assert source.counts() == {"background": 2, "cat": 1}
    assert from_arrays(X, y[..., None], label_type="masks").labels.names == ("0", "1")


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros((2, 10, 10), int), r"integers of the shape \[2, 10, 20\].*Received: int64 \[2, 10, 10\]"),
        (np.zeros((2, 10, 20)), "Received: float64"),
        (np.full((2, 10, 20), 2), "Received: 2 classes, and the values 2"),
        (np.full((2, 10, 20), -1), "Received: 2 classes, and the values -1"),
    ],
)
def test_wrong_masks_raise(y, message):
    with pytest.raises(InvalidInput, match=message):
        from_arrays(X, y, labels=("a", "b"), label_type="masks")
