"""Noise and reverberation, against NumPy and SciPy."""

import os

import numpy as np
import pytest
import tensorflow as tf
from scipy.signal import fftconvolve

import tltk
from tests.modalities.audio.test_augment import COUNT, SOUNDS, TARGETS, applied
from tests.sounds import wav
from tltk.augment import add_noise, build_copies, copies, from_config, reverberation
from tltk.modalities.audio.sound_files import read_sounds

RATE = 8000


@pytest.mark.parametrize(("color", "slope"), [("white", 0), ("pink", -3.01), ("brown", -6.02)])
def test_noise_has_its_color_and_its_ratio(color, slope):
    changed, _ = applied(add_noise(low=20, high=30, color=color))
    noise = changed - SOUNDS
    ratios = 10 * np.log10((SOUNDS**2).mean(1) / (noise**2).mean(1))
    assert 19.9 < ratios.min() < ratios.max() < 30.1 and np.ptp(ratios) > 3
    power = (np.abs(np.fft.rfft(noise)) ** 2 / (noise**2).mean(1, keepdims=True)).mean(0)
    octaves = [10 * np.log10(power[start : 2 * start].mean()) for start in (32, 64, 128, 256, 512, 1000)]
    assert abs(np.polyfit(range(6), octaves, 1)[0] - slope) < 0.4
    assert not applied(add_noise(), sounds=np.zeros_like(SOUNDS))[0].any()  # silence stays silent


@pytest.fixture(scope="module")
def noises(tmp_path_factory):
    """Return a folder of two noises: a long one of positive samples, and a short one of negative samples."""
    folder = tmp_path_factory.mktemp("noises")
    generator = np.random.default_rng(0)
    (folder / "a.wav").write_bytes(wav(generator.uniform(0.1, 0.9, 3 * COUNT), RATE))
    (folder / "b.wav").write_bytes(wav(-generator.uniform(0.1, 0.9, COUNT // 3), RATE))
    return folder


def test_parts_of_files_are_added_at_a_ratio(noises):
    augmentation = add_noise(low=5, high=10, files=noises, sample_rate=RATE)
    added = applied(augmentation)[0] - SOUNDS
    ratios = 10 * np.log10((SOUNDS**2).mean(1) / (added**2).mean(1))
    assert 4.9 < ratios.min() < ratios.max() < 10.1
    long, short = (read_sounds([str(noises / name)], RATE).samples.numpy() for name in ("a.wav", "b.wav"))
    for noise in added:
        whole = long if noise.mean() > 0 else np.tile(short, 5)
        parts = np.lib.stride_tricks.sliding_window_view(np.append(whole, whole), COUNT)
        correlations = parts[:, :50] @ noise[:50] / np.linalg.norm(parts[:, :50], axis=1)
        part = parts[correlations.argmax()]
        np.testing.assert_allclose(noise, part * np.sqrt((noise**2).mean() / (part**2).mean()), atol=1e-4)
    assert {noise.mean() > 0 for noise in added} == {True, False}  # both files are used
    assert from_config(augmentation.to_config()) == augmentation


def impulses():
    sounds = np.zeros_like(SOUNDS)
    sounds[:, 0] = 1
    return sounds


def convolved(sounds, responses):
    """Convolve sounds with responses by SciPy, and keep their power."""
    changed = np.stack([fftconvolve(*pair)[:COUNT] for pair in zip(sounds, responses, strict=True)])
    return changed * np.sqrt((sounds**2).mean(1) / (changed**2).mean(1))[:, None]


def test_reverberation_is_a_convolution_that_decays_by_60_decibels_in_its_time():
    short, long = reverberation(low=0.1, high=0.1, sample_rate=RATE), reverberation(low=0.2, high=0.4, sample_rate=RATE)
    times = []
    for augmentation in (short, long):
        responses, _ = applied(augmentation, sounds=impulses())
        np.testing.assert_allclose(applied(augmentation)[0], convolved(SOUNDS, responses), atol=1e-5)
        direct, echoes = responses[:, 0] ** 2, (responses[:, 1:] ** 2).sum(1)
        np.testing.assert_allclose(direct, echoes, rtol=1e-3)
        # Schroeder 1965: the energy that is still to come falls by 60 dB in the reverberation time.
        energy = 10 * np.log10(np.cumsum(responses[:, :0:-1] ** 2, axis=1)[:, ::-1] + 1e-12)
        lines = [np.flatnonzero((row < row[0] - 3) & (row > row[0] - 25)) for row in energy]
        slopes = [np.polyfit(line / RATE, row[line], 1)[0] for line, row in zip(lines, energy, strict=True)]
        times.append(-60 / np.array(slopes))
    np.testing.assert_allclose(times[0].mean(), 0.1, rtol=0.1)
    assert times[0].max() < 0.15 < times[1].min() < times[1].max() < 0.5 and np.ptp(times[1]) > 0.05
    assert not applied(short, sounds=np.zeros_like(SOUNDS))[0].any()


def test_impulse_responses_of_files_begin_with_their_direct_sound(tmp_path):
    generator = np.random.default_rng(1)
    response = generator.normal(0, 0.05, 900) * np.exp(-np.arange(900) / 200)
    response[40] = 0.8  # what comes before is the noise of the recording
    (tmp_path / "hall.wav").write_bytes(wav(response, RATE))
    augmentation = reverberation(files=[tmp_path / "hall.wav"], sample_rate=RATE)
    stored = read_sounds([str(tmp_path / "hall.wav")], RATE).samples.numpy()
    expected = convolved(SOUNDS, [stored[40:]] * len(SOUNDS))
    np.testing.assert_allclose(applied(augmentation)[0], expected, atol=1e-5)
    assert from_config(augmentation.to_config()) == augmentation
    short = np.zeros((12, 100), "float32")  # sounds that are shorter than the response
    short[:, 0] = 1
    changed, _ = applied(augmentation, sounds=short)
    np.testing.assert_allclose(changed[0], stored[40:140] / np.linalg.norm(stored[40:140]), atol=1e-5)


def test_copies_depend_on_the_example_alone(noises):
    augmentations = (add_noise(files=noises, sample_rate=RATE), reverberation(sample_rate=RATE))
    spec = copies(augmentations, 2)
    build = build_copies(tltk.augment.Copies(augmentations, 2, None), 0)
    rows, copy = tf.range(12, dtype=tf.int64), tf.constant(1, tf.int64)
    together, _ = build(tf.constant(SOUNDS), TARGETS, rows, copy)
    alone, _ = build(tf.constant(SOUNDS[5:6]), TARGETS[5:6], rows[5:6], copy)
    np.testing.assert_allclose(together[5:6], alone, atol=1e-6)
    before = spec.states()
    os.utime(noises / "a.wav", ns=(0, 0))
    assert spec.states() != before  # features of copies are stored by it


def test_options_that_do_not_fit_are_refused(noises):
    for build, pattern in (
        (lambda: add_noise(low=30, high=20), "`low`"),
        (lambda: add_noise(color="blue"), "`color` must be one of"),
        (lambda: add_noise(color="pink", files=noises), "either `files` or `color`"),
        (lambda: add_noise(sample_rate=8000), "`sample_rate` is for `files`"),
        (lambda: add_noise(files=noises, sample_rate=10), "`sample_rate` must be at least 1000"),
        (lambda: reverberation(low=0.6), r"`low` must be at least 0 and at most 0\.5"),
        (lambda: reverberation(low=0), "`low` must be a number above 0"),
        (lambda: reverberation(high=100), "`high` must be at least 0 and at most 20"),
        (lambda: reverberation(high=1, files=noises), "either `files`, or `low` and `high`"),
        (lambda: reverberation(files=[]), "at least one sound"),
    ):
        with pytest.raises(tltk.errors.InvalidInput, match=pattern):
            build()
