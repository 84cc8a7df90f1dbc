"""Encodings of targets, eagerly and inside tf.data."""

import numpy as np
import pytest
import tensorflow as tf

from tltk.tasks.encodings import as_float, one_hot


def encoded(encode, targets):
    """Encode eagerly and inside tf.data, assert that both agree, and return the result."""
    eager = encode(tf.constant(targets)).numpy()
    dataset = tf.data.Dataset.from_tensor_slices(targets).batch(len(targets)).map(encode)
    np.testing.assert_array_equal(next(iter(dataset)).numpy(), eager)
    assert eager.dtype == np.float32
    return eager


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "float32"])
def test_indices_of_any_type_become_one_hot_rows(dtype):
    assert encoded(one_hot(3), np.array([2, 0], dtype)).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_a_column_of_indices_becomes_one_hot_rows():
    assert encoded(one_hot(3), np.array([[2], [0]])).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_encoded_rows_stay_as_they_are():
    rows = np.array([[0.25, 0.75], [1.0, 0.0]])
    np.testing.assert_array_equal(encoded(one_hot(2), rows), rows.astype("float32"))


def test_numbers_become_columns():
    assert encoded(as_float(1), np.array([2, 3])).tolist() == [[2.0], [3.0]]


def test_zeros_and_ones_keep_their_columns():
    assert encoded(as_float(3), np.array([[1, 0, 1], [0, 0, 1]], bool)).tolist() == [[1, 0, 1], [0, 0, 1]]
