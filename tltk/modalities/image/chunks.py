"""Decode many pictures at once, on all cores, without letting a bad one spoil the others."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import tensorflow as tf

from tltk.modalities.image.decode import DECODING_ERRORS, decode_unrounded, resize
from tltk.modalities.image.validate import why_undecodable, why_unreadable
from tltk.specs import ImageSpec

CHUNK = 16  # pictures one thread decodes in one call: enough to forget the cost of a call, few enough to share out


def decode_chunk(pictures: np.ndarray, spec: ImageSpec, *, files: bool) -> tuple[np.ndarray, dict[int, str]]:
    """Decode pictures that fit the same spec.

    Args:
        pictures: object array [k] of paths (with `files`) or of encoded bytes.
        spec: what each is brought to.
        files: whether `pictures` are paths.

    Returns:
        uint8 [k - bad, h, w, 3] of the good ones in order, and why each bad one (by its number) is bad.
    """
    decode = _decoder(spec, files)
    try:
        return _pixels(decode(tf.constant(list(pictures)))), {}
    except DECODING_ERRORS:  # one of them is bad: find out which
        return _one_by_one(pictures, decode, files=files)


def _one_by_one(pictures: np.ndarray, decode: Callable, *, files: bool) -> tuple[np.ndarray, dict[int, str]]:
    good, invalid = [], {}
    for number, picture in enumerate(pictures):
        try:
            good.append(_pixels(decode(tf.constant([picture]))))
        except DECODING_ERRORS as error:
            reason = why_unreadable(picture) if files else ""
            data = picture if not files else _bytes(picture)
            invalid[number] = reason or (why_undecodable(data) if data else "") or str(error).splitlines()[0]
    return (np.concatenate(good) if good else np.zeros((0,), np.uint8)), invalid


def _bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read()
    except OSError:  # why_unreadable has said so already
        return b""


def _pixels(tensor: tf.Tensor) -> np.ndarray:
    return np.asarray(memoryview(tensor))  # no copy


@lru_cache(maxsize=32)
def _decoder(spec: ImageSpec, files: bool) -> Callable[[tf.Tensor], tf.Tensor]:
    def one(picture: tf.Tensor) -> tf.Tensor:
        return decode_unrounded(tf.io.read_file(picture) if files else picture, spec)

    return _for_each(one, tf.TensorSpec([None], tf.string), spec)


@lru_cache(maxsize=32)
def _resizer(spec: ImageSpec, shape: tuple[int, ...], dtype: tf.DType) -> Callable[[tf.Tensor], tf.Tensor]:
    return _for_each(lambda image: resize(image, spec), tf.TensorSpec([None, *shape], dtype), spec)


def _for_each(
    function: Callable[[tf.Tensor], tf.Tensor], signature: tf.TensorSpec, spec: ImageSpec
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Trace one call for many pictures; all of it on the CPU, where the pictures are."""

    def each(pictures: tf.Tensor) -> tf.Tensor:
        with tf.device("CPU:0"):
            made = tf.TensorSpec(spec.shape, tf.float32)
            pixels = tf.map_fn(function, pictures, fn_output_signature=made, parallel_iterations=1)
            return tf.cast(pixels + 0.5, tf.uint8)

    return tf.function(each, input_signature=[signature], autograph=False).get_concrete_function()


def resize_chunk(pixels: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Bring pixels [k, h, w, 1 or 3] to [k, height, width, 3]; rounded to uint8 unless their size is right already."""
    colour = np.broadcast_to(pixels, (*pixels.shape[:3], 3)) if pixels.shape[3] == 1 else pixels
    if colour.shape[1:] == spec.shape:
        return colour
    fit = _resizer(spec, colour.shape[1:], tf.as_dtype(colour.dtype))
    return _pixels(fit(tf.constant(colour)))
