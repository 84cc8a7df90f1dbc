"""Look at image files without decoding them."""

import os
import re
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import tensorflow as tf

from tltk.modalities.image.decode import DECODING_ERRORS, MAX_PIXELS, decode_image
from tltk.specs import ImageSpec

_THREADS = 8  # mostly waiting for the disk
_AT_ONCE = 256  # files a task
_TAIL = 64  # bytes in which the end marker is looked for
_TINY = ImageSpec(8, 8)
_NO_PICTURE = "not a JPEG, PNG, GIF, BMP or WebP picture"
_TOLD = re.compile(r"the picture has no pixels[^'\]]*|a compressed BMP|not a JPEG[^'\]]*")  # by our own decoder


def invalid_files(paths: list[str]) -> list[str]:
    """Say of image files what is wrong with each, without decoding those that look whole.

    Only the header, the size and the end are read, so that it takes a tenth of a millisecond each; damage in the middle
    shows while decoding, where the image is left out as well.

    Args:
        paths: of files.

    Returns:
        For each file, why it cannot be used: missing, empty, no image, truncated, or above 89 megapixels (Pillow's
        limit, against files that unpack to gigabytes); "" for the others.
    """
    chunks = [paths[start : start + _AT_ONCE] for start in range(0, len(paths), _AT_ONCE)]
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda chunk: [why_unreadable(path) for path in chunk], chunks)
        return [reason for reasons in found for reason in reasons]


def why_unreadable(path: str | Path) -> str:
    """Say what is wrong with a picture file, as far as its ends tell; an empty text if nothing is.

    Example:
        >>> why_unreadable("no such file.jpg")
        'missing'
    """
    try:
        if os.path.isdir(path):  # noqa: PTH112 - a million Path objects are slow
            return "a folder"
        with open(path, "rb") as file:  # noqa: PTH123
            return _look(file, os.fstat(file.fileno()).st_size)
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return error.strerror or str(error)


def why_undecodable(data: bytes, kind: str = "picture") -> str:
    """Decode a picture and say what is wrong with it; an empty text if nothing is.

    Many a good file lacks its end marker or has a few bytes behind it, so suspicion alone is no reason.
    """
    try:
        decode_image(tf.constant(data), _TINY)
    except DECODING_ERRORS as error:
        told = _TOLD.search(str(error))
        return told.group() if told else f"truncated or damaged {kind}"
    return ""


def _look(file: BinaryIO, size: int) -> str:
    if not size:
        return "0 bytes"
    head = file.read(32).ljust(32, b"\0")
    kind = next((name for name, (mark, at) in _MARKS.items() if head[at : at + len(mark)] == mark), "")
    if not kind:
        return _NO_PICTURE
    width, height = _jpeg_size(file) if kind == "JPEG" else _SIZES[kind](head)
    if width * height > MAX_PIXELS:
        return f"{width * height / 1e6:.1f} megapixels (limit {MAX_PIXELS / 1e6:.1f})"
    file.seek(max(0, size - _TAIL))
    if width * height and _ends_well(kind, head, file.read(), size):
        return ""
    file.seek(0)
    return why_undecodable(file.read(), kind)


def _ends_well(kind: str, head: bytes, tail: bytes, size: int) -> bool:
    if kind == "WebP":
        return struct.unpack_from("<I", head, 4)[0] + 8 <= size
    if kind == "BMP":
        return 0 < struct.unpack_from("<I", head, 2)[0] <= size
    return {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82", "GIF": b"\0;"}[kind] in tail


def _jpeg_size(file: BinaryIO) -> tuple[int, int]:
    """Walk a JPEG's segments to its frame header (ITU T.81, B.2.2); (0, 0) if there is none."""
    file.seek(2)
    while len(head := file.read(9)) == 9 and head[0] == 0xFF:
        if 0xC0 <= head[1] <= 0xCF and head[1] not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", head, 5)
            return width, height
        file.seek(max(struct.unpack_from(">H", head, 2)[0], 2) - 7, os.SEEK_CUR)
    return 0, 0


def _webp_size(head: bytes) -> tuple[int, int]:
    """Read the size from whichever of its three headers a WebP has (RFC 9649)."""
    if head[15:16] == b"X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if head[15:16] == b"L":
        packed = int.from_bytes(head[21:25], "little")
        return packed % 2**14 + 1, packed // 2**14 % 2**14 + 1
    width, height = struct.unpack_from("<HH", head, 26)
    return width % 2**14, height % 2**14


def _bmp_size(head: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<ii", head, 18)
    return abs(width), abs(height)  # a negative height stands for rows from the top


def _png_size(head: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", head, 16)
    return width, height


def _gif_size(head: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", head, 6)
    return width, height


_MARKS = {
    "JPEG": (b"\xff\xd8\xff", 0),
    "PNG": (b"\x89PNG\r\n\x1a\n", 0),
    "GIF": (b"GIF8", 0),
    "BMP": (b"BM", 0),
    "WebP": (b"WEBP", 8),
}
_SIZES: dict[str, Callable[[bytes], tuple[int, int]]] = {
    "PNG": _png_size,
    "GIF": _gif_size,
    "BMP": _bmp_size,
    "WebP": _webp_size,
}
