"""Tests of `tltk.advice.intervals`."""

import numpy as np
import pytest

from tltk.advice.intervals import bootstrap, difference


def test_the_interval_covers_the_mean_as_often_as_it_says():
    generator = np.random.default_rng(0)
    intervals = [bootstrap((generator.uniform(size=100) < 0.8).astype(float), seed=seed) for seed in range(60)]
    assert 0.65 <= np.mean([interval.low <= 0.8 <= interval.high for interval in intervals]) <= 0.95
    wide = bootstrap(np.ones(50), extra_spread=0.1)
    assert wide.high - wide.low == pytest.approx(2 * 1.28 * 0.1, rel=0.1)


def test_a_difference_is_paired():
    scores = (np.random.default_rng(0).uniform(size=200) < 0.5).astype(float)
    better = np.where(np.arange(200) < 10, 1.0, scores)
    assert difference(better, scores).low > 0
    assert difference(scores, scores) == (0, 0, 0)
