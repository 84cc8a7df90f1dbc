"""Tests of `tltk.training.expected_gain`."""

import numpy as np
import pytest

from tltk.training import auto
from tltk.training.expected_gain import NOT_AUGMENTED, GainPrior, expected_gain, value_of_measuring


def test_many_examples_outweigh_the_prior():
    assert expected_gain(-0.06, 0.1, NOT_AUGMENTED) > 0 > expected_gain(-0.06, 0.01, NOT_AUGMENTED)


def test_the_expected_gain_is_the_mean_of_the_posterior():
    """Of gains drawn as assumed, those that were measured as −0.02 have the expected mean."""
    generator = np.random.default_rng(0)
    gains = generator.normal(0.02, 0.03, 400_000)
    measured = gains + generator.normal(0, 0.04, len(gains))
    near = np.abs(measured + 0.02) < 0.002
    assert expected_gain(-0.02, 0.04, GainPrior(0.02, 0.03)) == pytest.approx(gains[near].mean(), abs=1e-3)


def test_the_value_of_a_comparison_is_that_of_many_of_them():
    generator = np.random.default_rng(1)
    prior = GainPrior(0.02, 0.05)
    gains = generator.normal(*prior, 400_000)
    errors = np.sqrt(0.25 / 200)
    expected = expected_gain(gains + generator.normal(0, errors, len(gains)), errors, prior)
    undone = np.where(expected > 0, gains, 0.0)
    assert value_of_measuring(200, prior) == pytest.approx(undone.mean() - prior.mean, abs=3e-4)
    assert value_of_measuring(30, prior) < value_of_measuring(200, prior) < value_of_measuring(2000, prior)


def test_the_documented_number_of_examples_from_which_it_is_compared():
    worth = [value_of_measuring(count, NOT_AUGMENTED) >= auto._WORTH_MEASURING for count in (255, 265)]
    assert worth == [False, True]  # halves of about 520, see docs/auto.md
