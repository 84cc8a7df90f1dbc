"""Tests of `tltk.advise`."""

import json

import numpy as np
import pytest

import tltk
from tests.conftest import STAGES, coloured_squares, conv_net, squares
from tltk.errors import InvalidInput

NAMES = ("red", "green", "blue")


@pytest.fixture(scope="module")
def noisy():
    """Squares with some wrong labels."""
    x, y = coloured_squares(120)
    return tltk.from_arrays(x, np.where(np.arange(120) % 6 == 0, (y + 1) % 3, y), labels=NAMES)


@pytest.fixture(scope="module")
def advice(noisy):
    target = tltk.from_arrays(255 - coloured_squares(60, seed=2)[0], np.zeros(60, int), labels=NAMES)
    backbone = tltk.backbone(conv_net(), stages=STAGES)
    return tltk.advise(noisy, backbones=[backbone], target=target, measures=True, budget=None)


def test_backbones_and_pixels_are_compared(advice):
    assert {choice.name for choice in advice.choices} == {"raw pixels", "conv_net"}
    assert {choice.method for choice in advice.choices} == {"probe", "k-NN"}
    for choice in advice.choices:
        assert choice.low <= choice.accuracy <= choice.high
    assert advice["raw pixels"].parameters == 0 < advice["conv_net"].parameters
    assert advice["conv_net"].h_score is not None
    assert advice["raw pixels"].accuracy > 0.6


def test_the_cheaper_is_recommended_if_it_is_as_good(advice):
    assert advice.recommended == "raw pixels"
    assert "no network" in advice.reason or "most accurate" in advice.reason
    text = advice.describe()
    assert "raw pixels" in text and "more labels bring" in text and "H-score" in text


def test_labels_and_shift_are_forecast(advice):
    assert [forecast.labels for forecast in advice.labels] == [120, 240, 480]
    assert all(forecast.low <= forecast.accuracy <= forecast.high for forecast in advice.labels)
    assert advice.shift.kind == "label" and advice.shift.p_value < 0.05
    assert json.loads(json.dumps(advice.to_dict()))["shift"]["kind"] == "label"


def test_labels_must_be_classes_with_two_examples():
    x, y = coloured_squares(6)
    with pytest.raises(InvalidInput, match="one class per example"):
        tltk.advise(tltk.from_arrays(x, y * 1.5, label_type="regression"))
    with pytest.raises(InvalidInput, match="single example of 'blue'"):
        tltk.advise(tltk.from_arrays(x[[0, 1, 3, 4, 2]], [0, 1, 0, 1, 2], labels=NAMES))
    with pytest.raises(InvalidInput, match="budget"):
        tltk.advise(squares(), budget="5 steps")
