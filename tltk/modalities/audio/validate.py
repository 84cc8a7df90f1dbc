"""Validation of sound files before training, by their headers."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tensorflow as tf

from tltk.data.formats.sounds import Clip
from tltk.modalities.audio.decode import header_reason, is_wav, unreadable_reason
from tltk.modalities.audio.wav import MAX_CHUNKS, wav_problem

_THREADS = 8  # they mostly wait for the disk
_FORMAT_BYTES = 64  # of the chunk that tells the encoding: it has 16 to 40


def invalid_files(examples: Sequence[str | Path | Clip] | np.ndarray) -> list[str]:
    """Return why each sound file cannot be used, by its header and its size.

    Damage behind the header is found when a file is decoded; it is left out and listed then.

    Args:
        examples: Paths and clips.

    Returns:
        The reason for each, such as "missing", "0 bytes" or "truncated or damaged WAV"; "" for those that can be used.

    Raises:
        MissingExtra: If there are other files than WAV, or parts of files, and soundfile is not installed.

    Examples:
        >>> invalid_files(["no such file.wav"])
        ['missing']
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(_why_invalid, examples))


def _why_invalid(example: str | Path | Clip) -> str:
    reason = unreadable_reason(example)
    if reason:
        return reason
    try:
        if not isinstance(example, Clip) and is_wav(example):
            return _why_invalid_wav(Path(example))
        return header_reason(example)
    except OSError as error:
        return error.strerror or str(error)


def _why_invalid_wav(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        header, left_out = _header(file)
    length = max(size - left_out, len(header))
    return _problem()(tf.constant(header), tf.constant(length, tf.int64)).numpy().decode()


def _header(file: BinaryIO) -> tuple[bytes, int]:
    """Read a WAV file up to its samples, without metadata such as a picture of the cover.

    Returns:
        The header without metadata, and how many bytes of the file are left out.
    """
    header, left_out = file.read(12), 0
    for _ in range(MAX_CHUNKS):
        chunk = file.read(8)
        if len(chunk) < 8 or chunk[:4] == b"data":
            return header + chunk, left_out
        length = int.from_bytes(chunk[4:], "little")
        length += length % 2
        kept = min(length, _FORMAT_BYTES) if chunk[:4] == b"fmt " else 0
        if kept:
            header += chunk[:4] + kept.to_bytes(4, "little") + file.read(kept)
        left_out += length - kept + (0 if kept else 8)
        file.seek(length - kept, os.SEEK_CUR)
    return header, left_out


@lru_cache(maxsize=1)
def _problem() -> Callable[..., Any]:
    signature = [tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64)]
    return tf.function(wav_problem, input_signature=signature, autograph=False).get_concrete_function()
