"""Recordings in files and in memory: parts of files by their times, and waveforms of different lengths."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput, InvalidType
from tltk.specs.audio import LOUDEST, MAX_RATE, MIN_RATE

_MAX_CHANNELS = 8  # a second axis of more is not one of channels
_INTEGER_RANGES = {"uint8": (128, 128), "int16": (0, 2**15), "int32": (0, 2**31)}  # silence and full scale


@dataclass(frozen=True)
class Clip(os.PathLike):
    """A part of a recording in a file.

    Args:
        path: Path of the file.
        start: First second.
        stop: Last second, exclusive; None for the end of the file.

    Examples:
        >>> str(Clip("birds.flac", 1.5, 3.0))
        'birds.flac, 1.5 to 3 s'
    """

    path: str
    start: float = 0.0
    stop: float | None = None

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        return f"{self.path}, {self.start:g} to {'the end' if self.stop is None else f'{self.stop:g} s'}"


def exact_part(example: str | Path | Clip) -> str:
    """Return the exact times of a part of a file, to tell parts apart; "" for a whole file.

    Examples:
        >>> exact_part(Clip("birds.flac", 86400.01)), exact_part("birds.flac")
        ('(86400.01, None)', '')
    """
    if not isinstance(example, Clip):
        return ""
    return repr((float(example.start), None if example.stop is None else float(example.stop)))


class Waveforms:
    """Mono sounds in memory, which can differ in length.

    Args:
        values: Object array [n] of float32 arrays [samples] in [-1, 1].
        sample_rate: Samples per second of all of them.
        starts: For parts of recordings, the second at which each starts, float64 [n]; None for whole recordings.
    """

    def __init__(self, values: np.ndarray, sample_rate: int, starts: np.ndarray | None = None) -> None:
        self.values, self.sample_rate, self.starts = values, sample_rate, starts

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> Any:
        """Return the samples of one sound, or some sounds."""
        if isinstance(index, int | np.integer):
            return self.values[index]
        return Waveforms(self.values[index], self.sample_rate, None if self.starts is None else self.starts[index])


def as_waveforms(x: Any, sample_rate: int) -> Waveforms:
    """Check sounds in memory, and mix their channels.

    Args:
        x: Samples [n, samples] or [n, samples, channels], or a list of arrays [samples] or [samples, channels]; floats
            in [-1, 1], or integers of 8 (unsigned), 16 or 32 bits.
        sample_rate: Samples per second.

    Returns:
        The mean of the channels, as floats.

    Raises:
        InvalidType: If `x` is not numeric.
        InvalidInput: If a shape or the sample rate is wrong, or samples are not finite.

    Examples:
        >>> as_waveforms([np.zeros(8), np.zeros((5, 2))], 8000)[1].shape
        (5,)
    """
    check.counts(sample_rate=sample_rate)
    check.within("sample_rate", sample_rate, low=MIN_RATE, high=MAX_RATE)
    sounds = list(x) if isinstance(x, list | tuple) else list(np.asarray(x))
    if not sounds:
        raise InvalidInput("`x` must hold at least one sound. Received: none")
    values = np.empty(len(sounds), object)
    problems = check.Problems()
    for row, sound in enumerate(sounds):
        try:
            values[row] = _mono(np.asarray(sound), row)
        except InvalidInput as error:
            problems.add(str(error))
    problems.raise_if_any()
    return Waveforms(values, int(sample_rate))


def _mono(sound: np.ndarray, row: int) -> np.ndarray:
    if sound.dtype.kind not in "iuf" or (sound.dtype.kind in "iu" and sound.dtype.name not in _INTEGER_RANGES):
        raise InvalidType(
            "`x` must hold floats in [-1, 1], or uint8, int16 or int32, as WAV files do. "
            f"Received: `x`[{row}] of dtype {sound.dtype}"
        )
    if sound.ndim == 0:
        raise InvalidInput(f"`x`[{row}] is one number: pass sounds as [n, samples], and a single one as x[None].")
    if sound.ndim > 2 or 0 in sound.shape or (sound.ndim == 2 and sound.shape[1] > _MAX_CHANNELS):
        hint = " Did you mean to put the channels last?" if sound.ndim == 2 and sound.shape[0] <= _MAX_CHANNELS else ""
        raise InvalidInput(
            f"`x`[{row}] must be [samples] or [samples, channels], with 1 to {_MAX_CHANNELS} channels. "
            f"Received: {sound.shape}.{hint}"
        )
    silence, scale = _INTEGER_RANGES.get(sound.dtype.name, (0, 1))
    samples = ((sound.astype(np.float32) - silence) / scale).astype(np.float32)
    mono = samples if sound.ndim == 1 else samples.mean(1)
    if not np.isfinite(mono).all():
        raise InvalidInput(f"`x`[{row}] must be finite. Received: NaN or infinite samples")
    if sound.dtype.kind == "f" and np.abs(mono).max() > LOUDEST:
        raise InvalidInput(
            f"`x`[{row}] must lie in [-1, 1]. Received: samples up to {np.abs(mono).max():g}. Divide 16-bit samples by "
            "32768, or pass them as int16."
        )
    return mono
