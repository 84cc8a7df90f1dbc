"""Target encodings: batches of raw targets to what a loss takes, as graph operations for the pipeline."""

from collections.abc import Callable

import tensorflow as tf

Encoding = Callable[[tf.Tensor], tf.Tensor]


def one_hot(classes: int) -> Encoding:
    """Build an encoding of class indices.

    Args:
        classes: number of classes.

    Returns:
        int [batch] or [batch, 1] of indices, or float [batch, classes] already encoded → float32 [batch, classes].

    Example:
        >>> one_hot(3)(tf.constant([2])).numpy().tolist()
        [[0.0, 0.0, 1.0]]
    """

    def encode(targets: tf.Tensor) -> tf.Tensor:
        if len(targets.shape) == 2 and targets.shape[-1] == classes and classes > 1:
            return tf.cast(targets, tf.float32)
        return tf.one_hot(tf.reshape(tf.cast(targets, tf.int32), [-1]), classes)

    return encode


def as_tokens(targets: tf.Tensor) -> tf.Tensor:
    """Leave targets of tokens as they are, but for their type: whole numbers → int32."""
    return tf.cast(targets, tf.int32)


def as_float(columns: int) -> Encoding:
    """Build an encoding of numbers or 0/1 vectors.

    Args:
        columns: numbers an example.

    Returns:
        [batch] or [batch, columns] of any number type → float32 [batch, columns].

    Example:
        >>> as_float(1)(tf.constant([2, 3])).shape
        TensorShape([2, 1])
    """

    def encode(targets: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.cast(targets, tf.float32), [-1, columns])

    return encode
