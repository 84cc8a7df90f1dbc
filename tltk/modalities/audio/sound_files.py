"""Sounds that augmentations add to others, such as noise and impulse responses, read from files."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from tltk.data.formats.media_files import SOUNDS, find_files
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput, InvalidType
from tltk.modalities.audio.decode import read_whole
from tltk.modalities.audio.resample import resample, resampled_length
from tltk.modalities.audio.validate import invalid_files

MAX_SAMPLES = 2**26  # of all files of an augmentation, which are in memory: an hour and ten minutes at 16 kHz


class Sounds(NamedTuple):
    """Several sounds in one tensor.

    Attributes:
        samples: float32 [total], the sounds one after the other.
        starts: int32 [n], index of the first sample of each; a tensor or an array.
        lengths: int32 [n].
    """

    samples: tf.Tensor
    starts: Any
    lengths: Any


def file_names(files: Any) -> tuple[str, ...]:
    """Return the paths of files and folders as text.

    Args:
        files: One or several paths.

    Raises:
        InvalidType: If they are no paths.
        InvalidInput: If there is none.

    Examples:
        >>> file_names(Path("noise"))
        ('noise',)
    """
    paths = [files] if isinstance(files, str | Path) else files
    if not isinstance(paths, Sequence) or not all(isinstance(path, str | Path) for path in paths):
        raise InvalidType(f"`files` must be paths of sounds or of folders of sounds. Received: {files!r}")
    if not paths:
        raise InvalidInput("`files` must name at least one sound, or a folder of sounds. Received: none")
    return tuple(os.fspath(path) for path in paths)


def file_states(files: Sequence[str]) -> tuple[tuple[str, int, int], ...]:
    """Return path, size and time of every sound, so that results of other files are told apart."""
    paths = sound_paths(files)
    return tuple((path, os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in paths)  # noqa: PTH116


def sound_paths(files: Sequence[str]) -> list[str]:
    """Return the paths of all sounds: files as they are named, and those at any depth below folders, sorted.

    Raises:
        InvalidInput: Lists files that are missing or, by their headers, damaged, and folders without a sound.
    """
    paths, problems = [], check.Problems()
    for name in files:
        listed = find_files(Path(name), kind=SOUNDS) if Path(name).is_dir() else None
        if listed is not None and not listed.paths:
            problems.add(f"{name} contains no sounds{listed.hint()}")
        paths += [name] if listed is None else listed.paths
    for path, reason in zip(paths, invalid_files(paths), strict=True):
        if reason:
            problems.add(f"{path}: {reason}")
    problems.raise_if_any("`files` of an augmentation cannot be used:")
    return paths


def read_sounds(files: Sequence[str], sample_rate: int) -> Sounds:
    """Read all sounds of files and folders, and resample them.

    Args:
        files: Paths of sounds and of folders.
        sample_rate: Rate of the result in Hz.

    Raises:
        InvalidInput: Lists the files that are missing, damaged or silent; or if the sounds are too long.
    """
    sounds: list[tf.Tensor] = []
    lengths: list[int] = []
    problems = check.Problems()
    with tf.init_scope(), tf.device("CPU:0"):
        for path in sound_paths(files):
            sound, reason = read_whole(path)
            if sound is None or not sound[0].any():
                problems.add(f"{path}: {reason or 'silent'}")
                continue
            samples, rate = tf.constant(sound[0]), tf.constant(sound[1])
            lengths.append(int(resampled_length(tf.size(samples, tf.int64), rate, sample_rate)))
            if sum(lengths) > MAX_SAMPLES:
                raise InvalidInput(
                    f"`files` of an augmentation are kept in memory, and must not last more than "
                    f"{MAX_SAMPLES / sample_rate / 60:.0f} minutes together. {path} is one too many"
                )
            sounds.append(resample(samples, rate, sample_rate, tf.constant(0, tf.int64), lengths[-1]))
        problems.raise_if_any("`files` of an augmentation cannot be used:")
        counts = tf.constant(lengths, tf.int32)
        return Sounds(tf.concat(sounds, 0), tf.cumsum(counts, exclusive=True), counts)


def pick(sounds: Sounds, fractions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Choose one of several sounds for each example.

    Args:
        sounds: The sounds.
        fractions: float32 [batch] in [0, 1).

    Returns:
        Start and length of the sound of each example, int32 [batch, 1] each.
    """
    count = tf.size(sounds.lengths)
    rows = tf.minimum(tf.cast(fractions * tf.cast(count, tf.float32), tf.int32), count - 1)
    return tf.gather(sounds.starts, rows)[:, None], tf.gather(sounds.lengths, rows)[:, None]
