"""Tests of `tltk.advice.baselines`."""

import numpy as np

import tltk
from tests.conftest import squares
from tltk.advice.baselines import BASELINES


def test_pixels_and_words_are_features():
    name, pixels = BASELINES["image"]
    features = pixels(squares(6))
    assert (name, features.shape) == ("raw pixels", (6, 768))
    assert 0 < features.mean() < 1
    _, words = BASELINES["text"]
    texts = tltk.from_arrays(["a red fox", "a blue fox"], ["x", "y"])
    assert np.allclose(np.linalg.norm(words(texts), axis=1), 1)
