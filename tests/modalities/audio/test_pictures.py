"""Pictures of sounds."""

import numpy as np

from tests.sounds import tone
from tltk.modalities.audio.pictures import SPECTROGRAM, WAVEFORM, WIDTH, sound_picture


def test_a_low_tone_is_bright_at_the_bottom_while_it_lasts():
    sound = np.concatenate([tone(pitch=300, seconds=0.5), np.zeros(4000, "float32")])
    picture = sound_picture(sound, 8000)
    assert picture.shape == (WAVEFORM + SPECTROGRAM, WIDTH, 3) and picture.dtype == np.uint8
    waveform, spectrum = picture[:WAVEFORM].astype(int), picture[WAVEFORM:].astype(int)
    inked = (waveform.sum(-1) < 600).sum(0)
    assert inked[: WIDTH // 2 - 8].min() > 50 and inked[WIDTH // 2 + 8 :].max() < 10
    rows, columns = np.unravel_index(spectrum.sum(-1).argmax(), spectrum.shape[:2])
    assert rows > SPECTROGRAM // 2 and columns < WIDTH // 2
    one_sample = sound_picture(np.ones(1, "float32"), 44_100)
    assert one_sample.shape == picture.shape


def test_attention_is_low_frequencies_first_and_dims_the_rest():
    sound = np.random.default_rng(0).normal(0, 0.1, 8000).astype("float32")
    attention = np.zeros((2, 2))
    attention[0, 1] = 1  # low frequencies, late
    picture = sound_picture(sound, 8000, attention=attention, note="window 2 of 3").astype(float)
    assert picture.shape == (WAVEFORM + 2 * SPECTROGRAM, WIDTH, 3)
    plain, dimmed = picture[WAVEFORM : WAVEFORM + SPECTROGRAM], picture[WAVEFORM + SPECTROGRAM :]
    ratios = dimmed.sum(-1) / plain.sum(-1)
    assert ratios[-20:, -60:].mean() > 0.95 and ratios[:20].mean() < 0.3 and ratios[-20:, :60].mean() < 0.3
