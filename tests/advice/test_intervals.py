"""Tests of `tltk.advice.intervals`."""

import numpy as np
import pytest
from scipy.stats import beta

from tltk.advice.intervals import bootstrap, difference


@pytest.mark.parametrize(("right", "count"), [(80, 100), (20, 20), (0, 12), (3, 40)])
def test_for_right_and_wrong_it_is_the_interval_of_jeffreys(right, count):
    interval = bootstrap(np.repeat([1.0, 0.0], [right, count - right]))
    expected = beta.ppf([0.1, 0.9], right + 0.5, count - right + 0.5)
    assert interval[1:] == pytest.approx(np.clip(expected, [0, right / count], [right / count, 1]), abs=0.01)
    assert interval.value == right / count


def test_other_spreads_are_added():
    narrow, wide = (bootstrap(np.repeat([1.0, 0.0], 400), extra_spread=spread) for spread in (0.0, 0.1))
    assert narrow.high - narrow.low < 0.06
    assert wide.high - wide.low == pytest.approx(2 * 1.28 * 0.1, rel=0.1)


def test_examples_of_a_group_count_as_one():
    scores = np.repeat(np.arange(20) % 2, 50).astype(float)
    alone, grouped = bootstrap(scores), bootstrap(scores, groups=np.repeat(np.arange(20), 50))
    assert alone.high - alone.low < 0.05
    assert grouped.high - grouped.low > 0.2


def test_a_difference_is_paired():
    scores = (np.random.default_rng(0).uniform(size=200) < 0.5).astype(float)
    better = np.where(np.arange(200) < 20, 1.0, scores)
    assert difference(better, scores).low > 0
    same = difference(scores, scores)
    assert same.low <= same.value == 0 <= same.high < 0.02
