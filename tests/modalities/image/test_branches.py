"""Conditional execution of one branch, eagerly and in a graph."""

import tensorflow as tf

from tltk.modalities.image.branches import choose

BRANCHES = [lambda x: x + 1.0, lambda x: x * 10.0, lambda x: -x]


def test_the_branch_at_the_index_is_called_eagerly_and_in_a_graph():
    graph = tf.function(lambda index, x: choose(index, BRANCHES, x))
    for index, expected in ((0, 4.0), (1, 30.0), (2, -3.0), (7, -3.0), (-1, -3.0)):
        assert float(choose(tf.constant(index), BRANCHES, tf.constant(3.0))) == expected
        assert float(graph(tf.constant(index), tf.constant(3.0))) == expected


def test_other_branches_are_not_executed():
    def fails(x):
        with tf.control_dependencies([tf.debugging.Assert(False, ["executed"])]):
            return tf.identity(x)

    graph = tf.function(lambda index, x: choose(index, [BRANCHES[0], fails], x))
    assert float(graph(tf.constant(0), tf.constant(1.0))) == 2.0
