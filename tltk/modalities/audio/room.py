"""Augmentations that put a sound into a room: noise and reverberation, generated or from files."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.modalities.audio.sound_files import Sounds, file_names, file_states, pick, read_sounds
from tltk.modalities.augmentation import (
    Augmentation,
    Transform,
    fold_in,
    register_augmentation,
    uniform_per_example,
)
from tltk.specs.audio import MAX_RATE, MIN_RATE

COLORS = ("white", "pink", "brown")  # power falls by 0, 3 and 6 dB an octave
_POWERS = {"white": 0.0, "pink": 0.5, "brown": 1.0}  # of frequency, by which amplitudes are divided
_SHORTEST, _LONGEST = 0.1, 0.5  # seconds of reverberation, from a furnished room to a classroom
_MAX_SECONDS = 20.0
Files = str | Path | Sequence[str | Path]


def add_noise(
    *,
    low: float = 10.0,
    high: float = 40.0,
    color: str | None = None,
    files: Files = (),
    sample_rate: int | None = None,
) -> Augmentation:
    """Add noise to each sound.

    Args:
        low: Smallest ratio of the power of the sound to that of the noise, in decibels.
        high: Largest ratio.
        color: "white", "pink" (3 dB less per octave, as most background noise; the default) or "brown" (6 dB).
        files: Sounds of your own to add instead: a random part of a random one for each example. Paths of files, or of
            folders of them. They are read when training starts; shorter ones are repeated.
        sample_rate: Rate of the model in Hz, to which files are resampled; the default is 16,000.

    Returns:
        The augmentation.

    Raises:
        InvalidInput: If `low` is above `high`, `color` is unknown, or options do not fit together.
        InvalidType: If `files` are no paths.

    Examples:
        >>> add_noise(low=20, high=30).to_config()
        {'name': 'add_noise', 'low': 20.0, 'high': 30.0, 'color': 'pink'}
        >>> add_noise(files="street").to_config()
        {'name': 'add_noise', 'low': 10.0, 'high': 40.0, 'files': ('street',), 'sample_rate': 16000}
    """
    check.within("high", high, low=-100, high=math.inf, open_high=True)
    check.within("low", low, low=-100, high=high)
    ratios = (("low", float(low)), ("high", float(high)))
    if files != ():
        if color is not None:
            raise InvalidInput(f"pass either `files` or `color`. Received both: {color!r}")
        return Augmentation("add_noise", (*ratios, ("files", file_names(files)), ("sample_rate", _rate(sample_rate))))
    if sample_rate is not None:
        raise InvalidInput(f"`sample_rate` is for `files`; noise has none. Received: {sample_rate!r}")
    check.one_of("color", color or "pink", COLORS)
    return Augmentation("add_noise", (*ratios, ("color", color or "pink")))


def reverberation(
    *,
    low: float | None = None,
    high: float | None = None,
    files: Files = (),
    sample_rate: int | None = None,
) -> Augmentation:
    """Let each sound reverberate in a room, and keep its power.

    The sound is convolved with an impulse response. A generated one is the direct sound and white noise that decays
    exponentially (Polack 1988), of the same energy together, as at the critical distance of a room.

    Args:
        low: Shortest reverberation time (RT60, in which the noise decays by 60 dB) in seconds; the default is 0.1.
        high: Longest time; the default is 0.5.
        files: Impulse responses of your own instead: paths of files, or of folders of them. They are read when training
            starts. The direct sound, their loudest sample, is not delayed.
        sample_rate: Rate of the model in Hz; the default is 16,000.

    Returns:
        The augmentation.

    Raises:
        InvalidInput: If a time is out of range, or options do not fit together.
        InvalidType: If `files` are no paths.

    Examples:
        >>> reverberation(high=1).to_config()
        {'name': 'reverberation', 'low': 0.1, 'high': 1.0, 'sample_rate': 16000}
    """
    rate = ("sample_rate", _rate(sample_rate))
    if files != ():
        if low is not None or high is not None:
            raise InvalidInput(f"pass either `files`, or `low` and `high`. Received: {files!r}, {low!r} and {high!r}")
        return Augmentation("reverberation", (("files", file_names(files)), rate))
    low, high = _SHORTEST if low is None else low, _LONGEST if high is None else high
    check.positive(low=low, high=high)
    check.within("high", high, low=0, high=_MAX_SECONDS)
    check.within("low", low, low=0, high=high)
    return Augmentation("reverberation", (("low", float(low)), ("high", float(high)), rate))


def _rate(sample_rate: int | None) -> int:
    rate = 16_000 if sample_rate is None else sample_rate
    check.counts(sample_rate=rate)
    check.within("sample_rate", rate, low=MIN_RATE, high=MAX_RATE)
    return int(rate)


def _add_noise(low: float, high: float, color: str = "", files: Sequence[str] = (), sample_rate: int = 0) -> Transform:
    sounds = read_sounds(files, sample_rate) if files else None

    def transform(waveforms: tf.Tensor, targets: Any, seed: tf.Tensor) -> tuple[tf.Tensor, Any]:
        noise = _colored(waveforms, seed, color) if sounds is None else _parts(waveforms, seed, sounds)
        ratios = uniform_per_example(waveforms, seed, draw=0, low=low, high=high)[:, None]
        factors = tf.sqrt(tf.math.divide_no_nan(_power(waveforms), _power(noise)) * tf.pow(10.0, -ratios / 10))
        return waveforms + factors * noise, targets

    return transform


def _power(waveforms: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(waveforms**2, 1, keepdims=True)


def _colored(waveforms: tf.Tensor, seed: tf.Tensor, color: str) -> tf.Tensor:
    noise = tf.random.stateless_normal(tf.shape(waveforms), fold_in(seed, 0))
    if not _POWERS[color]:
        return noise
    count = tf.shape(waveforms)[1]
    frequencies = tf.cast(tf.maximum(tf.range(count // 2 + 1), 1), tf.float32)
    shaped = tf.signal.rfft(noise) * tf.cast(frequencies ** -_POWERS[color], tf.complex64)
    return tf.signal.irfft(shaped, count[None])


def _parts(waveforms: tf.Tensor, seed: tf.Tensor, sounds: Sounds) -> tf.Tensor:
    """Return a random part of a random sound for each example, [batch, samples]; the sound is repeated if necessary."""
    starts, lengths = pick(sounds, uniform_per_example(waveforms, seed, draw=1, low=0.0, high=1.0))
    moments = uniform_per_example(waveforms, seed, draw=2, low=0.0, high=1.0)[:, None]
    first = tf.cast(moments * tf.cast(lengths, tf.float32), tf.int32)
    return tf.gather(sounds.samples, starts + (first + tf.range(tf.shape(waveforms)[1])) % lengths)


def _reverberation(low: float = 0.0, high: float = 0.0, files: Sequence[str] = (), sample_rate: int = 0) -> Transform:
    sounds = _from_direct(read_sounds(files, sample_rate)) if files else None
    longest = math.ceil(high * sample_rate) if sounds is None else int(max(sounds.lengths))

    def transform(waveforms: tf.Tensor, targets: Any, seed: tf.Tensor) -> tuple[tf.Tensor, Any]:
        count = tf.shape(waveforms)[1]
        size = tf.minimum(longest, count)  # echoes that come later than the end are not heard
        if sounds is None:
            responses = _generated(waveforms, seed, size, low, high, sample_rate)
        else:
            responses = _from_files(waveforms, seed, size, sounds)
        return _keep_power(_convolved(waveforms, responses)[:, :count], waveforms), targets

    return transform


def _generated(
    waveforms: tf.Tensor, seed: tf.Tensor, size: tf.Tensor, low: float, high: float, sample_rate: int
) -> tf.Tensor:
    """Return the direct sound and decaying noise for each example, [batch, size]."""
    times = uniform_per_example(waveforms, seed, draw=0, low=low, high=high)[:, None]
    steps = tf.cast(tf.range(size), tf.float32) / sample_rate
    noise = tf.random.stateless_normal([tf.shape(waveforms)[0], size], fold_in(seed, 0))
    echoes = noise * tf.pow(10.0, -3 * steps / times) * tf.cast(steps > 0, tf.float32)  # 60 dB are a factor of 1000
    energy = tf.reduce_sum(echoes**2, 1, keepdims=True)
    return tf.math.divide_no_nan(echoes, tf.sqrt(energy)) + tf.cast(steps == 0, tf.float32)


def _from_direct(sounds: Sounds) -> Sounds:
    """Let impulse responses begin with the direct sound, their loudest sample."""
    starts, lengths = sounds.starts.numpy(), sounds.lengths.numpy()
    loudness = np.abs(sounds.samples.numpy())
    sizes = zip(starts, lengths, strict=True)
    peaks = np.array([loudness[start : start + length].argmax() for start, length in sizes], np.int32)
    return Sounds(sounds.samples, starts + peaks, lengths - peaks)


def _from_files(waveforms: tf.Tensor, seed: tf.Tensor, size: tf.Tensor, sounds: Sounds) -> tf.Tensor:
    """Return a random impulse response for each example, [batch, size]."""
    starts, lengths = pick(sounds, uniform_per_example(waveforms, seed, draw=0, low=0.0, high=1.0))
    steps = tf.range(size)
    responses = tf.gather(sounds.samples, starts + tf.minimum(steps, lengths - 1))
    return tf.where(steps < lengths, responses, 0.0)


def _convolved(waveforms: tf.Tensor, responses: tf.Tensor) -> tf.Tensor:
    size = (tf.shape(waveforms)[1] + tf.shape(responses)[1])[None]
    spectra = tf.signal.rfft(waveforms, size) * tf.signal.rfft(responses, size)
    return tf.signal.irfft(spectra, size)


def _keep_power(changed: tf.Tensor, waveforms: tf.Tensor) -> tf.Tensor:
    return changed * tf.sqrt(tf.math.divide_no_nan(_power(waveforms), _power(changed)))


def _states(files: Sequence[str] = (), **values: Any) -> Any:
    return file_states(files)


register_augmentation("add_noise", add_noise, build=_add_noise, modality="audio", state=_states)
register_augmentation("reverberation", reverberation, build=_reverberation, modality="audio", state=_states)
