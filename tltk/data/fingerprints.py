"""Fingerprints of examples, by which a copy of an example is recognized under another name or in another folder."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tltk.data.formats.sounds import exact_part
from tltk.data.source import Source

_HEAD = 65_536  # bytes of a file that are read, so that large files cost little


def fingerprints(source: Source) -> list[str] | None:
    """Return a fingerprint of each example: of its text or array, or of the size and the beginning of its file.

    Args:
        source: Source of any modality.

    Returns:
        16 hexadecimal digits for each example, "" for a file that cannot be read; None if the examples are in a
        stream, which would have to be read for this alone.

    Examples:
        >>> from tltk import from_arrays
        >>> first, copy, other = fingerprints(from_arrays(["a fine day", "a fine day", "rain again"]))
        >>> first == copy, first == other
        (True, False)
    """
    if source.storage == "stream":
        return None
    fingerprint = _of_file if source.storage == "files" else _of_value
    return [fingerprint(source.examples[index]) for index in range(len(source))]


def digest(source: Source, prints: Sequence[str]) -> str:
    """Return a hash of everything that a training takes from a source: examples in their order, targets and weights.

    Args:
        source: The source.
        prints: Fingerprints of its examples.

    Returns:
        The number of examples, and 16 hexadecimal digits.
    """
    hasher = hashlib.blake2b(repr((source.labels, source.value_range)).encode(), digest_size=8)
    for index, fingerprint in enumerate(prints):
        hasher.update(f"{source.id_of(index)}\0{fingerprint}\0".encode("utf-8", "surrogateescape"))
    for values in (source.targets, source.sample_weight):
        if values is not None:
            hasher.update(values.tobytes())
    return f"{len(source)} examples, {hasher.hexdigest()}"


def _of_file(path: Any) -> str:
    try:
        with Path(path).open("rb") as file:
            head = file.read(_HEAD)
            size = file.seek(0, 2)
    except OSError:  # it is listed as invalid when it is decoded
        return ""
    return _digest(
        size.to_bytes(8, "little") + head + exact_part(path).encode()
    )  # different parts of a recording are not copies


def _of_value(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.dtype != object:
        return _digest(value.tobytes())
    parts = [value] if isinstance(value, str) else list(value)
    return _digest("\x1f".join(map(str, parts)).encode("utf-8", "replace"))


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()
