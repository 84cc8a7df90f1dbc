"""Keys found at every character of many texts at once, in a graph, and the walk from one to the next."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

_LETTERS, _NODES = 2**21, 2**32  # more than there are code points, more than there will be nodes


class Trie:
    """A tree of characters in a lookup table: its time and memory grow with what it finds, not with its longest key.

    Args:
        keys: number of each key, from 0 on; no key may be empty.
    """

    def __init__(self, keys: Mapping[str, int]) -> None:
        # Node and character → node that follows, and above it one more than the number of the key that ends there.
        edges = {-1: -1}  # which leads nowhere: a table must not be empty
        for key, number in keys.items():
            node = edge = 0
            for letter in key:
                edge = node * _LETTERS + ord(letter)
                node = edges.setdefault(edge, len(edges) + 1) % _NODES
            edges[edge] = (number + 1) * _NODES + node
        froms, tos = (np.fromiter(each, np.int64, len(edges)) for each in (edges.keys(), edges.values()))
        self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(froms, tos), -1)

    def matches(self, points: tf.RaggedTensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Find every key at every character.

        Args:
            points: int32 [batch, (characters)], code points.

        Returns:
            int32 [matches] three times: the character, counted over all texts, at which a key begins; its length in
            characters; and its number. Shorter keys come first.
        """
        flat = points.flat_values
        stops = tf.cast(tf.gather(points.row_limits(), rows_of(points)), tf.int32)

        def step(length: tf.Tensor, where: tf.Tensor, node: tf.Tensor, found: tf.Tensor) -> tuple:
            letter = tf.cast(tf.gather(flat, where + length), tf.int64)
            reached = self.table.lookup(node * _LETTERS + letter)
            length += 1
            number = tf.cast(tf.bitwise.right_shift(reached, 32), tf.int32) - 1
            match = tf.stack([where, tf.fill(tf.shape(where), length), number])
            found = tf.concat([found, tf.boolean_mask(match, number >= 0, axis=1)], 1)
            on = (reached >= 0) & (where + length < tf.gather(stops, where))
            node = tf.bitwise.bitwise_and(reached, _NODES - 1)
            return length, tf.boolean_mask(where, on), tf.boolean_mask(node, on), found

        start = tf.range(tf.size(flat))
        state = 0, start, tf.zeros_like(start, tf.int64), tf.zeros([3, 0], tf.int32)
        shapes = tuple(map(tf.TensorShape, ([], [None], [None], [3, None])))
        found = tf.while_loop(lambda _, where, *__: tf.size(where) > 0, step, state, shape_invariants=shapes)[-1]
        return found[0], found[1], found[2]


def grouped(values: tf.Tensor, rows: tf.Tensor, count: tf.Tensor | None = None) -> tf.RaggedTensor:
    """Group values by the row each belongs to, in order.

    What the code itself has counted is not checked: the assertions would be a fifth of the operations of a tokenizer.

    Args:
        values: [values, …].
        rows: int32 or int64 [values], never falling.
        count: of rows, of that dtype; None ends with the last one that has a value.

    Returns:
        [rows, (values), …].
    """
    return tf.RaggedTensor.from_value_rowids(values, rows, count, validate=False)


def rows_of(table: tf.RaggedTensor) -> tf.Tensor:
    """Tell of each value which row it is in, int64 [values].

    `value_rowids()` does so by a mask of rows × longest row, which one long text among many makes too large.
    """
    limits = table.row_limits()
    return tf.searchsorted(limits, tf.range(table.row_splits[-1]), side="right", out_type=tf.int64)


def spanned(where: tf.Tensor, length: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Tell which characters are within a match and not at its beginning.

    Args:
        where: int32 [matches], the character at which each begins.
        length: int32 [matches], in characters.
        size: of all characters.

    Returns:
        bool [size].
    """
    edges = tf.concat([where + 1, where + length], 0)
    rises = tf.concat([tf.ones_like(where), -tf.ones_like(where)], 0)
    return tf.cumsum(tf.scatter_nd(edges[:, None], rises, [size + 1]))[:-1] > 0


def reached(jump: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
    """Follow jumps from every seed, twice as many in each round.

    Args:
        jump: int32 [n], the place that follows on each; n leads out.
        seeds: bool [n], places to begin at.

    Returns:
        bool [n], the places that are passed, seeds included.
    """
    out = tf.size(jump)

    def step(passed: tf.Tensor, jump: tf.Tensor, _: tf.Tensor) -> tuple:
        targets = tf.boolean_mask(jump, passed)[:, None]
        more = tf.tensor_scatter_nd_update(passed, targets, tf.fill(tf.shape(targets)[:1], True))
        return more, tf.gather(jump, jump), tf.reduce_any(more != passed)

    state = tf.concat([seeds, [True]], 0), tf.concat([jump, [out]], 0), tf.constant(True)
    return tf.while_loop(lambda *state: state[-1], step, state)[0][:-1]
