"""Checks and conversion of pixels and targets in arrays."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tltk.data.formats.arrays import check_pixels, check_targets, from_arrays, is_text
from tltk.errors import InvalidInput, InvalidType
from tltk.specs import LabelSpec


@pytest.mark.parametrize(
    ("shape", "expected"), [((2, 4, 4), (2, 4, 4, 1)), ((2, 4, 4, 1), (2, 4, 4, 1)), ((2, 4, 4, 3), (2, 4, 4, 3))]
)
def test_pixels_get_a_channel_axis(shape, expected):
    assert check_pixels(np.zeros(shape, "uint8")).shape == expected


def test_whole_numbers_become_uint8_and_others_float32():
    assert check_pixels(np.full((1, 2, 2, 3), 200, "int64")).dtype == np.uint8
    assert check_pixels(np.full((1, 2, 2, 3), 200.5)).dtype == np.float32


@pytest.mark.parametrize(
    ("x", "error", "match"),
    [
        (np.zeros((4, 4)), ValueError, r"`x` must be \[n, height, width\].*\(4, 4\)"),
        (np.zeros((0, 4, 4, 3)), ValueError, "and not empty"),
        (np.zeros((2, 3, 8, 8)), ValueError, "channels last"),
        (np.zeros((2, 4, 4, 3), "complex64"), TypeError, "must be numeric"),
        (np.zeros((2, 4, 4, 3), bool), TypeError, "must be numeric"),
        (np.full((2, 4, 4, 3), np.nan), ValueError, "NaN"),
        (np.full((2, 4, 4, 3), np.inf), ValueError, "infinite"),
        (np.full((2, 4, 4, 3), 256), ValueError, r"\[0, 255\].*`value_range`. Received: 256 to 256"),
        (np.full((2, 4, 4, 3), -1.0), ValueError, r"\[0, 255\].*`value_range`. Received: -1"),
        (np.full((2, 4, 4, 3), 0.5), ValueError, r"Did you mean x \* 255"),
        ([np.zeros((2, 2, 3)), np.zeros((3, 2, 3))], ValueError, "its images differ in size"),
    ],
)
def test_invalid_pixels_raise(x, error, match):
    with pytest.raises(error, match=match):
        check_pixels(x)


def test_texts_are_distinguished_from_pixels():
    assert is_text(["a", "b"]) and is_text(np.array(["a"]))
    assert not is_text(np.zeros((2, 4, 4, 3))) and not is_text(3)


def targets(y, count=4, *, labels=None, label_type="categorical"):
    return check_targets(y, count, labels=labels, label_type=label_type)


def test_the_labels_of_another_source_are_used():
    labels = LabelSpec(("a", "b"), "regression", mean=(0.0, 0.0), std=(1.0, 1.0))
    values, spec = targets(np.ones((4, 2)), labels=labels)
    assert spec is labels and values.dtype == np.float32


def test_indices_in_a_column_are_flattened():
    assert targets([[0], [1], [2], [0]])[0].tolist() == [0, 1, 2, 0]


def test_class_names_follow_the_order_of_labels():
    assert targets(["b", "a", "b", "a"], labels=("b", "a"))[0].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("y", [[["a"], ["b", "a"], [], ["b"]], [("a",), {"a", "b"}, (), {"b"}]])
def test_multilabel_targets_can_be_lists_of_names(y):
    values, labels = targets(y, label_type="multilabel")
    assert values.tolist() == [[1, 0], [1, 1], [0, 0], [0, 1]]
    assert labels == LabelSpec(("a", "b"), "multilabel")


def test_lists_of_one_name_can_be_categorical_or_multilabel():
    rows = [["a"], ["b"], ["a"], ["b"]]
    assert targets(rows)[0].tolist() == [0, 1, 0, 1]
    assert targets(rows, label_type="multilabel")[0].tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("y", "options", "match"),
    [
        ([0, 1, 0], {}, r"`y` must have 4 values"),
        (3, {}, r"`y` must have 4 values"),
        ([0.5, 1, 0, 0], {}, 'Did you mean label_type="regression"'),
        ([0, 1, 2, 3], {"labels": ("a", "b")}, r"must be class indices in \[0, 2\).*0 to 3"),
        ([-1, 1, 0, 0], {}, "Received: -1 to 1"),
        ([0, 0, 0, 0], {}, "at least two classes"),
        (["a", "b", "c", "a"], {"labels": ("a", "b")}, "'c' is not one of the 2 classes"),
        (np.full((4, 2), 0.5), {"label_type": "multilabel"}, "of 0 and 1"),
        ([0, 1, 0, 1], {"label_type": "multilabel"}, r"must be lists of class names, or \[n, classes\]"),
        ([[0], [0, 1], [], [1]], {"label_type": "multilabel"}, "must be lists of class names, or"),
        ([["a"], ["a", "b"], [], ["b"]], {}, 'Did you mean label_type="multilabel"'),
        (
            [["a"], ["c"], [], ["b"]],
            {"label_type": "multilabel", "labels": ("a", "b")},
            r"`y`\[1\]: 'c' is not one of the 2 classes",
        ),
        ([[1, 2], [1], [1], [1]], {"label_type": "regression"}, r"`y`\[0\].*must be a finite number"),
        (np.ones((4, 2)), {"label_type": "multilabel", "labels": ("a",)}, "must name the 2 columns"),
        ([1.0, np.nan, 1.0, 1.0], {"label_type": "regression"}, r"`y`\[1\].*must be a finite number"),
        (np.ones((4, 2, 2)), {"label_type": "regression"}, r"must be \[n\] or \[n, columns\]"),
        ([0, 1, 0, 1], {"label_type": "categorial"}, "Did you mean 'categorical'"),
    ],
)
def test_invalid_targets_raise(y, options, match):
    with pytest.raises(ValueError, match=match):
        targets(y, **options)


@pytest.mark.parametrize(("missing", "shown"), [(None, "None"), (float("nan"), "nan"), ("", "''"), (" ", "' '")])
def test_an_example_without_a_class_raises(missing, shown):
    with pytest.raises(ValueError, match=rf"class for each example. Received: `y`\[1\] is {shown}\. Leave these"):
        targets(["a", missing, "b", "a"])


def test_nan_as_a_class_index_raises():
    with pytest.raises(ValueError, match=r"class for each example. Received: `y`\[1\] is .*nan"):
        targets([0.0, np.nan, 1.0, 1.0])


class TestValueRange:
    def test_values_of_a_stated_range_are_kept(self):
        for dtype, expected in (("uint16", "uint16"), ("uint8", "uint8"), ("int32", "float32"), ("float64", "float32")):
            source = from_arrays(np.full((2, 4, 4, 3), 200, dtype), value_range=(0, 65535))
            assert source.examples.dtype == expected and (source.examples == 200).all()
            assert source.value_range == (0, 65535) and source.subset([1]).value_range == (0, 65535)
        assert from_arrays(np.full((2, 4, 4, 3), 0.5), value_range=(0, 1)).examples.max() == 0.5

    def test_values_outside_are_reported(self):
        x = np.zeros((3, 4, 4, 3), "float32")
        x[1, 0, 0], x[2, 0, 0, 0] = 1.5, -0.5
        message = (
            r"0 to 1. Received: -0.5 to 1.5; 4 of 144 values lie outside, in 2 of 3 images, the first of which is 1"
        )
        with pytest.raises(ValueError, match=message):
            from_arrays(x, value_range=(0, 1))

    @pytest.mark.parametrize("value_range", [(1, 0), (0, np.inf), 255, ("a", "b"), (0, 1, 2)])
    def test_the_range_must_be_a_pair(self, value_range):
        with pytest.raises(ValueError, match=r"`value_range` must be \(low, high\)"):
            from_arrays(np.zeros((2, 4, 4, 3)), value_range=value_range)

    def test_texts_have_none(self):
        with pytest.raises(ValueError, match="`value_range` applies to images"):
            from_arrays(["a", "b"], value_range=(0, 1))


def test_one_hot_rows_are_classes():
    values, labels = targets(np.eye(3)[[2, 0, 1, 2]], labels=("r", "g", "b"))
    assert values.tolist() == [2, 0, 1, 2] and labels.names == ("r", "g", "b") and labels.type == "categorical"
    with pytest.raises(ValueError, match=r"do not have a single 1\. Did you mean label_type=\"multilabel\""):
        targets([[1, 1], [1, 0], [0, 1], [0, 0]])
    with pytest.raises(ValueError, match=r"Pass class indices, such as y\.argmax\(1\)"):
        targets([[0.5, 0.5], [1, 0], [0, 1], [0, 1]])


@pytest.mark.parametrize(
    ("y", "names", "indices", "labels"),
    [
        ([1, 2, 3, 1], None, [0, 1, 2, 0], ("1", "2", "3")),
        ([10, 20, 10, 20], None, [0, 1, 0, 1], ("10", "20")),
        ([3, 5, 3, 5], (5, 3), [1, 0, 1, 0], ("5", "3")),
        ([0, 1, 0, 1], {1: "dog", 0: "cat"}, [0, 1, 0, 1], ("cat", "dog")),
        ([b"x", b"y", b"x", b"y"], None, [0, 1, 0, 1], ("x", "y")),
        (["x", "y", "x", "y"], [b"y", b"x"], [1, 0, 1, 0], ("y", "x")),
    ],
)
def test_classes_can_be_given_as_numbers_bytes_or_a_dict(y, names, indices, labels):
    values, spec = targets(y, labels=names)
    assert values.tolist() == indices
    assert spec.names == labels


@pytest.mark.parametrize(
    ("y", "match"),
    [
        ([1, 2, 1, 2], r"Do classes start at 1\? Pass y - 1"),
        ([0, -1, 1, 0], "Leave out examples without a label, such as -1"),
    ],
)
def test_indices_out_of_range_raise_with_the_likely_reason(y, match):
    with pytest.raises(ValueError, match=match):
        targets(y, labels=("a", "b"))


def test_keys_that_are_no_class_indices_raise():
    with pytest.raises(ValueError, match=r"the keys of `labels` must be the class indices from 0. Received: \[1, 2\]"):
        targets([1, 2, 1, 2], labels={1: "a", 2: "b"})


def test_a_single_image_is_not_taken_for_many_grey_ones():
    with pytest.raises(ValueError, match=r"shape \(24, 20, 3\). If it is one image, pass x\[None\]; if it is 24 grey"):
        from_arrays(np.zeros((24, 20, 3), "uint8"))
    assert len(from_arrays(np.zeros((24, 20, 3), "uint8")[..., None])) == 24


def test_lists_of_arrays_and_pil_images_are_images():
    grey, red = Image.new("L", (4, 3), 7), Image.new("RGB", (4, 3), (200, 0, 0))
    clear = Image.new("RGBA", (4, 3), (0, 0, 0, 0))
    assert from_arrays([grey, grey]).examples.shape == (2, 3, 4, 1)
    assert from_arrays([red, clear]).examples[:, 0, 0].tolist() == [[200, 0, 0], [255, 255, 255]]
    assert from_arrays([np.zeros((3, 4, 3), "uint8")] * 2).examples.shape == (2, 3, 4, 3)
    turned = Image.new("RGB", (4, 3))
    turned.getexif()[0x0112] = 6
    assert from_arrays([turned]).examples.shape == (1, 4, 3, 3)
    with pytest.raises(ValueError, match="its images differ in size"):
        from_arrays([red, Image.new("RGB", (5, 5))])


class Series:
    """A column of a table: not a list, with an index of its own."""

    def __init__(self, values):
        self.values = np.array(values, object)

    def __array__(self, dtype=None, copy=None):
        return self.values

    def __len__(self):
        return len(self.values)


@pytest.mark.parametrize(
    "texts",
    [
        [b"caf\xc3\xa9", b"tea"],
        np.array([b"caf\xc3\xa9", b"tea"]),
        np.array([["caf\u00e9"], ["tea"]]),
        np.array(["caf\u00e9", "tea"]),
        tf.constant(["caf\u00e9", "tea"]),
        Series(["caf\u00e9", "tea"]),
    ],
    ids=["bytes", "array of bytes", "column", "array", "tensor", "series"],
)
def test_texts_in_any_form(texts):
    assert from_arrays(texts, ["x", "y"]).examples.tolist() == ["caf\u00e9", "tea"]


def test_pairs_in_any_form():
    for pairs in (
        [(b"a", b"b"), ("c", "d")],
        np.array([["a", "b"], ["c", "d"]]),
        tf.constant([["a", "b"], ["c", "d"]]),
    ):
        assert from_arrays(pairs).examples.tolist() == [["a", "b"], ["c", "d"]]


def test_what_is_no_list_of_texts_is_explained():
    for texts, fragment in (
        ("one text", r"Received: one text. Pass \['one text'\]"),
        ([["a"], ["b"]], "a list of lists"),
    ):
        with pytest.raises(InvalidType, match=fragment):
            from_arrays(texts)


def test_numbers_that_are_no_class_indices_do_not_become_a_million_classes():
    with pytest.raises(InvalidInput, match=r"numbers up to 1,000,000,000, .* for 3 examples.*list\(map\(str, y\)\)"):
        from_arrays(["a", "b", "c"], [0, 10**9, 1])
    assert len(from_arrays(["a", "b"], [0, 999]).labels) == 1000


def test_a_set_of_names_has_no_order():
    with pytest.raises(InvalidType, match=r"a set has none: sorted\(labels\)"):
        from_arrays(["a", "b"], [0, 1], labels={"x", "y"})


def test_lists_of_labels_among_other_values_are_named():
    pixels = np.zeros((3, 8, 8, 3), "uint8")
    for label_type in ("multilabel", "categorical"):
        with pytest.raises(InvalidInput, match=r"one list per example\. Received: `y`\[1\] is None\..*empty list"):
            from_arrays(pixels, [["a"], None, ["b"]], label_type=label_type)
    with pytest.raises(InvalidInput, match=r"Received: `y`\[0\] is 'a', `y`\[2\] is 'b'"):
        from_arrays(pixels, ["a", ["a", "b"], "b"], label_type="multilabel")
    with pytest.raises(InvalidInput, match="Received: arrays or lists of different shapes"):
        from_arrays(pixels, [np.ones(2), np.ones(3), np.ones(2)], label_type="regression")
