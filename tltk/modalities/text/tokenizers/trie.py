"""Keys found at every character of many texts at once, in a graph, and the walk from one match to the next."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tltk.modalities.text.ragged import rows_of

_LETTERS, _NODES = 2**21, 2**32  # upper bounds of code points and of nodes


class Trie:
    """A tree of characters in a lookup table: time and memory grow with its matches, not with its longest key.

    Args:
        keys: Key → id, from 0 on; no key may be empty.
    """

    def __init__(self, keys: Mapping[str, int]) -> None:
        # (node, character) → next node and, in the upper half, one more than the id of the key that ends there.
        edges = {-1: -1}  # matches nothing: a table must not be empty
        for key, id_ in keys.items():
            node = edge = 0
            for letter in key:
                edge = node * _LETTERS + ord(letter)
                node = edges.setdefault(edge, len(edges) + 1) % _NODES
            edges[edge] = (id_ + 1) * _NODES + node
        sources, targets = (np.fromiter(values, np.int64, len(edges)) for values in (edges.keys(), edges.values()))
        self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(sources, targets), -1)

    def matches(self, points: tf.RaggedTensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Find every key at every character.

        Args:
            points: int32 [batch, (characters)], code points.

        Returns:
            int32 [matches] three times: the character, counted through all texts, at which a key starts; its length in
            characters; its id. Shorter keys come first.
        """
        flat = points.flat_values
        limits = tf.cast(tf.gather(points.row_limits(), rows_of(points)), tf.int32)

        def step(length: tf.Tensor, starts: tf.Tensor, node: tf.Tensor, matches: tf.Tensor) -> tuple:
            letter = tf.cast(tf.gather(flat, starts + length), tf.int64)
            edge = self.table.lookup(node * _LETTERS + letter)
            length += 1
            id_ = tf.cast(tf.bitwise.right_shift(edge, 32), tf.int32) - 1
            match = tf.stack([starts, tf.fill(tf.shape(starts), length), id_])
            matches = tf.concat([matches, tf.boolean_mask(match, id_ >= 0, axis=1)], 1)
            alive = (edge >= 0) & (starts + length < tf.gather(limits, starts))
            node = tf.bitwise.bitwise_and(edge, _NODES - 1)
            return length, tf.boolean_mask(starts, alive), tf.boolean_mask(node, alive), matches

        start = tf.range(tf.size(flat))
        state = 0, start, tf.zeros_like(start, tf.int64), tf.zeros([3, 0], tf.int32)
        shapes = tuple(map(tf.TensorShape, ([], [None], [None], [3, None])))
        matches = tf.while_loop(lambda _, starts, *__: tf.size(starts) > 0, step, state, shape_invariants=shapes)[-1]
        return matches[0], matches[1], matches[2]


def covered(starts: tf.Tensor, length: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Tell which characters lie inside a match, but not at its start.

    Args:
        starts: int32 [matches], the first character of each.
        length: int32 [matches], in characters.
        size: Scalar, the number of characters.

    Returns:
        bool [size].
    """
    edges = tf.concat([starts + 1, starts + length], 0)
    rises = tf.concat([tf.ones_like(starts), -tf.ones_like(starts)], 0)
    return tf.cumsum(tf.scatter_nd(edges[:, None], rises, [size + 1]))[:-1] > 0


def reached(jump: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
    """Follow jumps from every seed, twice as many in each round.

    Args:
        jump: int32 [n], the index that follows each; n leads out.
        seeds: bool [n], indices to start from.

    Returns:
        bool [n], the indices that are passed, seeds included.
    """
    out = tf.size(jump)

    def step(passed: tf.Tensor, jump: tf.Tensor, _: tf.Tensor) -> tuple:
        targets = tf.boolean_mask(jump, passed)[:, None]
        more = tf.tensor_scatter_nd_update(passed, targets, tf.fill(tf.shape(targets)[:1], True))
        return more, tf.gather(jump, jump), tf.reduce_any(more != passed)

    state = tf.concat([seeds, [True]], 0), tf.concat([jump, [out]], 0), tf.constant(True)
    return tf.while_loop(lambda *state: state[-1], step, state)[0][:-1]
