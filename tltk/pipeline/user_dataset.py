"""Length and element structure of a user's `tf.data.Dataset`."""

from typing import Any

import tensorflow as tf

from tltk.foundation.errors import InvalidInput
from tltk.pipeline.loader import without_autograph


def count(data: tf.data.Dataset) -> int:
    """Count the elements of a dataset; if it does not know its length, it is read once.

    Raises:
        InvalidInput: If the dataset is infinite or empty.
    """
    length = int(data.cardinality())
    if length == tf.data.INFINITE_CARDINALITY:
        raise InvalidInput("`data` never ends, so an epoch has no length. Remove .repeat() or pass data.take(n).")
    if length == tf.data.UNKNOWN_CARDINALITY:
        length = int(data.reduce(tf.constant(0, tf.int64), without_autograph(lambda total, *_: total + 1)))
    if length == 0:
        raise InvalidInput("`data` holds no examples.")
    return length


def flat(element: tuple) -> tuple:
    """Return the arguments of a function passed to `Dataset.map` as a tuple of tensors.

    `map` unpacks an element that is a tuple, but passes a tuple inside a one-tuple as a single argument.
    """
    return element[0] if len(element) == 1 and isinstance(element[0], tuple) else element


def parts_of(element: Any) -> tuple:
    """Return an element or its spec as a tuple of its parts: inputs, targets, sample weights."""
    return element if isinstance(element, tuple) else (element,)
