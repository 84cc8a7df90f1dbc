"""Decoding of image requests, in a graph, so that an invalid request does not affect the others."""

import tensorflow as tf

from tltk.modalities.context import Context
from tltk.modalities.image.decode import decode_image, undecodable_reasons
from tltk.modalities.image.sizes import upright_size
from tltk.modalities.requests import Request
from tltk.specs import ImageSpec


def read_requests(image_bytes: tf.Tensor, spec: ImageSpec) -> Request:
    """Decode a batch of images with the decoder of training.

    An operation that fails ends the whole graph; only a tf.data pipeline can skip an element that fails.

    Args:
        image_bytes: Strings [batch], the bytes of image files.
        spec: Channels, size, resize mode and interpolation.

    Returns:
        The request, with pixels float32 [batch, height, width, channels] as `inputs`; zeros for invalid requests. Its
        context has the original sizes of letterboxed images (resize="pad"), and the input size for invalid ones.
    """
    is_padded = spec.resize == "pad"
    input_size = tf.constant(spec.shape[:2])
    count = tf.size(image_bytes, tf.int64)
    encoded = tf.data.Dataset.from_tensor_slices((tf.range(count), image_bytes))
    decoded = encoded.map(
        lambda row, data: (row, decode_image(data, spec), upright_size(data) if is_padded else input_size),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=False,
    ).ignore_errors(log_warning=False)
    # An extra row, because get_single_element fails on a dataset without elements.
    extra = tf.data.Dataset.from_tensors((count, tf.zeros(spec.shape), input_size))
    rows, pixels, sizes = decoded.concatenate(extra).batch(count + 1).get_single_element()
    shape = tf.concat([count[None] + 1, tf.constant(spec.shape, tf.int64)], 0)
    pixels = tf.scatter_nd(rows[:, None], pixels, shape)[:count]
    valid = tf.scatter_nd(rows[:, None], tf.ones_like(rows, tf.bool), count[None] + 1)[:count]
    pixels = tf.ensure_shape(pixels, [None, *spec.shape])
    all_sizes = tf.tensor_scatter_nd_update(tf.tile(input_size[None], [count + 1, 1]), rows[:, None], sizes)[:count]
    context = Context(count, image_sizes=all_sizes if is_padded else None)
    return Request(pixels, valid, tf.where(valid, "", undecodable_reasons(image_bytes)), context)
