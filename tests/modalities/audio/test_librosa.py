"""Trimming, mel spectrograms and per-channel energy normalization are those of librosa, whose import takes seconds."""

import librosa
import numpy as np
import pytest
import tensorflow as tf

from tests.modalities.audio.test_mel import LIBROSA, chirp
from tests.modalities.audio.test_trim import recordings
from tltk.backbones.audio.pcen import pcen, smoothing
from tltk.backbones.audio.pictures import SpectrogramPicture
from tltk.modalities.audio.trim import trim

pytestmark = pytest.mark.slow


def test_trimming():
    for sound in (*recordings(), np.zeros(5000, "float32"), np.full(5000, 1e-6, "float32"), np.zeros(1, "float32")):
        for decibels in (10, 30, 60):
            expected, _ = librosa.effects.trim(sound, top_db=decibels)
            np.testing.assert_array_equal(trim(tf.constant(sound), decibels), expected)


def test_mel_spectrograms():
    for mel in LIBROSA:
        options = {"sr": mel.sample_rate, "n_fft": mel.fft, "win_length": mel.window, "hop_length": mel.hop}
        expected = librosa.feature.melspectrogram(y=chirp(), n_mels=mel.bands, **options)
        log_mel, expected = (np.log10(np.maximum(power, 1e-10)) for power in (mel.apply(chirp()[None])[0], expected.T))
        differences = np.abs(log_mel - expected)  # the Fourier transform of librosa is computed in float64
        assert differences[expected > expected.max() - 7].max() < 1e-4
        assert differences[expected > expected.max() - 8].max() < 3e-4


def test_per_channel_energy_normalization():
    energies = np.array(SpectrogramPicture(bands=40).mel().apply(np.stack([chirp(), 0.01 * chirp()[::-1]])))
    for options in ({}, {"gain": 0.8, "bias": 10.0, "power": 0.25, "time_constant": 0.06}):
        weight = smoothing(options.get("time_constant", 0.4) * 125)
        state = (1 - weight) * energies[:, :1]  # the average begins with the first frame
        expected = librosa.pcen(energies.astype("float64"), sr=125, hop_length=1, axis=1, zi=state, **options)
        np.testing.assert_allclose(pcen(energies, frames_per_second=125, **options), expected, atol=1e-4)
    # Without `zi`, the average of librosa begins with 1, which is negligible if samples are scaled to 32 bits.
    scaled = np.concatenate([np.ones((1, 40)), energies[0] * 2.0**31]).astype("float32")
    expected = librosa.pcen(scaled[1:].astype("float64"), sr=125, hop_length=1, axis=0)
    np.testing.assert_allclose(pcen(scaled[None], frames_per_second=125)[0, 1:], expected, atol=1e-4, rtol=1e-4)
