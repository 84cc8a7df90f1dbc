"""Requests of images, read in a graph so that one that cannot be decoded does not spoil the others."""

import tensorflow as tf

from tltk.modalities.context import Context
from tltk.modalities.image.decode import decode_image
from tltk.modalities.image.headers import MARKS
from tltk.modalities.requests import Request
from tltk.specs import ImageSpec

_NO_IMAGE = "not a JPEG, PNG, GIF, BMP or WebP image"
_DAMAGED = "truncated or damaged image, or one of over 89.5 megapixels"


def read_requests(image_bytes: tf.Tensor, spec: ImageSpec) -> Request:
    """Decode images, each on its own.

    An operation that fails ends its whole graph; a pipeline of tf.data is the one thing that can pass over it.

    Args:
        image_bytes: strings [batch].
        spec: what each is brought to.

    Returns:
        Pixels float32 [batch, height, width, channels], zeros where a request is invalid.
    """
    count = tf.size(image_bytes, tf.int64)
    numbered = tf.data.Dataset.from_tensor_slices((tf.range(count), image_bytes))
    decoded = numbered.map(
        lambda number, data: (number, decode_image(data, spec)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=False,
    ).ignore_errors(log_warning=False)
    # A dataset that is left with no element at all would be an error.
    last = tf.data.Dataset.from_tensors((count, tf.zeros(spec.shape)))
    numbers, pixels = decoded.concatenate(last).batch(count + 1).get_single_element()
    shape = tf.concat([count[None] + 1, tf.constant(spec.shape, tf.int64)], 0)
    pixels = tf.scatter_nd(numbers[:, None], pixels, shape)[:count]
    valid = tf.scatter_nd(numbers[:, None], tf.ones_like(numbers, tf.bool), count[None] + 1)[:count]
    padded = tf.strings.join([image_bytes, b"\0" * 12])
    known = [
        tf.reduce_all([tf.strings.substr(padded, at, len(mark)) == mark for at, mark in marks], 0)
        for marks in MARKS.values()
    ]
    reason = tf.where(image_bytes == b"", "0 bytes", tf.where(tf.reduce_any(known, 0), _DAMAGED, _NO_IMAGE))
    pixels = tf.ensure_shape(pixels, [None, *spec.shape])
    return Request(pixels, valid, tf.where(valid, "", reason), Context(count))
