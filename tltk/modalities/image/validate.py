"""Validate image files before training, without decoding those that look whole."""

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import tensorflow as tf
from PIL import Image, WebPImagePlugin

from tltk.modalities.image import headers
from tltk.modalities.image.decode import EMPTY, MAX_PIXELS, NOT_AN_IMAGE, why_undecodable

_THREADS = 8  # mostly waiting for the disk
_FILES_PER_TASK = 256
_TAIL = 64  # bytes in which the end marker is looked for
# Pillow loads all of its plugins to look for WebP, unless that one is imported.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", WebPImagePlugin.WebPImageFile.format)
_END_MARKERS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82", "GIF": b"\0;"}
# Pillow raises these for headers it cannot read; an OSError of the disk has a number.
_HEADER_ERRORS = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def invalid_files(paths: Sequence[str | Path]) -> list[str]:
    """Say of image files what is wrong with each, without decoding those that look whole.

    Pillow reads the header, and the end of the file is looked at: a few tenths of a millisecond each. A file that does
    not pass is decoded once, to be sure: many good ones lack the end marker, have bytes behind it, or a header that
    Pillow refuses and TensorFlow reads. Damage in the middle of a file shows while training decodes it, where the image
    is left out as well.

    Args:
        paths: Of files.

    Returns:
        For each file, why it cannot be used, such as "missing", "0 bytes", "truncated or damaged JPEG", "not a JPEG,
        PNG, GIF, BMP or WebP image" or "100.0 megapixels (limit 89.5)"; "" for the others.

    Example:
        >>> invalid_files(["no such file.jpg"])
        ['missing']
    """
    tasks = [paths[start : start + _FILES_PER_TASK] for start in range(0, len(paths), _FILES_PER_TASK)]
    with warnings.catch_warnings(), ThreadPoolExecutor(_THREADS) as pool:
        warnings.filterwarnings("ignore", module="PIL")  # of damaged metadata, and of sizes, which are checked here
        reasons_by_task = pool.map(lambda task: [_why_invalid(path) for path in task], tasks)
        return [reason for reasons in reasons_by_task for reason in reasons]


def _why_invalid(path: str | Path) -> str:
    try:
        if os.path.isdir(path):  # noqa: PTH112 - a million Path objects are slow
            return "a folder"
        with open(path, "rb") as file:  # noqa: PTH123
            return _check(file, os.fstat(file.fileno()).st_size)
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return error.strerror or str(error)


def _check(file: BinaryIO, size: int) -> str:
    if not size:
        return EMPTY
    try:
        image = Image.open(file, formats=_FORMATS)
    except _HEADER_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        return _why_undecodable(file)
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        return f"{pixels / 1e6:.1f} megapixels (limit {MAX_PIXELS / 1e6:.1f})"
    return "" if _is_complete(image, file, size) else _why_undecodable(file)


def _is_complete(image: Image.Image, file: BinaryIO, size: int) -> bool:
    """Tell whether a file ends as its format does, or is as long as its header says."""
    if image.format == "WEBP":
        return True  # Pillow refuses one that is shorter than its header says
    if image.format == "BMP":
        codec, _, offset, (_, stride, *_) = image.tile[0]  # type: ignore[attr-defined]
        return codec == "raw" and offset + stride * image.height <= size
    file.seek(max(0, size - _TAIL))
    return _END_MARKERS[str(image.format)] in file.read()


def _why_undecodable(file: BinaryIO) -> str:
    file.seek(0)
    head = file.read(16)
    if int(headers.format_of(tf.constant(head))) == headers.UNKNOWN:
        return NOT_AN_IMAGE  # without reading the rest, which may be gigabytes
    return why_undecodable(head + file.read())
