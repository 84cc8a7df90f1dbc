"""Decode and resize images in chunks; an image that cannot be decoded does not affect the others."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import tensorflow as tf

from tltk.modalities.image.decode import DECODING_ERRORS, decode_unrounded, resize, why_undecodable
from tltk.specs import ImageSpec

CHUNK = 16  # images that a thread decodes in one call: enough to amortise the call, few enough to share out


def decode_chunk(images: np.ndarray, spec: ImageSpec, *, files: bool) -> tuple[np.ndarray, dict[int, str]]:
    """Decode images to the same size.

    Args:
        images: Object array [k] of paths (with `files`) or of encoded bytes.
        spec: Size, resize and interpolation.
        files: Whether `images` are paths.

    Returns:
        uint8 [valid, height, width, 3] of the images that can be decoded, in order; and of the others, index in
        `images` → the reason.
    """
    decode = _decoder(spec, files)
    try:
        return _as_array(decode(tf.constant(list(images)))), {}
    except DECODING_ERRORS:  # the call does not say of which image
        return _decode_each(images, decode, files=files)


def resize_chunk(images: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Resize images of one size.

    Args:
        images: uint8 or float32 [k, h, w, 1 or 3] in [0, 255]; one channel is repeated.
        spec: Size, resize and interpolation.

    Returns:
        [k, height, width, 3]: uint8, or of the same dtype if the size is right already.
    """
    rgb = np.broadcast_to(images, (*images.shape[:3], 3)) if images.shape[3] == 1 else images
    if rgb.shape[1:] == spec.shape:
        return rgb
    resize_all = _resizer(spec, rgb.shape[1:], tf.as_dtype(rgb.dtype))
    return _as_array(resize_all(tf.constant(rgb)))


def _decode_each(
    images: np.ndarray, decode: Callable[[tf.Tensor], tf.Tensor], *, files: bool
) -> tuple[np.ndarray, dict[int, str]]:
    valid, invalid = [], {}
    for index, image in enumerate(images):
        try:
            valid.append(_as_array(decode(tf.constant([image]))))
        except DECODING_ERRORS as error:
            reason = _why_unreadable(image) if files else why_undecodable(image)
            invalid[index] = reason or str(error).splitlines()[0]
    return (np.concatenate(valid) if valid else np.zeros((0,), np.uint8)), invalid


def _why_unreadable(path: str) -> str:
    """Say what is wrong with a file that could not be decoded; it may have changed since it was validated."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return error.strerror or str(error)
    return why_undecodable(data)


def _as_array(tensor: tf.Tensor) -> np.ndarray:
    return np.asarray(memoryview(tensor))  # without a copy


@lru_cache(maxsize=32)
def _decoder(spec: ImageSpec, files: bool) -> Callable[[tf.Tensor], tf.Tensor]:
    def decode(image: tf.Tensor) -> tf.Tensor:
        return decode_unrounded(tf.io.read_file(image) if files else image, spec)

    return _mapped(decode, tf.TensorSpec([None], tf.string), spec)


@lru_cache(maxsize=32)
def _resizer(spec: ImageSpec, shape: tuple[int, ...], dtype: tf.DType) -> Callable[[tf.Tensor], tf.Tensor]:
    return _mapped(lambda image: resize(image, spec), tf.TensorSpec([None, *shape], dtype), spec)


def _mapped(
    function: Callable[[tf.Tensor], tf.Tensor], signature: tf.TensorSpec, spec: ImageSpec
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Trace one call that applies `function` to each image, rounded to uint8; on the CPU, where the images are."""

    def apply(images: tf.Tensor) -> tf.Tensor:
        with tf.device("CPU:0"):
            output = tf.TensorSpec(spec.shape, tf.float32)
            pixels = tf.map_fn(function, images, fn_output_signature=output, parallel_iterations=1)
            return tf.cast(pixels + 0.5, tf.uint8)

    return tf.function(apply, input_signature=[signature], autograph=False).get_concrete_function()
