"""Per-channel energy normalization, against NumPy and SciPy; see also test_librosa.py."""

import numpy as np
import scipy.signal

from tests.modalities.audio.test_mel import chirp
from tltk.backbones.audio.pcen import moving_average, pcen, smoothing
from tltk.backbones.audio.pictures import SpectrogramPicture


def test_it_is_the_formula_of_its_paper():
    energies = np.array(SpectrogramPicture(bands=40).mel().apply(np.stack([chirp(), 0.01 * chirp()[::-1]])))
    for gain, bias, power, weight in ((0.98, 2.0, 0.5, smoothing(50)), (0.8, 10.0, 0.25, smoothing(7.5))):
        averages = [energies[:, 0].astype("float64")]
        for frame in range(1, energies.shape[1]):
            averages.append((1 - weight) * averages[-1] + weight * energies[:, frame])
        expected = (energies / (1e-6 + np.stack(averages, 1)) ** gain + bias) ** power - bias**power
        options = {"gain": gain, "bias": bias, "power": power, "time_constant": 0.4 if gain > 0.9 else 0.06}
        np.testing.assert_allclose(pcen(energies, frames_per_second=125, **options), expected, atol=1e-4)
    assert expected.std() > 0.03


def test_the_average_is_that_of_a_recursive_filter():
    values = np.random.default_rng(0).exponential(size=(2, 1300, 3)).astype("float32")
    for weight in (0.003, 0.4, 1.0):
        expected, _ = scipy.signal.lfilter([weight], [1, weight - 1], values, axis=1, zi=(1 - weight) * values[:, :1])
        np.testing.assert_allclose(moving_average(values, weight), expected, rtol=1e-5)
    np.testing.assert_array_equal(moving_average(values[:, :1], 0.1), values[:, :1])


def test_loudness_and_steady_noise_do_not_matter_in_a_picture():
    picture = SpectrogramPicture(bands=32, spectrogram="pcen")
    generator = np.random.default_rng(0)
    noise = generator.normal(0, 0.05, 16_000).astype("float32")
    event = np.zeros(16_000, "float32")
    event[8000:10_000] = 0.2 * np.sin(np.arange(2000))
    shown = np.array(picture.picture(np.stack([noise + event, 0.1 * (noise + event), np.zeros_like(noise)])))
    assert shown.shape == (3, *picture.size(16_000), 3)
    assert shown[0].max() == 255 and shown.min() >= 0
    np.testing.assert_allclose(shown[0], shown[1], atol=16)
    assert shown[2].max() < 1  # silence is black
    assert abs(int(shown[0, :, :, 0].max(0).argmax()) - 8000 / 128) < 5  # the event, where it begins
