"""Tests of `tltk.advice.labels`."""

from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import squares
from tltk.advice.comparison import Candidate, Examples, judge
from tltk.advice.labels import forecasts, label_advice, learning_curve


@pytest.fixture(scope="module")
def curve():
    """Learning curve of noisy features of 160 examples."""
    examples = Examples(squares(160), 0)
    noise = np.random.default_rng(0).normal(size=(160, 30))
    features = np.concatenate([1.5 * examples.targets, noise], axis=1).astype("float32")
    return learning_curve(judge(Candidate("noisy", features, 0.0, 0.0), examples, measures=False), examples)


def test_the_error_falls_with_the_number_of_labels(curve):
    assert curve.labels.tolist() == [20, 40, 80, 144]
    assert curve.errors[0] > curve.errors[-1]
    assert (curve.spreads > 0).all()
    assert [forecast.labels for forecast in forecasts(curve, 160)] == [160, 320, 640]


def test_parts_with_a_single_group_are_left_out():
    """A probe of one group cannot be tuned."""
    examples = Examples(replace(squares(160), groups=np.arange(160) // 20), 0)
    noise = np.random.default_rng(0).normal(size=(160, 30)).astype("float32")
    curve = learning_curve(judge(Candidate("noise", noise, 0.0, 0.0), examples, measures=False), examples)
    assert curve.labels.tolist() == [40, 80, 140]


def test_the_sentence_says_what_is_known_about_which_labels(curve):
    assert label_advice(curve, 0.7, examples=160, total=160).startswith("70.0% now; 160 more labels bring ")
    text = label_advice(curve, 0.7, examples=160, total=5000)
    assert text.startswith("70.0% with 160 labels, about ")
    assert "with all 5,000; 5,000 more" in text
