"""Conversion of labels to targets, with errors that list every invalid value and its row."""

import numpy as np
import pytest
import tensorflow as tf

from tltk.data.formats.arrays import from_arrays
from tltk.data.targets import (
    TARGETS,
    LazyTargets,
    RaggedTargets,
    Targets,
    categorical,
    multilabel,
    register_targets,
    regression,
)
from tltk.errors import InvalidInput
from tltk.specs import LabelSpec


def row_id(row: int) -> str:
    return f"row {row}"


def test_class_names_become_sorted_indices():
    targets, labels = categorical(["dog", "cat", "dog"], row_id=row_id)
    assert targets.tolist() == [1, 0, 1] and targets.dtype == np.int32
    assert labels.names == ("cat", "dog") and labels.type == "categorical"


def test_the_order_of_names_is_kept():
    targets, labels = categorical(["a", "b"], names=("b", "a", "c"), row_id=row_id)
    assert targets.tolist() == [1, 0]
    assert labels.names == ("b", "a", "c")


def test_all_unknown_class_names_are_listed():
    with pytest.raises(ValueError, match=r"(?s)row 1: 'dgo' is not one of.*Did you mean 'dog'.*row 2: 'eel'"):
        categorical(["dog", "dgo", "eel"], names=("cat", "dog"), row_id=row_id)


def test_a_single_class_raises():
    with pytest.raises(ValueError, match=r"at least two classes.*cat"):
        categorical(["cat", "cat"], row_id=row_id)


def test_lists_of_class_names_become_zeros_and_ones():
    targets, labels = multilabel([["b", "a"], [], ["b"]], row_id=row_id)
    assert targets.tolist() == [[1, 1], [0, 0], [0, 1]] and targets.dtype == np.float32
    assert labels.type == "multilabel"


def test_examples_without_any_label_raise():
    with pytest.raises(ValueError, match="no example has a label"):
        multilabel([[], []], row_id=row_id)


def test_unknown_names_in_lists_raise():
    with pytest.raises(ValueError, match="row 1: 'z' is not one of the 2 classes"):
        multilabel([["a"], ["b", "z"]], names=("a", "b"), row_id=row_id)


def test_regression_labels_have_mean_and_standard_deviation():
    targets, labels = regression([["1"], [3]], names=("age",), row_id=row_id)
    assert targets.tolist() == [[1.0], [3.0]] and targets.dtype == np.float32
    assert (labels.mean, labels.std) == ((2.0,), (1.0,))


def test_the_standard_deviation_of_a_constant_column_is_one():
    assert regression([[5], [5]], names=("age",), row_id=row_id)[1].std == (1.0,)


def test_all_values_that_are_not_finite_numbers_are_listed():
    with pytest.raises(ValueError, match=r"(?s)row 0: `age`.*'old'.*row 1: `age`.*nan.*row 2: `age`.*inf.*row 3.*None"):
        regression([["old"], [float("nan")], ["inf"], [None]], names=("age",), row_id=row_id)


def test_targets_can_be_indexed_and_converted_to_an_array():
    targets = Targets(np.array([[1.0], [2.0], [3.0]], "float32"))
    assert targets.take([2, 0]).tolist() == [[3.0], [1.0]]
    assert (targets.shape, targets.dtype, len(targets)) == ((3, 1), np.float32, 3)
    np.testing.assert_array_equal(np.asarray(targets), targets.values)
    assert targets[1].tolist() == [2.0] and [value.tolist() for value in targets] == targets.tolist()
    assert targets.element_spec == tf.TensorSpec([None, 1], tf.float32)


def test_ragged_targets_give_ragged_batches():
    boxes = np.empty(3, object)
    boxes[:] = [np.full((count, 4), count, "float32") for count in (2, 0, 1)]
    targets = RaggedTargets(boxes)
    batch = targets.take([2, 1, 0]).batch(np.array([0, 1, 2]))
    assert batch.row_lengths().numpy().tolist() == [1, 0, 2]
    assert batch.to_list() == [[[1.0] * 4], [], [[2.0] * 4] * 2]
    assert targets.element_spec.is_compatible_with(batch)


def test_lazy_targets_are_read_with_their_batch():
    names_read = []
    targets = LazyTargets(
        np.array(["a", "bb", "ccc"], object),
        read_value=lambda name: names_read.append(name) or np.full((2, 2), len(name)),
        element_shape=(2, 2),
    )
    subset = targets.take([2, 0])
    assert names_read == []
    batch = subset.batch(np.array([0, 1]))
    assert names_read == ["ccc", "a"] and batch[:, 0, 0].tolist() == [3, 1] and batch.dtype == np.uint8
    assert subset.element_spec.is_compatible_with(tf.constant(batch))


def test_lazy_targets_that_cannot_be_read_are_named(tmp_path):
    np.save(tmp_path / "0.npy", np.zeros((2, 2), "uint8"))
    np.save(tmp_path / "1.npy", np.zeros((3, 2), "uint8"))
    (tmp_path / "2.npy").write_bytes(b"damaged")
    paths = np.array([str(tmp_path / f"{number}.npy") for number in range(4)], object)
    targets = LazyTargets(paths, element_shape=(2, 2))
    arrays, unreadable = targets.read(np.arange(4))
    assert arrays.shape == (1, 2, 2) and list(unreadable) == [1, 2, 3]
    assert "shape is (3, 2), not (2, 2)" in unreadable[1] and "2.npy cannot be read" in unreadable[2]
    with pytest.raises(InvalidInput, match=r"1\.npy.*2\.npy.*3\.npy"):
        targets.batch(np.arange(4))


def test_a_label_type_cannot_be_registered_twice():
    with pytest.raises(ValueError, match=r"label type 'categorical' is registered already"):
        register_targets("categorical", RaggedTargets)
    assert "categorical" in TARGETS and "unregistered" not in TARGETS


def test_an_empty_class_name_is_refused_with_its_rows():
    with pytest.raises(ValueError, match=r"(?s)`y`\[1\] has an empty class name.*`y`\[2\] has"):
        from_arrays(["x", "y", "z"], [["a"], [""], ["b", " "]], label_type="multilabel")
    for labels in (["a", ""], ["a", "\u200b"]):
        with pytest.raises(ValueError, match=r"`names` must not hold an empty name. Received: names\[1\] = ''"):
            LabelSpec(tuple(labels))


def test_nan_that_numpy_made_text_of_is_no_class_unless_it_is_named():
    texts, y = ["x", "y", "z"], np.array(["a", "b", np.nan])
    with pytest.raises(ValueError, match=r"`y`\[2\] is 'nan', the text of a missing value.*pass `labels`"):
        from_arrays(texts, y)
    assert from_arrays(texts, y, labels=["a", "b", "nan"]).targets.tolist() == [0, 1, 2]
