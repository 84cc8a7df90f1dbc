"""Look at picture files without decoding them, and leave out those that cannot be read."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tltk import _check as check
from tltk.data.decode import MAX_PIXELS
from tltk.data.examples import Source
from tltk.specs import BadExample

_THREADS = 8  # mostly waiting for the disk
_AT_ONCE = 256  # files a task
_ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82", "GIF": b";"}


def readable(source: Source, *, max_bad: float = 0.1) -> tuple[Source, tuple[BadExample, ...]]:
    """Scan a source's picture files and keep those that look whole.

    Only the header, the size and the end of each file are read, so that it takes a tenth of a millisecond a file;
    damage in the middle shows while decoding, where the picture is left out as well.

    Args:
        source: of any kind; only files are scanned.
        max_bad: share of bad files above which the source is refused: something larger is wrong then.

    Returns:
        The source without the bad files, and the bad files with their reasons: missing, empty, no picture, truncated,
        or above 89 megapixels (Pillow's limit, against files that unpack to gigabytes).

    Raises:
        ValueError: listing the first bad files, if their share is above `max_bad`.
    """
    check.kind_of("source", source, Source)
    check.within("max_bad", max_bad, low=0, high=1)
    if source.kind != "image_files" or not len(source):
        return source, ()
    reasons = _scan([str(path) for path in source.items])
    bad = tuple(BadExample(source.name_of(index), reason) for index, reason in enumerate(reasons) if reason)
    if len(bad) > max_bad * len(source):
        shown = check.listing((f"{example.where} ({example.reason})" for example in bad), limit=8)
        raise ValueError(
            f"{len(bad)} of {len(source)} files cannot be read, more than `max_bad` ({max_bad:g}) allows: {shown}"
        )
    if not bad:
        return source, ()
    return source.subset(np.array([reason == "" for reason in reasons])), bad


def _scan(paths: list[str]) -> list[str]:
    chunks = [paths[start : start + _AT_ONCE] for start in range(0, len(paths), _AT_ONCE)]
    with ThreadPoolExecutor(_THREADS) as pool:
        return [reason for found in pool.map(lambda chunk: [why_unreadable(path) for path in chunk], chunks) for reason in found]


def why_unreadable(path: str | Path) -> str:
    """Say what is wrong with a picture file, as far as its ends tell; an empty text if nothing is.

    Example:
        >>> why_unreadable("no such file.jpg")
        'missing'
    """
    try:
        size = os.stat(path).st_size  # noqa: PTH116 - twice as fast as Path
        if not size:
            return "0 bytes"
        if Path(path).is_dir():
            return "a folder"
        with open(path, "rb") as file:  # noqa: PTH123
            kind, width, height = _header(file)
            file.seek(max(0, size - 64))
            tail = file.read(64)
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return error.strerror or str(error)
    if not kind:
        return "not a JPEG, PNG, GIF, BMP or WebP picture"
    if width * height > MAX_PIXELS:
        return f"{width * height / 1e6:.1f} megapixels (limit {MAX_PIXELS / 1e6:.1f})"
    return "" if _whole(kind, tail, size, path) else f"truncated {kind}"


def _header(file) -> tuple[str, int, int]:  # type: ignore[no-untyped-def]
    from PIL import Image

    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # over the limit is said by us, not warned of
    try:
        with Image.open(file, formats=("JPEG", "PNG", "GIF", "BMP", "WEBP")) as image:
            return ("JPEG" if image.format == "MPO" else str(image.format)), *image.size
    except (OSError, SyntaxError, ValueError, EOFError):  # what Pillow raises for broken headers
        return "", 0, 0
    finally:
        Image.MAX_IMAGE_PIXELS = limit
