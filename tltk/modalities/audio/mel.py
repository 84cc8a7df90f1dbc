"""Mel spectrograms as operations of Keras in the model, equal to those of librosa."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

# The mel scale of Slaney's Auditory Toolbox (1998), librosa's default: linear below 1 kHz, logarithmic above.
_LINEAR_STEP = 200 / 3  # Hz
_BREAK = 1000.0  # Hz
_LOG_STEP = math.log(6.4) / 27


@dataclass(frozen=True)
class MelSpectrogram:
    """Power in mel bands, as `librosa.feature.melspectrogram` computes it by default.

    Args:
        sample_rate: Samples per second of the waveforms.
        window: Samples of a frame, under a Hann window.
        hop: Samples from one frame to the next.
        fft: Length of the Fourier transform, at least `window`.
        bands: Number of mel bands, from 0 Hz to half the sample rate.
        padding: What lies beyond the ends of a waveform: "constant" (silence) or "reflect" (the waveform, mirrored).
    """

    sample_rate: int
    window: int
    hop: int
    fft: int
    bands: int
    padding: str = "constant"

    def frames(self, samples: int) -> int:
        """Return the number of frames of a waveform."""
        return 1 + samples // self.hop

    def apply(self, x: Any) -> Any:
        """Add the spectrogram to a graph.

        Args:
            x: Keras tensor (or array) float32 [batch, samples].

        Returns:
            float32 [batch, frames, bands]. The first frame is centered on the first sample.
        """
        import keras

        padded = keras.ops.pad(x, [[0, 0], [self.fft // 2, self.fft // 2]], mode=self.padding)
        real, imaginary = keras.ops.stft(padded, self.window, self.hop, self.fft, center=False)
        return keras.ops.matmul(real * real + imaginary * imaginary, self.matrix())

    def matrix(self) -> np.ndarray:
        """Return the triangular filters of the bands, each of area 1 in Hz, float32 [fft / 2 + 1, bands]."""
        frequencies = np.arange(self.fft // 2 + 1) * self.sample_rate / self.fft
        edges = _hertz(np.linspace(0, _mel(self.sample_rate / 2), self.bands + 2))
        rising = (frequencies[:, None] - edges[:-2]) / np.diff(edges)[:-1]
        falling = (edges[2:] - frequencies[:, None]) / np.diff(edges)[1:]
        filters = np.maximum(0, np.minimum(rising, falling))
        return (filters * (2 / (edges[2:] - edges[:-2]))).astype(np.float32)


def _mel(frequency: float) -> float:
    if frequency < _BREAK:
        return frequency / _LINEAR_STEP
    return _BREAK / _LINEAR_STEP + math.log(frequency / _BREAK) / _LOG_STEP


def _hertz(mels: np.ndarray) -> np.ndarray:
    break_mel = _BREAK / _LINEAR_STEP
    return np.where(mels < break_mel, mels * _LINEAR_STEP, _BREAK * np.exp(_LOG_STEP * (mels - break_mel)))
