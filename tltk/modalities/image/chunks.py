"""Decode and resize several images per call, so that an image that cannot be decoded does not affect the others."""

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import tensorflow as tf

from tltk.modalities.image.decode import DECODING_ERRORS, decode_unrounded, resize, why_undecodable
from tltk.specs import ImageSpec

CHUNK_SIZE = 16  # images per call: enough to amortise the cost of a call, few enough to keep all threads busy


def decode_chunk(images: np.ndarray, spec: ImageSpec, *, are_paths: bool) -> tuple[np.ndarray, dict[int, str]]:
    """Decode images and resize them to one size.

    Args:
        images: Object array [k] of paths or of encoded bytes.
        spec: Size, resize mode and interpolation.
        are_paths: Whether `images` are paths.

    Returns:
        Pixels of the images that can be decoded, uint8 [valid, height, width, 3], in order (shape [0] if there are
        none); and a dictionary of the other images: index in `images` → reason.
    """
    decode = _decoder(spec, are_paths)
    try:
        return _as_array(decode(tf.constant(list(images)))), {}
    except DECODING_ERRORS:  # the error does not tell which image failed
        return _decode_one_by_one(images, decode, are_paths=are_paths)


def resize_chunk(images: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Resize images that all have the same size.

    Args:
        images: uint8 or float32 [k, h, w, 1 or 3] in [0, 255]; a single channel is repeated.
        spec: Size, resize mode and interpolation.

    Returns:
        Pixels [k, height, width, 3]: uint8, or the dtype of `images` if they need no resizing.
    """
    rgb = np.broadcast_to(images, (*images.shape[:3], 3)) if images.shape[3] == 1 else images
    if rgb.shape[1:] == spec.shape:
        return rgb
    resize_all = _resizer(spec, tf.as_dtype(rgb.dtype))
    return _as_array(resize_all(tf.constant(rgb)))


def _decode_one_by_one(
    images: np.ndarray, decode: Callable[[tf.Tensor], tf.Tensor], *, are_paths: bool
) -> tuple[np.ndarray, dict[int, str]]:
    valid, invalid = [], {}
    for index, image in enumerate(images):
        try:
            valid.append(_as_array(decode(tf.constant([image]))))
        except DECODING_ERRORS as error:
            reason = _why_unreadable(image) if are_paths else why_undecodable(image)
            invalid[index] = reason or str(error).splitlines()[0]
    return (np.concatenate(valid) if valid else np.zeros((0,), np.uint8)), invalid


def _why_unreadable(path: bytes) -> str:
    """Return why a file could not be decoded; it may have been changed or deleted since it was validated."""
    try:
        data = Path(os.fsdecode(path)).read_bytes()
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return error.strerror or str(error)
    return why_undecodable(data)


def _as_array(tensor: tf.Tensor) -> np.ndarray:
    return np.asarray(memoryview(tensor))  # without a copy


@lru_cache(maxsize=32)
def _decoder(spec: ImageSpec, are_paths: bool) -> Callable[[tf.Tensor], tf.Tensor]:
    def decode(image: tf.Tensor) -> tf.Tensor:
        return decode_unrounded(tf.io.read_file(image) if are_paths else image, spec)

    return _trace_over_batch(decode, tf.TensorSpec([None], tf.string), spec)


@lru_cache(maxsize=32)
def _resizer(spec: ImageSpec, dtype: tf.DType) -> Callable[[tf.Tensor], tf.Tensor]:
    # Of any size: a trace for each size would take far longer than the resizing.
    return _trace_over_batch(lambda image: resize(image, spec), tf.TensorSpec([None, None, None, 3], dtype), spec)


def _trace_over_batch(
    function: Callable[[tf.Tensor], tf.Tensor], signature: tf.TensorSpec, spec: ImageSpec
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Trace a graph that applies `function` to each image and rounds to uint8, on the CPU, where the images are."""

    def apply(images: tf.Tensor) -> tf.Tensor:
        with tf.device("CPU:0"):
            output = tf.TensorSpec(spec.shape, tf.float32)
            pixels = tf.map_fn(function, images, fn_output_signature=output, parallel_iterations=1)
            return tf.cast(pixels + 0.5, tf.uint8)

    return tf.function(apply, input_signature=[signature], autograph=False).get_concrete_function()
