"""Frequencies of classes."""

import numpy as np
import pytest
from scipy.special import softmax

from tltk.balancing.priors import cost_matrix, logit_shift, ratio, serving_prior, training_prior
from tltk.errors import InvalidInput
from tltk.tasks.uneven import ClassCounts

COUNTS = ClassCounts(("a", "b", "c"), np.array([6.0, 2.0, 0.0]), 8.0)
LABELS = ClassCounts(("a", "b"), np.array([2.0, 10.0]), 10.0, is_exclusive=False)


def test_a_class_without_examples_counts_as_the_smallest():
    assert training_prior(COUNTS).tolist() == [0.75, 0.25, 0.25]
    assert training_prior(LABELS).tolist() == [0.2, 0.95]
    assert ratio(COUNTS) == 3.0
    assert ratio(LABELS) == 5.0


def test_without_a_stated_prior_all_classes_are_equally_frequent():
    np.testing.assert_allclose(serving_prior(("a", "b", "c"), None, exclusive=True), 1 / 3)
    np.testing.assert_allclose(serving_prior(("a", "b", "c"), None, exclusive=False), 0.5)
    assert serving_prior(("a", "b"), (("a", 0.9), ("b", 0.3)), exclusive=False).tolist() == [0.9, 0.3]


def test_unknown_and_missing_classes_are_named():
    with pytest.raises(InvalidInput, match=r"'bb'.*Did you mean 'b'") as raised:
        serving_prior(("a", "b"), (("a", 1.0), ("bb", 1.0)), exclusive=True)
    assert "`prior` lacks the classes 'b'" in str(raised.value)
    with pytest.raises(InvalidInput, match="below 1"):
        serving_prior(("a",), (("a", 1.0),), exclusive=False)


def test_the_shift_turns_posteriors_of_one_prior_into_those_of_another():
    generator = np.random.default_rng(0)
    likelihood, train, serving = generator.random((5, 3)), np.array([0.7, 0.2, 0.1]), np.array([0.2, 0.3, 0.5])
    posterior = {name: likelihood * prior for name, prior in (("train", train), ("serving", serving))}
    shift = logit_shift(train, serving, tau=1.0, exclusive=True)
    expected = posterior["serving"] / posterior["serving"].sum(1, keepdims=True)
    np.testing.assert_allclose(softmax(np.log(posterior["train"]) - shift, axis=1), expected)
    np.testing.assert_allclose(logit_shift(train, serving, tau=0.5, exclusive=True), shift / 2)
    odds = logit_shift(np.array([0.1]), np.array([0.5]), tau=1.0, exclusive=False)
    np.testing.assert_allclose(odds, np.log(0.1 / 0.9))


def test_costs_of_unknown_classes_and_right_answers_are_refused():
    assert cost_matrix(("a", "b"), (("a", "b", 4.0),)) == ((0.0, 4.0), (1.0, 0.0))
    with pytest.raises(InvalidInput, match=r"'c'.*a, b") as raised:
        cost_matrix(("a", "b"), (("c", "b", 4.0), ("a", "a", 1.0)))
    assert "a right answer costs nothing" in str(raised.value)
