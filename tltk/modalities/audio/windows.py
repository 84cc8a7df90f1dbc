"""Windows of long recordings: overlapping parts of one length."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from tltk.data.formats.sounds import Clip, Waveforms
from tltk.data.source import Source
from tltk.data.targets import as_objects
from tltk.foundation import checks as check
from tltk.foundation import familiar
from tltk.foundation.errors import InvalidInput
from tltk.modalities.audio.validate import lengths_of
from tltk.specs import InvalidExample
from tltk.specs.audio import check_overlap


class Windows(NamedTuple):
    """Windows of several sounds.

    Attributes:
        examples: The windows, as `Source.examples` holds sounds: clips [n], or waveforms in memory.
        rows: Row of the sound of each window, int64 [n], nondecreasing.
        times: First and last second (exclusive) of each window in its recording, float64 [n, 2].
        invalid: Row of a sound → why it cannot be read; it has no window.
    """

    examples: Any
    rows: np.ndarray
    times: np.ndarray
    invalid: dict[int, str]


@familiar.arguments
def windows(source: Source, *, seconds: float, overlap: float = 0.0) -> Source:
    """Cut long recordings into windows, each of which is an example with the label of its recording.

    A model with `AudioSpec(overlap=…)` reads long recordings in the same windows by itself, and gives one prediction
    for each recording. This function is for one prediction for each window, and for looking at windows one by one.

    Args:
        source: Sounds in files or in memory.
        seconds: Length of a window. A shorter recording is one window.
        overlap: Seconds that two consecutive windows share. The last window ends where its recording ends, and shares
            more with the one before.

    Returns:
        A source of the windows, named like "birds/1.wav, 0.5 to 1.5 s". `tltk.split` keeps the windows of a recording
        together. Recordings that cannot be read are in `invalid`.

    Raises:
        InvalidType: If `source` is no source.
        InvalidInput: If it holds no sounds, or streams them, or a number is out of range.

    Examples:
        >>> from tltk import from_arrays
        >>> hum = from_arrays(np.zeros((1, 20_000)), ["fan"], labels=["fan", "saw"], sample_rate=8000)
        >>> windows(hum, seconds=1, overlap=0.5).ids.tolist()
        ['example 0, 0 to 1 s', 'example 0, 0.5 to 1.5 s', 'example 0, 1 to 2 s', 'example 0, 1.5 to 2.5 s']
    """
    check.instance_of("source", source, Source)
    check.positive(seconds=seconds)
    check_overlap(overlap, seconds)
    if source.modality != "audio":
        raise InvalidInput(f"windows are cut out of sounds. Received: a source of {check.plural(source.modality)}")
    cut = windows_of(source, seconds, overlap)
    ids = np.array([f"{source.id_of(row)}, {span(*times)}" for row, times in zip(cut.rows, cut.times, strict=True)])
    recordings = recording_numbers(source) if source.groups is None else source.groups
    invalid = tuple(InvalidExample(source.id_of(row), reason) for row, reason in cut.invalid.items())
    parts = source.subset(cut.rows)
    return replace(
        parts,
        examples=cut.examples,
        ids=ids.astype(object),
        groups=recordings[cut.rows],
        invalid=(*source.invalid, *invalid),
    )


def windows_of(source: Source, seconds: float, overlap: float, *, with_invalid: bool = False) -> Windows:
    """Find the windows of all sounds of a source; of files, only the headers are read.

    Args:
        source: See `windows`.
        seconds: See `windows`.
        overlap: See `windows`.
        with_invalid: Whether a file that cannot be read is one window, so that a reader lists it.

    Raises:
        InvalidInput: If the source streams its sounds.
    """
    if source.storage == "stream":
        raise InvalidInput("windows need files or sounds in memory: the length of streamed sounds is not known.")
    sounds = source.examples
    lengths = lengths_of(sounds) if source.storage == "files" else _lengths(sounds)
    rows: list[int] = []
    times: list[tuple[float, float]] = []
    parts: list[Any] = []
    invalid: dict[int, str] = {}
    for row, (frames, rate, reason) in enumerate(lengths):
        if reason:
            invalid[row] = reason
            cut = [((math.nan, math.nan), sounds[row])] if with_invalid else []
        else:
            bounds = window_frames(frames, rate, seconds, overlap)
            cut = [_part(sounds, row, *bound, rate) for bound in bounds]
        rows += [row] * len(cut)
        times += [both for both, _ in cut]
        parts += [part for _, part in cut]
    both = np.array(times, np.float64).reshape(-1, 2)
    values = as_objects(parts)
    examples = Waveforms(values, sounds.sample_rate, both[:, 0]) if isinstance(sounds, Waveforms) else values
    return Windows(examples, np.array(rows, np.int64), both, invalid)


def _part(sounds: Any, row: int, begin: int, end: int, rate: int) -> tuple[tuple[float, float], Any]:
    """Return the times of a part of a sound in its recording, and the part: samples, or a clip of the file."""
    if isinstance(sounds, Waveforms):
        first = 0.0 if sounds.starts is None else float(sounds.starts[row])
        return (first + begin / rate, first + end / rate), sounds.values[row][begin:end]
    clip = sounds[row] if isinstance(sounds[row], Clip) else Clip(str(sounds[row]))
    start, stop = clip.start + begin / rate, clip.start + end / rate
    return (start, stop), Clip(clip.path, start, stop)


def window_frames(frames: int, sample_rate: int, seconds: float, overlap: float) -> Iterator[tuple[int, int]]:
    """Yield first sample and end (exclusive) of each window of a sound; see `tltk.modalities.audio.requests`.

    Args:
        frames: Samples of the sound, at least 1.
        sample_rate: Their rate in Hz.
        seconds: Length of a window.
        overlap: Seconds that two consecutive windows share.

    Examples:
        >>> list(window_frames(9, 1000, 0.004, 0.001)), list(window_frames(3, 1000, 0.004, 0.001))
        ([(0, 4), (3, 7), (5, 9)], [(0, 3)])
    """
    length, step = window_steps(sample_rate, seconds, overlap)
    last = max(frames - length, 0)
    for number in range(1 + -(-last // step)):
        first = min(number * step, last)
        yield first, min(first + length, frames)


def window_steps(sample_rate: int, seconds: float, overlap: float) -> tuple[int, int]:
    """Return the samples of a window, and from one window to the next, at least 1 each."""
    return max(1, round(seconds * sample_rate)), max(1, round((seconds - overlap) * sample_rate))


def window_times(source: Source) -> np.ndarray | None:
    """Return first and last second (exclusive) of each example in its recording, float64 [n, 2].

    Args:
        source: Sounds, such as windows.

    Returns:
        The times, NaN for an unknown end; None if the examples are whole sounds.
    """
    if isinstance(source.examples, Waveforms):
        starts = source.examples.starts
        if starts is None:
            return None
        lengths = np.array([len(samples) for samples in source.examples.values]) / source.examples.sample_rate
        return np.stack([starts, starts + lengths], 1)
    if source.storage != "files" or not any(isinstance(example, Clip) for example in source.examples):
        return None
    clips = [example if isinstance(example, Clip) else Clip(example) for example in source.examples]
    return np.array([(clip.start, np.nan if clip.stop is None else clip.stop) for clip in clips])


def recording_numbers(source: Source) -> np.ndarray:
    """Return a number for each sound, int64 [n]; parts of one file have the same."""
    if source.storage != "files":
        return np.arange(len(source))
    paths = [example.path if isinstance(example, Clip) else str(example) for example in source.examples]
    return np.unique(paths, return_inverse=True)[1].reshape(-1)


def span(start: float, stop: float) -> str:
    """Return times as text, exact to a microsecond.

    Examples:
        >>> span(0.5, 86401.25)
        '0.5 to 86401.25 s'
    """
    first, last = (f"{time:.6f}".rstrip("0").rstrip(".") for time in (start, stop))
    return f"{first} to {last} s"


def _lengths(sounds: Waveforms) -> list[tuple[int, int, str]]:
    check.instance_of("source.examples", sounds, Waveforms)
    return [(len(samples), sounds.sample_rate, "") for samples in sounds.values]
