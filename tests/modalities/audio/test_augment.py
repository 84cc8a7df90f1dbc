"""Augmentations of sounds, against NumPy."""

import json

import numpy as np
import pytest
import scipy.signal
import tensorflow as tf

import tltk
from tests.sounds import tone
from tltk.augment import add_noise, chain, from_config, gain, mixup, reverberation, spec_augment, speed, time_shift

COUNT = 4000
SOUNDS = np.stack([tone(pitch=pitch) for pitch in (200, 500, 1000, 2000)] * 3)
TARGETS = tf.eye(12)
ALL = (time_shift(), gain(), add_noise(), speed(), reverberation(sample_rate=8000), spec_augment(), mixup())


def applied(augmentation, seed=0, sounds=SOUNDS):
    """Apply an augmentation to the sounds; return sounds and targets."""
    transform = chain(augmentation, value_range=None)
    changed, targets = transform(tf.constant(sounds), TARGETS, tf.constant([seed, 1], tf.int64))
    return changed.numpy(), targets.numpy()


@pytest.mark.parametrize("augmentation", ALL, ids=str)
def test_equal_seeds_give_equal_sounds_and_other_seeds_others(augmentation):
    first, again, other = (applied(augmentation, seed)[0] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == SOUNDS.shape and np.isfinite(first).all()
    assert from_config(augmentation.to_config()) == augmentation


def test_a_shifted_sound_is_silent_where_it_was_moved_from():
    changed, _ = applied(time_shift(fraction=0.25))
    shifts = []
    for sound, original in zip(changed, SOUNDS, strict=True):
        start, stop = np.flatnonzero(sound)[[0, -1]]
        shift = start if start else stop + 1 - COUNT
        expected = np.roll(original, shift)
        expected[: shift if shift > 0 else 0] = 0
        expected[COUNT + min(shift, 0) :] = 0
        assert np.array_equal(sound, expected)
        shifts.append(shift)
    assert max(map(abs, shifts)) <= COUNT / 4 and min(shifts) < 0 < max(shifts)


def test_a_gain_multiplies_every_sound():
    ratios = applied(gain(decibels=6))[0] / SOUNDS
    decibels = 20 * np.log10(np.median(ratios, 1))
    np.testing.assert_allclose(ratios, np.median(ratios, 1)[:, None] * np.ones(COUNT), rtol=1e-4)
    assert np.abs(decibels).max() <= 6 and decibels.min() < 0 < decibels.max()


def test_a_faster_sound_is_resampled_around_its_middle():
    for factor in (0.8, 1.0, 1.25, 1.3):
        changed, _ = applied(speed(low=factor, high=factor))
        length = round(COUNT / factor)
        resampled = scipy.signal.resample(SOUNDS, length, axis=1)
        surplus = length - COUNT
        first = abs(surplus) // 2
        after = max(COUNT - length - first, 0)
        expected = resampled[:, first : first + COUNT] if surplus >= 0 else np.pad(resampled, ((0, 0), (first, after)))
        np.testing.assert_allclose(changed, expected, atol=1e-5)
    changed, _ = applied(speed(low=0.5, high=2.0))
    tones = np.abs(np.fft.rfft(changed)).argmax(1) / np.abs(np.fft.rfft(SOUNDS)).argmax(1)
    assert 0.5 <= tones.min() < 0.8 and 1.25 < tones.max() <= 2.01  # the pitch changes with the speed
    odd = SOUNDS[:, :-1]
    expected = scipy.signal.resample(odd, 3000, axis=1)
    changed = applied(speed(low=3999 / 3000, high=3999 / 3000), sounds=odd)[0]
    np.testing.assert_allclose(changed[:, 499:3499], expected, atol=1e-5)


def test_masks_silence_bands_and_intervals():
    noise = np.random.default_rng(0).normal(0, 0.1, SOUNDS.shape).astype("float32")
    bands = np.abs(np.fft.rfft(applied(spec_augment(bands=0.4, times=0.0, masks=1), sounds=noise)[0]))
    removed = (bands < 1e-3).mean(1)
    assert 0.02 < removed.max() < 0.7
    intervals, _ = applied(spec_augment(bands=0.0, times=0.3, masks=1), sounds=noise)
    silent = intervals == 0
    assert 0.1 < silent.mean(1).max() <= 0.3 + 1 / COUNT
    np.testing.assert_allclose(intervals[~silent], noise[~silent], atol=1e-5)
    assert (np.diff(silent.astype(int), axis=1) != 0).sum(1).max() <= 2  # one interval


def test_mixup_blends_sounds_and_targets_alike():
    changed, targets = applied(mixup(1.0))
    np.testing.assert_allclose(changed, targets @ SOUNDS, atol=1e-5)
    assert ((targets > 0).sum(1) == 2).any()


def test_values_out_of_range_are_refused():
    for build, pattern in (
        (lambda: time_shift(fraction=1.0), "`fraction`"),
        (lambda: gain(decibels=0), "`decibels`"),
        (lambda: speed(low=1.2, high=1.1), "`low`"),
        (lambda: speed(high=5), "`high` must be at least 0.25 and at most 4"),
        (lambda: spec_augment(masks=0), "`masks`"),
    ):
        with pytest.raises(tltk.errors.InvalidInput, match=pattern):
            build()


def test_equal_numbers_of_other_types_are_stored_alike():
    pairs = (
        (gain(decibels=np.float32(6)), gain(decibels=6.0)),
        (time_shift(fraction=np.float32(0.5)), time_shift(fraction=0.5)),
        (add_noise(low=np.int64(20), high=30), add_noise(low=20.0, high=30.0)),
        (speed(low=np.float32(0.5), high=2), speed(low=0.5, high=2.0)),
        (reverberation(low=np.float64(1), high=2), reverberation(low=1.0, high=2.0)),
        (spec_augment(bands=0, times=np.float32(0.5), masks=np.int64(1)), spec_augment(bands=0.0, times=0.5, masks=1)),
    )
    for first, second in pairs:
        assert json.dumps(first.to_config()) == json.dumps(second.to_config())
        assert repr(first) == repr(second)


def test_sounds_and_targets_may_be_arrays_of_numpy():
    waveforms, targets = np.ones((4, 100), np.float32), np.eye(4, dtype=np.float32)
    mixed, blended = chain((mixup(alpha=0.4),), value_range=None)(waveforms, targets, np.array([0, 1]))
    np.testing.assert_allclose(mixed, waveforms, atol=1e-6)
    np.testing.assert_allclose(np.sum(blended, 1), 1, atol=1e-6)
