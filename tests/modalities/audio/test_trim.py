"""Silence is cut off as librosa does it: see also test_librosa.py."""

import numpy as np
import tensorflow as tf

from tests.sounds import tone, wav
from tltk.modalities.audio.decode import decode_file, fit_samples
from tltk.modalities.audio.requests import read_requests
from tltk.modalities.audio.trim import trim
from tltk.specs import AudioSpec


def recording(*, before, length, after, seed=0):
    """Return a tone that fades in and out between faint noise, float32 [samples]."""
    noise = np.random.default_rng(seed).normal(0, 3e-4, before + length + after)
    sound = np.sin(np.arange(length) * 0.3) * np.hanning(length) * 0.5
    return (np.pad(sound, (before, after)) + noise).astype("float32")


def recordings():
    """Return recordings of several lengths, some shorter than a frame."""
    lengths = ((10_000, 8000, 6000), (0, 5120, 20_480), (3000, 700, 0), (0, 1500, 0), (511, 2, 1))
    return [recording(before=before, length=length, after=after) for before, length, after in lengths]


def by_numpy(sound, decibels):
    """Return the first and the last sample that librosa keeps."""
    padded = np.pad(sound.astype("float64"), 1024)
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2048)[::512]
    loudness = 10 * np.log10(np.maximum((frames**2).mean(1), 1e-10))
    loud = np.flatnonzero(loudness - loudness.max() > -decibels)
    return loud[0] * 512, min((loud[-1] + 1) * 512, len(sound))


def test_it_keeps_the_frames_that_are_not_much_quieter_than_the_loudest():
    for sound in recordings():
        for decibels in (10, 30, 60):
            start, stop = by_numpy(sound, decibels)
            np.testing.assert_array_equal(trim(tf.constant(sound), decibels), sound[start:stop])


def test_a_sound_that_is_silent_all_along_is_kept():
    for silence in (np.zeros(5000, "float32"), np.full(5000, 1e-6, "float32"), np.zeros(1, "float32")):
        np.testing.assert_array_equal(trim(tf.constant(silence), 20.0), silence)


def test_files_samples_and_requests_are_trimmed_before_they_are_resampled(tmp_path):
    spec = AudioSpec(sample_rate=8000, seconds=0.5, trim_silence=40)
    padded = np.pad(tone(rate=11_025, seconds=0.3), (20_000, 9000))
    (tmp_path / "a.wav").write_bytes(wav(padded, 11_025))
    start, stop = by_numpy(padded, 40)
    assert 0 < start < stop < len(padded)
    trimmed = padded[start:stop]
    samples = fit_samples(padded, 11_025, spec)
    np.testing.assert_array_equal(samples, fit_samples(trimmed, 11_025, AudioSpec(sample_rate=8000, seconds=0.5)))
    decoded, reason = decode_file(tmp_path / "a.wav", spec)
    assert reason == ""
    np.testing.assert_allclose(decoded, samples, atol=1e-4)  # a file has 16 bits
    request = read_requests(tf.constant([wav(padded, 11_025), wav(np.zeros(100)), b""]), spec)
    assert request.valid.numpy().tolist() == [True, True, False]  # silence is no error
    np.testing.assert_array_equal(request.inputs[0], decoded)
    assert not request.inputs[1].numpy().any()


def test_the_loudest_frame_is_never_silent():
    sound = np.sin(np.arange(8000)).astype("float32") * np.linspace(0.1, 1, 8000).astype("float32")
    assert len(trim(sound, 1e-8)) > 0
