"""Answers to requests that cannot be read."""

import tensorflow as tf


def blanked(answers: dict[str, tf.Tensor], valid: tf.Tensor, *, keep: tuple[str, ...] = ()) -> dict[str, tf.Tensor]:
    """Empty the answers to requests that cannot be read: "", 0, False, and -1 for whole numbers.

    Args:
        answers: name → [batch, …].
        valid: bool [batch].
        keep: names that are not answers and stay, such as the class names.

    Returns:
        The same names.
    """
    return {name: value if name in keep else _where(valid, value) for name, value in answers.items()}


def _where(valid: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    empty = {tf.string: "", tf.int32: -1, tf.int64: -1}.get(value.dtype, tf.zeros([], value.dtype))
    rows = tf.reshape(valid, tf.concat([tf.shape(valid), tf.ones([tf.rank(value) - 1], tf.int32)], 0))
    return tf.where(rows, value, empty)
