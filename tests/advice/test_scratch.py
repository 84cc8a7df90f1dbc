"""Tests of `tltk.advice.scratch`."""

import numpy as np
import pytest

import tltk
from tests.conftest import squares
from tltk.advice import scratch
from tltk.advice.comparison import Candidate, Examples, judge
from tltk.foundation.duration import Deadline


@pytest.fixture
def examples(monkeypatch):
    monkeypatch.setattr(scratch, "_STEPS", 30)
    monkeypatch.setattr(scratch, "_FILTERS", (4, 8))
    monkeypatch.setattr(scratch, "_SIDE", 8)
    return Examples(squares(300), 0)


def test_a_small_network_learns_what_is_easy(examples):
    result, why_not = scratch.train_from_scratch(examples, Deadline.after(None))
    assert why_not == ""
    assert result.choice.low <= result.choice.accuracy <= result.choice.high
    assert result.choice.accuracy > 0.8
    assert 0 < result.choice.parameters < 1000
    noise = np.random.default_rng(0).normal(size=(300, 3)).astype("float32")
    best = judge(Candidate("noise", noise, 0.0, 0.0), examples, measures=False)
    assert "from scratch does as well" in result.note(best, examples)
    sure = judge(Candidate("sure", examples.targets, 0.0, 0.0), examples, measures=False)
    hopeless = scratch.Scratch(result.choice, np.zeros(300))
    assert hopeless.note(sure, examples) == ""


def test_nothing_is_trained_without_time_or_images(examples):
    assert scratch.train_from_scratch(Examples(squares(60), 0), Deadline.after(None)) == (None, "")
    texts = tltk.from_arrays(["a", "b"] * 200, ["x", "y"] * 200)
    assert scratch.train_from_scratch(Examples(texts, 0), Deadline.after(None)) == (None, "")
    result, why_not = scratch.train_from_scratch(examples, Deadline.after(1e-3))
    assert result is None
    assert "too much of the budget" in why_not
