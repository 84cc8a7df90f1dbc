"""Small models and pictures that tests share."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _fresh_keras_state():
    """Start every test from the same random state and without the graphs of the one before."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


def conv_net(*, size: int = 16, dropout: float = 0.0) -> keras.Model:
    """A functional net of three resolutions with batch norm: stem (16 px), conv2 (8 px), conv3 (4 px)."""
    x = pixels = keras.Input((size, size, 3), name="pixels")
    for index, (name, filters) in enumerate((("stem", 4), ("conv2", 8), ("conv3", 8))):
        x = keras.layers.Conv2D(filters, 3, strides=1 if index == 0 else 2, padding="same", name=f"{name}_conv")(x)
        x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
        x = keras.layers.ReLU(name=f"{name}_relu")(x)
        if dropout:
            x = keras.layers.Dropout(dropout, seed=index, name=f"{name}_drop")(x)
    return keras.Model(pixels, x, name="conv_net")


STAGES = {"stem": "stem_relu", "conv2": "conv2_relu", "conv3": "conv3_relu"}


def coloured_squares(count: int, *, classes: int = 3, size: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pictures whose class is their brightest channel: uint8 [n, size, size, 3] and int32 [n]."""
    generator = np.random.default_rng(seed)
    y = np.arange(count) % classes
    x = generator.integers(0, 120, (count, size, size, 3))
    x[np.arange(count), :, :, y] += 100
    return x.astype("uint8"), y.astype("int32")
