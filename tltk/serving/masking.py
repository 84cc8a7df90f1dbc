"""Masks the outputs of requests that could not be read."""

import tensorflow as tf


def mask_invalid(
    outputs: dict[str, tf.Tensor], valid: tf.Tensor, *, keep: tuple[str, ...] = ()
) -> dict[str, tf.Tensor]:
    """Replace the outputs of invalid requests by "", 0.0, False or, for integers, -1.

    Args:
        outputs: Name → tensor [batch, …].
        valid: bool [batch], False for requests that could not be read.
        keep: Names of constant outputs that are never masked, such as the class names.

    Returns:
        Name → masked tensor [batch, …].
    """
    return {name: tensor if name in keep else _mask(tensor, valid) for name, tensor in outputs.items()}


def _mask(tensor: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    fill = {tf.string: "", tf.int32: -1, tf.int64: -1}.get(tensor.dtype, tf.zeros([], tensor.dtype))
    broadcastable = tf.concat([tf.shape(valid), tf.ones([tf.rank(tensor) - 1], tf.int32)], 0)
    return tf.where(tf.reshape(valid, broadcastable), tensor, fill)
