"""Fourier transforms as convolutions."""

import keras
import numpy as np
import pytest

from tests.sounds import tone
from tltk.foundation import keras_private as private
from tltk.serving.fourier import without_fourier_transforms

WINDOW = np.linspace(0.1, 1, 96).astype("float32")


@pytest.mark.parametrize(
    ("channels", "options"),
    [
        ((), {"sequence_length": 128, "sequence_stride": 40, "fft_length": 128}),
        ((), {"sequence_length": 96, "sequence_stride": 32, "fft_length": 129, "window": "hamming", "center": False}),
        ((2,), {"sequence_length": 96, "sequence_stride": 50, "fft_length": 128, "window": WINDOW}),
        ((), {"sequence_length": 64, "sequence_stride": 64, "fft_length": 64, "window": None, "center": False}),
    ],
    ids=("centered", "padded window", "channels", "no window"),
)
def test_a_transform_becomes_a_convolution_with_the_same_result(channels, options):
    waveform = keras.Input((*channels, 800), name="waveform")
    real, imaginary = keras.ops.stft(keras.ops.squeeze(keras.ops.expand_dims(waveform, -1), -1), **options)
    private.producing_node(real).operation.name = "conv"  # a name that the convolution would have, too
    dense = keras.layers.Dense(2, name="dense")
    model = keras.Model(waveform, {"parts": keras.ops.stack([real, imaginary], -1), "dense": dense(real)})
    copy = without_fourier_transforms(model)
    assert {type(operation).__name__ for operation in copy.operations} >= {"Conv", "Dense"}
    assert "STFT" not in {type(operation).__name__ for operation in copy.operations}
    x = np.stack([tone(pitch=pitch, seconds=0.1, seed=pitch) for pitch in (300, 1500)])
    x = np.broadcast_to(x[:, None] if channels else x, (2, *channels, 800))
    expected, converted = model(x), copy(x)
    for name, values in expected.items():
        assert converted[name].shape == values.shape
        np.testing.assert_allclose(converted[name], values, atol=1e-5)
    assert copy.get_layer("dense") is dense
    assert dense.output is model.output["dense"]  # the model itself is unchanged, and can be saved


def test_a_model_without_transforms_is_not_copied():
    x = keras.Input((3,))
    model = keras.Model(x, keras.layers.Dense(1)(x))
    assert without_fourier_transforms(model) is model
