"""Validation of sound files before training, by their headers."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tltk.data.formats.sounds import Clip
from tltk.modalities.audio.decode import header_reason, is_wav, unreadable_reason
from tltk.modalities.audio.wav import wav_problem

_THREADS = 8  # they mostly wait for the disk
_HEADER_BYTES = 4096


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
        head = file.read(_HEADER_BYTES)
        reason = _problem()(tf.constant(head), tf.constant(size, tf.int64)).numpy().decode()
        if not reason or size <= len(head):
            return reason
        # Metadata, such as a picture of the cover, can stand before the samples.
        return _problem()(tf.constant(head + file.read()), tf.constant(size, tf.int64)).numpy().decode()


@lru_cache(maxsize=1)
def _problem() -> Callable[..., Any]:
    signature = [tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64)]
    return tf.function(wav_problem, input_signature=signature, autograph=False).get_concrete_function()
