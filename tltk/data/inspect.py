"""Inspect: find the files that cannot be pictures before they cost an epoch."""

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from tltk import _check as check
from tltk import progress
from tltk.data.sources import Source
from tltk.specs import BadExample

MAX_PIXELS = 89_478_485  # Pillow's own limit against decompression bombs: a quarter of a gigabyte of RGB
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
_TAIL = 64


def readable(source: Source, *, max_bad: float = 0.1) -> tuple[Source, tuple[BadExample, ...]]:
    """Leave out the pictures that are missing, empty, cut off, too large, or no pictures.

    Only the first and last bytes of each file are read, some 20,000 files a second from a local disk. What is damaged
    in the middle shows when it is decoded; the pipeline then leaves it out (`Batches.skipped`).

    Args:
        source: sources that are not files pass unchanged.
        max_bad: share of bad examples above which the source is refused.

    Returns:
        The source without them, and what they are.

    Raises:
        ValueError: listing the first ones, if more than `max_bad` of the examples are bad.

    Example:
        >>> from tltk.data.sources import from_arrays
        >>> readable(from_arrays(np.zeros((2, 8, 8, 3), "uint8")))[1]
        ()
    """
    check.within("max_bad", max_bad, low=0, high=1)
    if source.kind != "image_files" or not len(source):
        return source, ()
    paths = source.items[source.index]
    with warnings.catch_warnings(), ThreadPoolExecutor(8) as pool, progress.bar("inspecting", len(paths)) as advance:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # said below, in our words
        found = list(pool.map(_counted(advance), paths))
    bad = tuple(BadExample(source.name_of(index), reason) for index, reason in enumerate(found) if reason)
    if len(bad) > max_bad * len(source):
        problems = check.Problems()
        for item in bad:
            problems.add(f"{item.where}: {item.reason}")
        share = len(bad) / len(source)
        problems.raise_if_any(
            f"{len(bad)} of {len(source)} pictures ({share:.0%}) cannot be read; at most {max_bad:.0%} are left out "
            "silently (max_bad):"
        )
    return source.subset(np.flatnonzero([not reason for reason in found])), bad


def fault(path: str | Path) -> str:
    """Say what is wrong with a file as a picture, judging by its first and last bytes; "" if nothing is.

    Args:
        path: of the file.

    Returns:
        Such as "0 bytes", "truncated JPEG", "100.0 megapixels (limit 89.5)".
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if path.is_dir():
            return "a folder, not a file"
        if not size:
            return "0 bytes"
        with path.open("rb") as file:
            with Image.open(file, formats=FORMATS) as picture:
                kind, (width, height) = str(picture.format), picture.size
            file.seek(max(size - _TAIL, 0))
            tail = file.read()
    except FileNotFoundError:
        return "no such file"
    except Image.DecompressionBombError:
        return f"too many pixels (limit {MAX_PIXELS / 1e6:.1f} million)"
    except Image.UnidentifiedImageError:
        return "no picture, or its header is damaged"
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        return f"cannot be read: {error}"
    if width * height > MAX_PIXELS:
        return f"{width * height / 1e6:.1f} megapixels (limit {MAX_PIXELS / 1e6:.1f})"
    return "" if _ends_well(kind, tail, size, path) else f"truncated {kind}"


def _counted(advance: Callable[..., None]) -> Callable[[str], str]:
    def judge(path: str) -> str:
        reason = fault(path)
        advance()
        return reason

    return judge


def _ends_well(kind: str, tail: bytes, size: int, path: Path) -> bool:
    """Tell whether a file goes on to its format's end mark or to the length that its header states."""
    if kind == "JPEG":
        # Cameras append data of their own after the end mark, so it is searched for from the back.
        return b"\xff\xd9" in tail or b"\xff\xd9" in path.read_bytes()[-size // 2 :]
    if kind == "PNG":
        return b"IEND" in tail or b"IEND" in path.read_bytes()[-size // 2 :]
    if kind == "GIF":
        return b"\x3b" in tail
    with path.open("rb") as file:
        head = file.read(12)
    stated = int.from_bytes(head[4:8], "little") + 8 if kind == "WEBP" else int.from_bytes(head[2:6], "little")
    return size >= stated
