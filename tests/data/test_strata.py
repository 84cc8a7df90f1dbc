"""Strata of examples that can have several classes."""

import numpy as np
import pytest

from tltk.data.strata import join_small, rarest_classes


def test_examples_count_for_their_rarest_class():
    contents = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 0], [1, 1, 0]], bool)
    assert rarest_classes(contents).tolist() == [1, 0, 2, 3, 1]
    assert rarest_classes(np.zeros((2, 0), bool)).tolist() == [0, 0]


@pytest.mark.parametrize("seed", range(20))
def test_joined_strata_are_large_and_few_enough(seed):
    random = np.random.default_rng(seed)
    strata = random.integers(0, 12, 40) ** 2
    at_least, at_most = int(random.integers(2, 9)), int(random.integers(1, 6))
    joined = join_small(strata, at_least=at_least, at_most=at_most)
    if joined is not None:
        counts = np.unique(joined, return_counts=True)[1]
        assert counts.min() >= at_least and 2 <= len(counts) <= at_most
        large = [value for value in np.unique(strata) if len(np.unique(joined[strata == value])) > 1]
        assert not large  # examples of one stratum stay together


def test_one_stratum_is_none():
    assert join_small(np.zeros(5, int), at_least=2, at_most=3) is None
    assert join_small(np.arange(5), at_least=2, at_most=3) is None
    assert join_small(np.zeros(0, int), at_least=2, at_most=3) is None
