"""Decode and resize several images per call, so that an image that cannot be decoded does not affect the others."""

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tltk.foundation.errors import InvalidInput
from tltk.modalities.image.channels import GREY, RGB, convert_channels
from tltk.modalities.image.decode import DECODING_ERRORS, DEEP_RANGE, decode_unrounded, resize, why_undecodable
from tltk.modalities.image.tiff import is_tiff, read_as_png
from tltk.specs import ImageSpec
from tltk.specs.image import PIXEL_RANGE

CHUNK_SIZE = 16  # images per call: enough to amortise the cost of a call, few enough to keep all threads busy


def stored_dtype(spec: ImageSpec) -> tf.DType:
    """Return the dtype of decoded or resized pixels: the smallest that keeps the values of files."""
    return {PIXEL_RANGE: tf.uint8, DEEP_RANGE: tf.uint16}.get(spec.value_range, tf.float32)


def decode_chunk(images: np.ndarray, spec: ImageSpec, *, are_paths: bool) -> tuple[np.ndarray, dict[int, str]]:
    """Decode images and resize them to one size.

    Args:
        images: Object array [k] of paths or of encoded bytes.
        spec: Size, resize mode and interpolation.
        are_paths: Whether `images` are paths.

    Returns:
        Pixels of the images that can be decoded, of `stored_dtype` [valid, height, width, channels], in order (shape
        [0] without images); and a dictionary of the other images: index in `images` → reason.
    """
    if are_paths and any(map(is_tiff, images)):
        return _decode_with_tiffs(images, spec)
    decode = _decoder(spec, are_paths)
    try:
        return _as_array(decode(tf.constant(list(images)))), {}
    except DECODING_ERRORS:  # the error does not tell which image failed
        return _decode_one_by_one(images, decode, are_paths=are_paths)


def resize_chunk(images: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Resize images that all have the same size.

    Args:
        images: uint8, uint16 or float32 [k, h, w, channels] in `spec.value_range`; grey, RGB and RGBA are converted to
            each other.
        spec: Channels, size, resize mode and interpolation.

    Returns:
        Pixels [k, height, width, channels] of `stored_dtype`, or the dtype of `images` if they need no resizing.
    """
    converted = images
    if images.shape[3] == GREY and spec.channels == RGB:
        converted = np.broadcast_to(images, (*images.shape[:3], RGB))
    elif images.shape[3] != spec.channels:
        converted = _as_array(convert_channels(tf.constant(images), spec.channels, high=spec.value_range[1]))
    if converted.shape[1:] == spec.shape:
        return converted
    resize_all = _resizer(spec, tf.as_dtype(converted.dtype))
    return _as_array(resize_all(tf.constant(converted)))


def _decode_one_by_one(
    images: Sequence[Any] | np.ndarray, decode: Callable[[tf.Tensor], tf.Tensor], *, are_paths: bool
) -> tuple[np.ndarray, dict[int, str]]:
    valid, invalid = [], {}
    for index, image in enumerate(images):
        try:
            valid.append(_as_array(decode(tf.constant([image]))))
        except DECODING_ERRORS as error:
            reason = _why_unreadable(image) if are_paths else why_undecodable(image)
            invalid[index] = reason or str(error).splitlines()[0]
    return (np.concatenate(valid) if valid else np.zeros((0,), np.uint8)), invalid


def _decode_with_tiffs(paths: np.ndarray, spec: ImageSpec) -> tuple[np.ndarray, dict[int, str]]:
    """Decode files some of which are TIFFs, which TensorFlow cannot read."""
    pixels, invalid = [], {}
    for index, path in enumerate(paths):
        try:
            images, are_paths = (read_as_png(path), False) if is_tiff(path) else (path, True)
        except (OSError, InvalidInput) as error:
            invalid[index] = getattr(error, "strerror", None) or str(error)
            continue
        decoded, reasons = _decode_one_by_one([images], _decoder(spec, are_paths), are_paths=are_paths)
        if reasons:
            invalid[index] = reasons[0]
        else:
            pixels.append(decoded)
    return (np.concatenate(pixels) if pixels else np.zeros((0,), np.uint8)), invalid


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
    signature = tf.TensorSpec([None, None, None, spec.channels], dtype)
    return _trace_over_batch(lambda image: resize(image, spec), signature, spec)


def _trace_over_batch(
    function: Callable[[tf.Tensor], tf.Tensor], signature: tf.TensorSpec, spec: ImageSpec
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Trace a graph that applies `function` to each image and rounds integers, on the CPU, where the images are."""

    dtype = stored_dtype(spec)

    def apply(images: tf.Tensor) -> tf.Tensor:
        with tf.device("CPU:0"):
            output = tf.TensorSpec(spec.shape, tf.float32)
            pixels = tf.map_fn(function, images, fn_output_signature=output, parallel_iterations=1)
            return pixels if dtype == tf.float32 else tf.cast(pixels + 0.5, dtype)

    return tf.function(apply, input_signature=[signature], autograph=False).get_concrete_function()
