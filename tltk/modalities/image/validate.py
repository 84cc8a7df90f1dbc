"""Validation of image files before training, which decodes only files that look damaged."""

import os
import stat
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import tensorflow as tf
from PIL import Image, WebPImagePlugin

from tltk.modalities.image import headers
from tltk.modalities.image.decode import DAMAGED, EMPTY, NOT_AN_IMAGE, why_undecodable
from tltk.modalities.image.tiff import is_tiff, too_large, why_unsupported

MAX_FILE_BYTES = 2**30  # more than an image of MAX_PIXELS with 16 bits takes without compression
_THREADS = 8  # they mostly wait for the disk
_FILES_PER_TASK = 256
_TAIL_BYTES = 64  # the last bytes of a file, in which the end marker is expected
# WebPImagePlugin is imported because Pillow would otherwise load all of its plugins to find WebP.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", WebPImagePlugin.WebPImageFile.format)
_END_MARKERS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82", "GIF": b"\0;"}
# Pillow raises these for headers it cannot read; an OSError of the disk has an errno.
_HEADER_ERRORS = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def invalid_files(paths: Sequence[str | Path]) -> list[str]:
    """Return why each image file cannot be used, without decoding files that look complete.

    Checking a header (with Pillow) and the end of a file takes a few tenths of a millisecond. Only files that fail a
    check are decoded, because many valid ones lack the end marker, have other bytes after it, or have a header that
    Pillow rejects and TensorFlow reads. Damage in the middle of a file is found when training decodes it; such images
    are left out then.

    Args:
        paths: Paths of image files.

    Returns:
        The reason for each file, such as "missing", "0 bytes", "truncated or damaged JPEG", "not a JPEG, PNG, GIF, BMP
        or WebP image" or "100.0 megapixels (limit 89.5)"; "" for files that can be used.

    Examples:
        >>> invalid_files(["no such file.jpg"])
        ['missing']
    """
    tasks = [paths[start : start + _FILES_PER_TASK] for start in range(0, len(paths), _FILES_PER_TASK)]
    with warnings.catch_warnings(), ThreadPoolExecutor(_THREADS) as pool:
        # Pillow warns about damaged metadata, which is harmless, and about sizes, which are checked here.
        warnings.filterwarnings("ignore", module="PIL")
        reasons_by_task = pool.map(lambda task: [_why_invalid(path) for path in task], tasks)
        return [reason for reasons in reasons_by_task for reason in reasons]


def is_deep_png(path: Path) -> bool:
    """Return whether a file is a PNG with 16 bits per channel; a file that cannot be read is not.

    Args:
        path: Path of a file.
    """
    try:
        with path.open("rb") as file:
            header = file.read(25)
    except OSError:
        return False
    return header.startswith(b"\x89PNG\r\n\x1a\n") and header[24:] == b"\x10"


def _why_invalid(path: str | Path) -> str:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - creating a million Path objects is slow
        if not stat.S_ISREG(mode):  # reading a pipe or a device may never end
            return "a folder" if stat.S_ISDIR(mode) else "a pipe or device, not a file"
        with open(path, "rb") as file:  # noqa: PTH123
            if is_tiff(path):
                return _why_invalid_tiff(file) or _too_many_bytes(file)
            return _why_invalid_content(file, os.fstat(file.fileno()).st_size)
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return error.strerror or str(error)


def _why_invalid_tiff(file: BinaryIO) -> str:
    """Check the header of a TIFF; whether its pixels can be decoded is found when it is read."""
    try:
        image = Image.open(file, formats=("TIFF",))
    except _HEADER_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        return "truncated or damaged TIFF"
    return too_large(image) or why_unsupported(image)


def _why_invalid_content(file: BinaryIO, size: int) -> str:
    if not size:
        return EMPTY
    if size > MAX_FILE_BYTES:
        return _why_undecodable(file)  # Pillow reads a WebP whole when it opens it
    try:
        image = Image.open(file, formats=_FORMATS)
    except _HEADER_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        return _why_undecodable(file)
    if too_large(image):
        return too_large(image)
    if image.format == "GIF" and not _is_decodable(image):
        return f"{DAMAGED} GIF"
    return "" if _is_complete(image, file, size) else _why_undecodable(file)


def _is_decodable(image: Image.Image) -> bool:
    """Return whether Pillow can decode the first frame; TensorFlow silently fills in the damaged parts of a GIF."""
    try:
        image.load()
    except _HEADER_ERRORS:
        return False
    return True


def _is_complete(image: Image.Image, file: BinaryIO, size: int) -> bool:
    """Return whether a file has the end marker of its format, or the length that its header declares."""
    if image.format == "WEBP":
        return True  # Pillow rejects a WebP that is shorter than its header declares
    if image.format == "BMP":
        codec, _, offset, (_, stride, *_) = image.tile[0]  # type: ignore[attr-defined]
        return codec == "raw" and offset + stride * image.height <= size
    file.seek(max(0, size - _TAIL_BYTES))
    return _END_MARKERS[str(image.format)] in file.read()


def _why_undecodable(file: BinaryIO) -> str:
    file.seek(0)
    header = file.read(16)
    if int(headers.format_of(tf.constant(header))) == headers.UNKNOWN:
        return NOT_AN_IMAGE  # without reading the rest, which may be gigabytes
    return _too_many_bytes(file) or why_undecodable(header + file.read())


def _too_many_bytes(file: BinaryIO) -> str:
    size = os.fstat(file.fileno()).st_size
    return f"{size / 1e6:,.0f} MB (limit {MAX_FILE_BYTES / 1e6:,.0f})" if size > MAX_FILE_BYTES else ""
