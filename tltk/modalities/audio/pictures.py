"""Pictures of sounds for people: the waveform, and below it the mel spectrogram, low frequencies at the bottom."""

from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tltk.modalities.audio.mel import MelSpectrogram

WIDTH, WAVEFORM, SPECTROGRAM = 480, 96, 192  # pixels: width of the picture, heights of its parts
_BANDS, _WINDOW, _SMALLEST_HOP = 96, 0.032, 0.004  # mel bands; seconds
_RANGE = 80.0  # decibels from the brightest to the darkest
_QUIETEST = 1e-9  # power that counts as silence
_INK, _PAPER, _MUTED = (37, 99, 168), (255, 255, 255), (221, 227, 234)
_DIMMED = 0.25  # brightness of what a prediction does not depend on


def sound_picture(
    samples: np.ndarray, sample_rate: int, *, attention: np.ndarray | None = None, note: str = ""
) -> np.ndarray:
    """Draw a sound.

    Args:
        samples: float32 [n] in [-1, 1], n at least 1.
        sample_rate: Samples per second.
        attention: How much a prediction depends on each part, in [0, 1]: [bands, times] with low frequencies first, or
            [1, times]; None to draw only the sound. With it, a second spectrogram is bright where it is high.
        note: Text below the waveform.

    Returns:
        uint8 [height, 480, 3].

    Examples:
        >>> sound_picture(np.zeros(8000, "float32"), 8000).shape
        (288, 480, 3)
    """
    spectrum = _spectrogram(samples, sample_rate)
    parts = [_waveform(samples, note), spectrum]
    if attention is not None:
        brightness = _DIMMED + (1 - _DIMMED) * _resized(np.flipud(attention), (WIDTH, SPECTROGRAM))
        parts.append((spectrum * brightness[..., None]).round().astype(np.uint8))
    return np.concatenate(parts)


def _waveform(samples: np.ndarray, note: str) -> np.ndarray:
    """Draw the lowest and highest sample of each column; the loudest one reaches the edges."""
    edges = np.linspace(0, len(samples), WIDTH + 1).astype(int)
    starts = np.minimum(edges[:-1], len(samples) - 1)
    stops = np.maximum(edges[1:], starts + 1)
    bounds = [(samples[start:stop].min(), samples[start:stop].max()) for start, stop in zip(starts, stops, strict=True)]
    scale = (WAVEFORM / 2 - 4) / max(float(np.abs(samples).max()), 1e-4)
    picture = Image.new("RGB", (WIDTH, WAVEFORM), _PAPER)
    draw = ImageDraw.Draw(picture)
    middle = WAVEFORM // 2
    draw.line((0, middle, WIDTH, middle), fill=_MUTED)
    for column, (low, high) in enumerate(bounds):
        draw.line((column, middle - high * scale, column, middle - low * scale), fill=_INK)
    if note:
        draw.text((WIDTH - 4, WAVEFORM - 2), note, fill=_INK, anchor="rb", font=ImageFont.load_default(12))
    return np.asarray(picture)


def _spectrogram(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Draw the mel spectrogram in colours, uint8 [192, 480, 3]."""
    from matplotlib import colormaps

    window = round(_WINDOW * sample_rate)
    fft = 2 ** (window - 1).bit_length() * 2
    hop = max(1, round(_SMALLEST_HOP * sample_rate), len(samples) // (2 * WIDTH))
    padded = np.pad(samples, (0, max(0, fft - len(samples)))).astype(np.float32)
    power: Any = MelSpectrogram(sample_rate, window, hop, fft, _BANDS).apply(padded[None])
    power = np.asarray(power)[0, : 1 + len(samples) // hop]
    decibels = 10 * np.log10(np.maximum(power, _QUIETEST))
    brightness = np.clip((decibels - decibels.max()) / _RANGE + 1, 0, 1)
    resized = _resized(np.flipud(brightness.T), (WIDTH, SPECTROGRAM))
    return (colormaps["magma"](resized)[..., :3] * 255).round().astype(np.uint8)


def _resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize values [height, width] in [0, 1] to (width, height), bilinearly."""
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.clip(np.asarray(image.resize(size, Image.Resampling.BILINEAR)), 0, 1)
