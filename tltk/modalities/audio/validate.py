"""Validation of sound files before training, by their headers."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tltk.data.formats.sounds import Clip
from tltk.modalities.audio.decode import frames_of

_THREADS = 8  # they mostly wait for the disk


def invalid_files(examples: Sequence[str | Path | Clip] | np.ndarray) -> list[str]:
    """Return why each sound file cannot be used, by its header and its size.

    Damage behind the header is found when a file is decoded; it is left out and listed then.

    Args:
        examples: Paths and clips.

    Returns:
        The reason for each, such as "missing", "0 bytes" or "truncated or damaged WAV"; "" for those that can be used.

    Raises:
        MissingExtra: If there are other files than WAV, and soundfile is not installed.

    Examples:
        >>> invalid_files(["no such file.wav"])
        ['missing']
    """
    return [reason for _, _, reason in lengths_of(examples)]


def lengths_of(examples: Sequence[str | Path | Clip] | np.ndarray) -> list[tuple[int, int, str]]:
    """Return the number of samples of each file or clip, their rate, and why it cannot be used; see `frames_of`."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(frames_of, examples))
