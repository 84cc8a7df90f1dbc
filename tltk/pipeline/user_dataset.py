"""A `tf.data.Dataset` that a user brings: its length, and the shape of its elements."""

from typing import Any

import tensorflow as tf

from tltk.pipeline.loader import as_written


def count(data: tf.data.Dataset) -> int:
    """Count the elements of a dataset; one that does not know is read once.

    Raises:
        ValueError: if it never ends, or holds nothing.
    """
    found = int(data.cardinality())
    if found == tf.data.INFINITE_CARDINALITY:
        raise ValueError("`data` never ends: an epoch has no length. Did you mean data.take(n), or to drop .repeat()?")
    if found == tf.data.UNKNOWN_CARDINALITY:
        found = int(data.reduce(tf.constant(0, tf.int64), as_written(lambda total, *_: total + 1)))
    if found == 0:
        raise ValueError("`data` holds no examples.")
    return found


def flat(element: tuple) -> tuple:
    """Undo what `map` does to datasets of single tensors and of one-tuples: always return a tuple of tensors."""
    return element[0] if len(element) == 1 and isinstance(element[0], tuple) else element


def parts_of(element: Any) -> tuple:
    """Return an element spec as a tuple of one to three parts: inputs, targets, sample weights."""
    return element if isinstance(element, tuple) else (element,)
