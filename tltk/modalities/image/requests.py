"""Requests of images, decoded in a graph so that one that cannot be decoded does not affect the others."""

import tensorflow as tf

from tltk.modalities.context import Context
from tltk.modalities.image.decode import decode_image, undecodable_reasons
from tltk.modalities.requests import Request
from tltk.specs import ImageSpec


def read_requests(image_bytes: tf.Tensor, spec: ImageSpec) -> Request:
    """Decode images, each on its own, with the decoder of training.

    An operation that fails ends its whole graph; only a tf.data pipeline can skip an element that fails.

    Args:
        image_bytes: strings [batch].
        spec: Size, resize and interpolation.

    Returns:
        Pixels float32 [batch, height, width, 3], zeros where a request is invalid.
    """
    count = tf.size(image_bytes, tf.int64)
    numbered = tf.data.Dataset.from_tensor_slices((tf.range(count), image_bytes))
    decoded = numbered.map(
        lambda number, data: (number, decode_image(data, spec)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=False,
    ).ignore_errors(log_warning=False)
    # An extra row: it would be an error if no element were left.
    extra = tf.data.Dataset.from_tensors((count, tf.zeros(spec.shape)))
    numbers, pixels = decoded.concatenate(extra).batch(count + 1).get_single_element()
    shape = tf.concat([count[None] + 1, tf.constant(spec.shape, tf.int64)], 0)
    pixels = tf.scatter_nd(numbers[:, None], pixels, shape)[:count]
    valid = tf.scatter_nd(numbers[:, None], tf.ones_like(numbers, tf.bool), count[None] + 1)[:count]
    pixels = tf.ensure_shape(pixels, [None, *spec.shape])
    return Request(pixels, valid, tf.where(valid, "", undecodable_reasons(image_bytes)), Context(count))
