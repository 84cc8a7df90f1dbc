"""Augmentations of sounds: of waveforms [batch, samples], as records that can be stored."""

import tensorflow as tf

from tltk.foundation import checks as check
from tltk.modalities.augmentation import (
    Augmentation,
    Transform,
    fold_in,
    register_augmentation,
    uniform_per_example,
)

_SLOWEST, _FASTEST = 0.25, 4.0


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


def speed(*, low: float = 0.9, high: float = 1.1) -> Augmentation:
    """Play each sound slower or faster, so that its pitch changes too, as that of a tape.

    The middle stays where it is; what a slower sound lasts longer is cut off at both ends, and silence fills what a
    faster one lacks. Sounds are resampled by their spectrum, as `scipy.signal.resample` does.

    Args:
        low: Smallest factor: 0.9 is a tenth slower and lower.
        high: Largest factor.

    Returns:
        The augmentation.

    Raises:
        InvalidInput: If `low` is above `high`, or one is not in [0.25, 4].

    Examples:
        >>> speed(low=0.8).to_config()
        {'name': 'speed', 'low': 0.8, 'high': 1.1}
    """
    check.within("high", high, low=_SLOWEST, high=_FASTEST)
    check.within("low", low, low=_SLOWEST, high=high)
    return Augmentation("speed", (("low", float(low)), ("high", float(high))))


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


def _speed(low: float, high: float) -> Transform:
    def transform(waveforms: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        factors = uniform_per_example(waveforms, seed, draw=0, low=low, high=high)
        result = tf.TensorSpec(waveforms.shape[1:], tf.float32)
        return tf.map_fn(_played, (waveforms, factors), fn_output_signature=result), targets

    return transform


def _played(sound_and_factor: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
    """Return a sound [samples] at a speed, in the same number of samples."""
    sound, factor = sound_and_factor
    count = tf.size(sound)
    length = tf.maximum(tf.cast(tf.round(tf.cast(count, tf.float32) / factor), tf.int32), 1)
    changed = _of_length(sound, length)
    first = tf.sign(length - count) * (tf.abs(length - count) // 2)
    padded = tf.pad(changed, [[tf.maximum(-first, 0), tf.maximum(count - length + first, 0)]])
    start = tf.maximum(first, 0)
    return tf.ensure_shape(padded[start : start + count], sound.shape)


def _of_length(sound: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Resample a sound [samples] to another number of samples, by its spectrum."""
    count = tf.size(sound)
    shorter = tf.minimum(count, length)
    bins = shorter // 2 + 1
    # The highest frequency of an even number of samples stands for two: the positive and the negative one.
    is_halved = (tf.range(bins) == bins - 1) & (shorter % 2 == 0)
    highest = tf.where(length < count, 2.0, tf.where(length > count, 0.5, 1.0))
    factors = tf.where(is_halved, highest, 1.0) * (tf.cast(length, tf.float32) / tf.cast(count, tf.float32))
    spectrum = tf.signal.rfft(sound)[:bins] * tf.cast(factors, tf.complex64)
    return tf.signal.irfft(tf.pad(spectrum, [[0, length // 2 + 1 - bins]]), length[None])


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
register_augmentation("speed", speed, build=_speed, modality="audio")
register_augmentation("spec_augment", spec_augment, build=_spec_augment, modality="audio")
