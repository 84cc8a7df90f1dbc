"""Augmentations of sounds: of waveforms [batch, samples], as records that can be stored."""

import math

import tensorflow as tf

from tltk.foundation import checks as check
from tltk.modalities.augmentation import (
    Augmentation,
    Transform,
    fold_in,
    register_augmentation,
    uniform_per_example,
)

COLORS = ("white", "pink", "brown")  # power falls by 0, 3 and 6 dB an octave
_POWERS = {"white": 0.0, "pink": 0.5, "brown": 1.0}  # of frequency, by which amplitudes are divided


def time_shift(*, fraction: float = 0.1) -> Augmentation:
    """Move each sound earlier or later; the gap is filled with silence.

    Args:
        fraction: Largest shift as a fraction of the length, in (0, 1).

    Returns:
        The augmentation.

    Raises:
        InvalidInput: If `fraction` is out of range.

    Examples:
        >>> time_shift().to_config()
        {'name': 'time_shift', 'fraction': 0.1}
    """
    check.positive(fraction=fraction)
    check.within("fraction", fraction, low=0, high=1, open_high=True)
    return Augmentation("time_shift", (("fraction", float(fraction)),))


def gain(*, decibels: float = 6.0) -> Augmentation:
    """Make each sound louder or quieter.

    Args:
        decibels: Largest change in either direction, above 0.

    Returns:
        The augmentation.

    Raises:
        InvalidInput: If `decibels` is not above 0.

    Examples:
        >>> gain(decibels=3).to_config()
        {'name': 'gain', 'decibels': 3.0}
    """
    check.positive(decibels=decibels)
    return Augmentation("gain", (("decibels", float(decibels)),))


def add_noise(*, low: float = 10.0, high: float = 40.0, color: str = "pink") -> Augmentation:
    """Add noise to each sound.

    Args:
        low: Smallest ratio of the power of the sound to that of the noise, in decibels.
        high: Largest ratio.
        color: "white", "pink" (3 dB less per octave, as most background noise) or "brown" (6 dB).

    Returns:
        The augmentation.

    Raises:
        InvalidInput: If `low` is above `high`, or `color` is unknown.

    Examples:
        >>> add_noise(low=20, high=30).to_config()
        {'name': 'add_noise', 'low': 20.0, 'high': 30.0, 'color': 'pink'}
    """
    check.within("high", high, low=-100, high=math.inf, open_high=True)
    check.within("low", low, low=-100, high=high)
    check.one_of("color", color, COLORS)
    return Augmentation("add_noise", (("low", float(low)), ("high", float(high)), ("color", color)))


def spec_augment(*, bands: float = 0.15, times: float = 0.15, masks: int = 2) -> Augmentation:
    """Silence random bands of frequency and intervals of time (Park et al. 2019, without warping).

    The masks are cut out of the waveform, since the spectrogram is a part of the model.

    Args:
        bands: Largest width of a band, in [0, 1) of a scale that is, like mel, finer for low frequencies.
        times: Largest length of an interval as a fraction of the sound, in [0, 1).
        masks: Number of bands, and of intervals.

    Returns:
        The augmentation.

    Raises:
        InvalidInput: If a number is out of range.

    Examples:
        >>> spec_augment(masks=1).to_config()
        {'name': 'spec_augment', 'bands': 0.15, 'times': 0.15, 'masks': 1}
    """
    check.within("bands", bands, low=0, high=1, open_high=True)
    check.within("times", times, low=0, high=1, open_high=True)
    check.counts(masks=masks)
    return Augmentation("spec_augment", (("bands", float(bands)), ("times", float(times)), ("masks", int(masks))))


def _time_shift(fraction: float) -> Transform:
    def transform(waveforms: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        count = tf.shape(waveforms)[1]
        fractions = uniform_per_example(waveforms, seed, draw=0, low=-fraction, high=fraction)
        shifts = tf.cast(tf.round(fractions * tf.cast(count, tf.float32)), tf.int32)
        positions = tf.range(count) - shifts[:, None]
        inside = (positions >= 0) & (positions < count)
        moved = tf.gather(waveforms, tf.clip_by_value(positions, 0, count - 1), batch_dims=1)
        return tf.where(inside, moved, 0.0), targets

    return transform


def _gain(decibels: float) -> Transform:
    def transform(waveforms: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        changes = uniform_per_example(waveforms, seed, draw=0, low=-decibels, high=decibels)
        return waveforms * tf.pow(10.0, changes / 20)[:, None], targets

    return transform


def _add_noise(low: float, high: float, color: str) -> Transform:
    def transform(waveforms: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        count = tf.shape(waveforms)[1]
        noise = tf.random.stateless_normal(tf.shape(waveforms), fold_in(seed, 0))
        if _POWERS[color]:
            frequencies = tf.cast(tf.maximum(tf.range(count // 2 + 1), 1), tf.float32)
            shaped = tf.signal.rfft(noise) * tf.cast(frequencies ** -_POWERS[color], tf.complex64)
            noise = tf.signal.irfft(shaped, count[None])
        ratios = uniform_per_example(waveforms, seed, draw=0, low=low, high=high)[:, None]
        sound_power, noise_power = (tf.reduce_mean(values**2, 1, keepdims=True) for values in (waveforms, noise))
        factors = tf.sqrt(tf.math.divide_no_nan(sound_power, noise_power) * tf.pow(10.0, -ratios / 10))
        return waveforms + factors * noise, targets

    return transform


def _spec_augment(bands: float, times: float, masks: int) -> Transform:
    def transform(waveforms: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        count = tf.shape(waveforms)[1]
        bins = tf.cast(tf.range(count // 2 + 1), tf.float32) / tf.cast(count // 2, tf.float32)
        spectra = tf.signal.rfft(waveforms) * tf.cast(_kept(waveforms, tf.sqrt(bins), seed, bands, masks), tf.complex64)
        moments = tf.cast(tf.range(count), tf.float32) / tf.cast(count, tf.float32)
        kept = _kept(waveforms, moments, fold_in(seed, 1), times, masks)
        return tf.signal.irfft(spectra, count[None]) * kept, targets

    return transform


def _kept(waveforms: tf.Tensor, scale: tf.Tensor, seed: tf.Tensor, widest: float, masks: int) -> tf.Tensor:
    """Return 0 inside of random intervals of a scale from 0 to 1, and 1 outside: float32 [batch, points]."""
    kept = tf.ones([tf.shape(waveforms)[0], tf.shape(scale)[0]])
    for mask in range(masks):
        widths = widest * uniform_per_example(waveforms, seed, draw=2 * mask, low=0.0, high=1.0)
        starts = (1 - widths) * uniform_per_example(waveforms, seed, draw=2 * mask + 1, low=0.0, high=1.0)
        inside = (scale >= starts[:, None]) & (scale < (starts + widths)[:, None])
        kept = tf.where(inside, 0.0, kept)
    return kept


register_augmentation("time_shift", time_shift, build=_time_shift, modality="audio")
register_augmentation("gain", gain, build=_gain, modality="audio")
register_augmentation("add_noise", add_noise, build=_add_noise, modality="audio")
register_augmentation("spec_augment", spec_augment, build=_spec_augment, modality="audio")
