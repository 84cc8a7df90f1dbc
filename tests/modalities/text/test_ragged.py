import numpy as np
import tensorflow as tf

from tltk.modalities.text.ragged import grouped, rows_of


def test_the_row_of_each_value_is_returned_if_some_rows_are_empty():
    table = tf.ragged.constant([[], [1, 2], [], [], [3], []], dtype=tf.int32)
    assert rows_of(table).numpy().tolist() == [1, 1, 4] == table.value_rowids().numpy().tolist()
    assert rows_of(tf.ragged.constant([], ragged_rank=1, dtype=tf.int32)).numpy().tolist() == []


def test_one_long_row_among_many_needs_no_mask_of_rows_times_longest_row():
    lengths = np.ones(100_000, np.int64)
    lengths[7] = 1_000_000  # such a mask would have 10^11 values
    table = tf.RaggedTensor.from_row_lengths(tf.zeros(lengths.sum(), tf.int32), lengths)
    assert np.array_equal(rows_of(table), np.repeat(np.arange(100_000), lengths))


def test_values_are_grouped_by_row_and_rows_without_values_are_empty():
    values, rows = tf.constant([1, 2, 3]), tf.constant([0, 2, 2], tf.int64)
    assert grouped(values, rows, tf.constant(4, tf.int64)).to_list() == [[1], [], [2, 3], []]
    assert grouped(values, rows).to_list() == [[1], [], [2, 3]]
    assert grouped(values[:0], rows[:0], tf.constant(2, tf.int64)).to_list() == [[], []]
