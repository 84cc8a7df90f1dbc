import numpy as np
import tensorflow as tf

from tltk.modalities.text.ragged import grouped, rows_of


def test_each_value_knows_its_row_if_some_rows_are_empty():
    table = tf.ragged.constant([[], [1, 2], [], [], [3], []], dtype=tf.int32)
    assert rows_of(table).numpy().tolist() == [1, 1, 4] == table.value_rowids().numpy().tolist()
    assert rows_of(tf.ragged.constant([], ragged_rank=1, dtype=tf.int32)).numpy().tolist() == []


def test_one_long_row_among_many_takes_no_more_memory_than_its_values():
    lengths = np.ones(100_000, np.int64)
    lengths[7] = 1_000_000  # a mask of rows × longest row would have 10^11 places
    table = tf.RaggedTensor.from_row_lengths(tf.zeros(lengths.sum(), tf.int32), lengths)
    assert np.array_equal(rows_of(table), np.repeat(np.arange(100_000), lengths))


def test_values_are_grouped_by_row_and_rows_without_values_are_empty():
    values, rows = tf.constant([1, 2, 3]), tf.constant([0, 2, 2], tf.int64)
    assert grouped(values, rows, tf.constant(4, tf.int64)).to_list() == [[1], [], [2, 3], []]
    assert grouped(values, rows).to_list() == [[1], [], [2, 3]]
    assert grouped(values[:0], rows[:0], tf.constant(2, tf.int64)).to_list() == [[], []]
