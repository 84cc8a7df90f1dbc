"""Mel spectrograms in the model, against values that librosa 0.11 computed, and against NumPy."""

import numpy as np
import pytest

from tltk.modalities.audio.mel import MelSpectrogram

# librosa.feature.melspectrogram(y=chirp(), sr=16000, n_fft=fft, win_length=window, hop_length=hop, n_mels=bands):
# its sum, and two or three values at [band, frame].
LIBROSA = {
    MelSpectrogram(16_000, 512, 128, 1024, 128): (8889.29, {(0, 0): 0.378312, (5, 10): 6.13349e-07}),
    MelSpectrogram(16_000, 400, 160, 400, 40): (
        690.927,
        {(0, 0): 0.193518, (5, 10): 7.35272e-05, (20, 30): 0.000328383},
    ),
}


def chirp():
    """Return a rising tone of half a second and a quieter one, which falls."""
    times = np.arange(8000) / 16_000
    rising, falling = (
        np.sin(2 * np.pi * times * (start + step * times)) for start, step in ((300, 2000), (7000, -900))
    )
    return (0.3 * rising + 0.003 * falling).astype("float32")


def by_numpy(samples, spectrogram):
    """Compute the spectrogram frame by frame, in float64."""
    padded = np.pad(samples.astype("float64"), spectrogram.fft // 2)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(spectrogram.window) / spectrogram.window)
    hann = np.pad(hann, (spectrogram.fft - spectrogram.window) // 2)
    starts = np.arange(spectrogram.frames(len(samples))) * spectrogram.hop
    frames = np.stack([padded[start : start + spectrogram.fft] * hann for start in starts])
    return np.abs(np.fft.rfft(frames)) ** 2 @ spectrogram.matrix()


@pytest.mark.parametrize("spectrogram", LIBROSA, ids=("pictures", "speakers"))
def test_it_is_that_of_librosa_and_of_numpy(spectrogram):
    total, values = LIBROSA[spectrogram]
    mel = np.array(spectrogram.apply(chirp()[None]))[0]
    assert mel.shape == (spectrogram.frames(8000), spectrogram.bands)
    np.testing.assert_allclose(mel.sum(), total, rtol=1e-5)
    log_mel = np.log10(np.maximum(mel, 1e-10))
    for (band, frame), value in values.items():
        assert abs(log_mel[frame, band] - np.log10(value)) < 1e-4, (band, frame)
    np.testing.assert_allclose(mel, by_numpy(chirp(), spectrogram), rtol=1e-4, atol=1e-7 * mel.max())
