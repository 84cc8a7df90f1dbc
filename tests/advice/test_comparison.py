"""Tests of `tltk.advice.comparison`."""

from dataclasses import replace

import numpy as np
import pytest

import tltk
from tests.conftest import squares
from tltk.advice.comparison import Candidate, Examples, interval_of, judge, recommend, with_backbone


@pytest.fixture(scope="module")
def examples():
    return Examples(squares(90), 0)


@pytest.fixture(scope="module")
def judged(examples):
    """Good and slow features, good and fast ones, and noise."""
    generator = np.random.default_rng(0)
    backbone = tltk.backbone("mobilenet_v2", weights="random")
    noise = generator.normal(size=(90, 4)).astype("float32")
    good = np.concatenate([examples.targets, 0.1 * noise], axis=1)
    candidates = [
        Candidate("slow", good, 1.0, 30.0, backbone, top1=0.7),
        Candidate("fast", 0.9 * good, 1.0, 3.0, backbone),
        Candidate("noise", noise, 1.0, 1.0),
    ]
    return [judge(candidate, examples, measures=False) for candidate in candidates]


def test_folds_keep_groups_together():
    grouped = Examples(replace(squares(30), groups=np.arange(30) // 3), 0)
    assert (grouped.folds.reshape(10, 3) == grouped.folds.reshape(10, 3)[:, :1]).all()
    assert grouped.targets.shape == (30, 3)
    assert grouped.fitted_share == 0.9
    assert Examples(replace(squares(30), groups=np.arange(30) // 15), 0).fitted_share == 0.5


def test_the_cheaper_of_two_equals_is_recommended(judged, examples):
    best, reason = recommend(judged, examples)
    assert best.candidate.name == "fast"
    assert reason == "slow is 0.0 points ahead, which is not certain: take the cheaper"
    assert with_backbone(judged, judged[2]).candidate.name in ("slow", "fast")


def test_the_reason_says_how_far_the_best_is_ahead(judged, examples):
    best, reason = recommend([judged[0], judged[2]], examples)
    assert best.candidate.name == "slow"
    assert "points above noise" in reason
    assert "not certain" not in reason
    assert recommend([judged[0]], examples)[1] == "nothing else was compared"


def test_fewer_labels_in_a_fold_cost_accuracy(examples):
    scores = np.repeat([1.0, 0.0], [60, 30])
    many, few = interval_of(scores, examples), interval_of(scores, examples, fitted_share=2 / 3)
    assert 2 / 3 < many["accuracy"] < few["accuracy"] < 0.75
    assert many["low"] < many["accuracy"] < many["high"]
