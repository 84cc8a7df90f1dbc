"""Digests of the decoded pixels of images: equal for a copy in another file format without loss."""

import hashlib
import io
import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from tltk.data.source import Source
from tltk.foundation.errors import InvalidInput
from tltk.modalities.image.channels import FILE_CHANNELS, GREY, RGB, convert_channels
from tltk.modalities.image.decode import DECODING_ERRORS, decode_full
from tltk.modalities.image.tiff import is_tiff, read_as_png
from tltk.pipeline.parallel import in_order
from tltk.specs.image import PIXEL_RANGE

_JPEG = b"\xff\xd8\xff"
_BLOCK = 512  # images in memory that are digested at once


def content_digests(source: Source, rows: np.ndarray) -> list[str]:
    """Digest the pixels of some images, as a viewer shows them in their own size: upright, 8 bits, alpha on white.

    Args:
        source: Images in files, in memory or in a stream.
        rows: int64 [k], ascending.

    Returns:
        Hexadecimal digits for each row; "" for images that cannot be decoded.
    """
    if source.storage == "arrays":
        return array_digests(source.examples[rows], source.value_range or PIXEL_RANGE)
    if source.storage == "files":
        return list(in_order(_digest_of_file, iter(source.examples[rows])))
    images = (data for _, block in source.examples[rows].read() for data in block)
    return list(in_order(_digest_of_image, images))


def array_digests(images: np.ndarray, value_range: tuple[float, float]) -> list[str]:
    """Digest images in memory; those with values in [0, 255] as if they were decoded from files.

    Args:
        images: Pixels [k, height, width, channels].
        value_range: Value of black and of white.
    """
    digests = []
    for start in range(0, len(images), _BLOCK):
        block = images[start : start + _BLOCK]
        if value_range == PIXEL_RANGE and block.shape[-1] in FILE_CHANNELS:
            block = _as_decoded(block)
        digests += [_digest(image) for image in block]
    return digests


def _as_decoded(images: np.ndarray) -> np.ndarray:
    """Convert grey, RGB and RGBA to what a decoder returns, uint8 RGB; values that are not whole stay."""
    if images.dtype != np.uint8:
        whole = images.astype(np.uint8)
        images = whole if np.array_equal(whole, images) else images
    if images.shape[-1] == GREY:
        return np.broadcast_to(images, (*images.shape[:3], RGB))
    return images if images.shape[-1] == RGB else convert_channels(tf.constant(images), RGB).numpy()


def _digest_of_file(path: Any) -> str:
    try:
        data = read_as_png(path) if is_tiff(path) else Path(path).read_bytes()
    except (OSError, InvalidInput):  # it is listed as unreadable when it is decoded
        return ""
    return _digest_of_image(data)


def _digest_of_image(data: bytes) -> str:
    try:
        pixels = _accurate_jpeg(data) if data.startswith(_JPEG) else None
        return _digest(_decoder()(tf.constant(data)).numpy() if pixels is None else pixels)
    except DECODING_ERRORS:  # as above
        return ""


def _accurate_jpeg(data: bytes) -> np.ndarray | None:
    """Decode a JPEG as most programs do that convert it; None if Pillow cannot.

    TensorFlow's own transform is faster and rounds differently, so that a PNG with the pixels of a JPEG would differ.
    """
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            warnings.simplefilter("ignore")
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _digest(pixels: np.ndarray) -> str:
    digest = hashlib.blake2b(repr((pixels.shape, pixels.dtype.str)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).tobytes())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _decoder() -> Any:
    with tf.device("CPU:0"):
        signature: Sequence[tf.TensorSpec] = [tf.TensorSpec([], tf.string)]
        return tf.function(decode_full, input_signature=signature, autograph=False).get_concrete_function()
