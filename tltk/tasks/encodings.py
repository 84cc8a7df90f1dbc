"""Target encodings: graph functions that turn a batch of raw targets into the input of a loss."""

from collections.abc import Callable, Sequence

import tensorflow as tf

Encoding = Callable[[tf.Tensor], tf.Tensor]


def one_hot(classes: int) -> Encoding:
    """Build the one-hot encoding of class indices.

    Args:
        classes: Number of classes.

    Returns:
        Indices int [batch] or [batch, 1], or encoded targets float [batch, classes] → float32 [batch, classes].

    Examples:
        >>> one_hot(3)(tf.constant([2])).numpy().tolist()
        [[0.0, 0.0, 1.0]]
    """

    def encode(targets: tf.Tensor) -> tf.Tensor:
        if len(targets.shape) == 2 and targets.shape[-1] == classes and classes > 1:
            return tf.cast(targets, tf.float32)
        return tf.one_hot(tf.reshape(tf.cast(targets, tf.int32), [-1]), classes)

    return encode


def named_classes(names: Sequence[str], targets: tf.Tensor) -> tf.Tensor:
    """Convert class names to class indices, in the graph; targets that are not strings are returned unchanged.

    Args:
        names: Class names.
        targets: Strings [batch] or [batch, 1], each of them in `names`.

    Returns:
        int64 [batch].

    Examples:
        >>> named_classes(("cat", "dog"), tf.constant(["dog", "cat"])).numpy().tolist()
        [1, 0]
    """
    if targets.dtype != tf.string:
        return targets
    return tf.argmax(tf.cast(tf.reshape(targets, [-1, 1]) == tf.constant(list(names)), tf.int32), -1)


def as_tokens(targets: tf.Tensor) -> tf.Tensor:
    """Cast integer targets of tokens to int32."""
    return tf.cast(targets, tf.int32)


def as_float(columns: int) -> Encoding:
    """Build the encoding of regression targets or 0/1 vectors.

    Args:
        columns: Values per example.

    Returns:
        [batch] or [batch, columns] of any numeric dtype → float32 [batch, columns].

    Examples:
        >>> as_float(1)(tf.constant([2, 3])).shape
        TensorShape([2, 1])
    """

    def encode(targets: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.cast(targets, tf.float32), [-1, columns])

    return encode
