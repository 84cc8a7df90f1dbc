"""Raw labels become targets; every value that cannot is named with its place."""

import numpy as np
import pytest
import tensorflow as tf

from tltk.data.targets import (
    TARGETS,
    LazyTargets,
    RaggedTargets,
    Targets,
    categorical,
    multilabel,
    numbers,
    register_targets,
)


def place(row: int) -> str:
    return f"row {row}"


def test_class_names_become_sorted_indices():
    targets, labels = categorical(["dog", "cat", "dog"], place=place)
    assert targets.tolist() == [1, 0, 1] and targets.dtype == np.int32
    assert labels.names == ("cat", "dog") and labels.type == "categorical"


def test_names_given_keep_their_order():
    targets, labels = categorical(["a", "b"], names=("b", "a", "c"), place=place)
    assert targets.tolist() == [1, 0]
    assert labels.names == ("b", "a", "c")


def test_unknown_class_names_are_all_named():
    with pytest.raises(ValueError, match=r"(?s)row 1: 'dgo' is none.*Did you mean 'dog'.*row 2: 'eel'"):
        categorical(["dog", "dgo", "eel"], names=("cat", "dog"), place=place)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match=r"at least two classes.*cat"):
        categorical(["cat", "cat"], place=place)


def test_several_names_become_zeros_and_ones():
    targets, labels = multilabel([["b", "a"], [], ["b"]], place=place)
    assert targets.tolist() == [[1, 1], [0, 0], [0, 1]] and targets.dtype == np.float32
    assert labels.type == "multilabel"


def test_no_label_at_all_is_refused():
    with pytest.raises(ValueError, match="no example has a label"):
        multilabel([[], []], place=place)


def test_unknown_names_among_several_are_named():
    with pytest.raises(ValueError, match="row 1: 'z' is none of the 2 classes"):
        multilabel([["a"], ["b", "z"]], names=("a", "b"), place=place)


def test_numbers_carry_mean_and_deviation():
    targets, labels = numbers([["1"], [3]], names=("age",), place=place)
    assert targets.tolist() == [[1.0], [3.0]] and targets.dtype == np.float32
    assert (labels.mean, labels.std) == ((2.0,), (1.0,))


def test_a_constant_column_has_deviation_one():
    assert numbers([[5], [5]], names=("age",), place=place)[1].std == (1.0,)


def test_what_is_no_finite_number_is_all_named():
    with pytest.raises(ValueError, match=r"(?s)row 0: `age`.*'old'.*row 1: `age`.*nan.*row 2: `age`.*inf.*row 3.*None"):
        numbers([["old"], [float("nan")], ["inf"], [None]], names=("age",), place=place)


def test_targets_are_taken_by_number_and_seen_as_an_array():
    targets = Targets(np.array([[1.0], [2.0], [3.0]], "float32"))
    assert targets.take([2, 0]).tolist() == [[3.0], [1.0]]
    assert (targets.shape, targets.dtype, len(targets)) == ((3, 1), np.float32, 3)
    np.testing.assert_array_equal(np.asarray(targets), targets.values)
    assert targets[1].tolist() == [2.0] and [value.tolist() for value in targets] == targets.tolist()
    assert targets.element_spec == tf.TensorSpec([None, 1], tf.float32)


def test_ragged_targets_make_ragged_batches():
    boxes = np.empty(3, object)
    boxes[:] = [np.full((count, 4), count, "float32") for count in (2, 0, 1)]
    targets = RaggedTargets(boxes)
    batch = targets.take([2, 1, 0]).batch(np.array([0, 1, 2]))
    assert batch.row_lengths().numpy().tolist() == [1, 0, 2]
    assert batch.to_list() == [[[1.0] * 4], [], [[2.0] * 4] * 2]
    assert targets.element_spec.is_compatible_with(batch)


def test_lazy_targets_are_read_when_their_batch_is():
    read = []
    targets = LazyTargets(
        np.array(["a", "bb", "ccc"], object),
        read=lambda name: read.append(name) or np.full((2, 2), len(name)),
        element_shape=(2, 2),
    )
    chosen = targets.take([2, 0])
    assert read == []
    batch = chosen.batch(np.array([0, 1]))
    assert read == ["ccc", "a"] and batch[:, 0, 0].tolist() == [3, 1] and batch.dtype == np.uint8
    assert chosen.element_spec.is_compatible_with(tf.constant(batch))


def test_a_type_of_labels_is_registered_once():
    with pytest.raises(ValueError, match=r"type of labels 'categorical' is registered already"):
        register_targets("categorical", RaggedTargets)
    assert "categorical" in TARGETS and "boxes of nobody" not in TARGETS
