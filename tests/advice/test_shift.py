"""Tests of `tltk.advice.shift`."""

import numpy as np
import pytest
from scipy.special import softmax

from tltk.advice.shift import Shift, Side, find_shift, new_priors


@pytest.fixture(scope="module")
def clouds():
    """Two classes of 240 training and 160 target examples, and the probabilities of their best classifier."""
    generator = np.random.default_rng(0)
    classes, others = np.arange(240) % 2, np.arange(160) % 8 // 7  # one of eight is of the second class
    x, target = (generator.normal(size=(len(y), 8)) + 1.2 * np.eye(2, 8)[y] for y in (classes, others))
    probabilities, predicted = (softmax(1.2 * values[:, :2], axis=1) for values in (x, target))
    prior = softmax(1.2 * target[:, :2] + np.log([7, 1]), axis=1)
    assert (prior.argmax(1) == others).mean() > 0.8
    return x, classes, probabilities, target, others, predicted


def test_other_inputs_are_a_covariate_shift(clouds):
    x = clouds[0]
    moved = find_shift(Side(x[:120]), Side(x[120:] + 0.7))
    assert (moved.kind, moved.prior_p_value) == ("covariate", None)
    assert moved.separation > 0.7
    assert moved.p_value < 0.01
    assert "looks different" in moved.describe()
    same = find_shift(Side(x[:120]), Side(x[120:]))
    assert same.kind == "none"
    assert "no shift" in same.describe()


def test_other_frequencies_are_a_label_shift(clouds):
    x, classes, _, target, others, _ = clouds
    shift = find_shift(Side(x, classes), Side(target, others), names=("cat", "dog"))
    assert shift.kind == "label"
    assert shift.priors == (("cat", 0.5, 0.875), ("dog", 0.5, 0.125))
    assert "cat 50% → 88%" in shift.describe()
    moved = find_shift(Side(x, classes), Side(target + 1, others), names=("cat", "dog"))
    assert moved.kind == "covariate"
    assert "seem to differ too: cat 50% → 88%" in moved.describe()
    assert find_shift(Side(x, classes), Side(x[:100], classes[:100]), names=("cat", "dog")).kind == "none"


def test_frequencies_of_an_unlabelled_target_are_estimated(clouds):
    x, classes, probabilities, target, _, predicted = clouds
    sides = Side(x, classes, probabilities), Side(target, None, predicted)
    shift = find_shift(*sides, names=("cat", "dog"))
    assert shift.kind == "label"
    assert not shift.is_labelled
    assert shift.priors[0][2] == pytest.approx(0.875, abs=0.08)
    assert "(estimated)" in shift.describe()


def test_without_labels_too_few_matching_examples_do_not_tell_a_label_shift():
    options = {"separation": 0.7, "p_value": 0.005, "prior_p_value": 0.005}
    assert Shift(**options, is_labelled=True).kind == "label"
    assert Shift(**options, is_labelled=False).kind == "covariate"


def test_estimated_frequencies_are_those_of_the_largest_likelihood():
    generator = np.random.default_rng(0)
    probabilities, priors = generator.dirichlet([1, 1], 300), np.array([0.6, 0.4])
    grid = np.linspace(0.001, 0.999, 999)
    likelihood = [np.log(probabilities @ (np.array([q, 1 - q]) / priors)).sum() for q in grid]
    assert new_priors(probabilities, priors)[0] == pytest.approx(grid[np.argmax(likelihood)], abs=2e-3)


def test_new_classes_and_unlike_examples_are_named(clouds):
    x = clouds[0]
    new = find_shift(Side(x), Side(x[:50]), new_classes=("fox",))
    assert new.kind == "new classes"
    assert "fox" in new.describe()
    far = np.concatenate([np.abs(x[:60]), -np.abs(x[60:90])])
    shift = find_shift(Side(np.abs(x[90:])), Side(far, ids=tuple(f"{number}.jpg" for number in range(90))))
    assert shift.kind == "covariate"
    assert 0.3 < shift.unlike < 0.5
    assert all(int(name.removesuffix(".jpg")) >= 60 for name in shift.unlike_ids)
    assert shift.unlike_ids[0] in shift.describe()


def test_equal_features_are_not_told_apart():
    shift = find_shift(Side(np.ones((40, 3))), Side(np.ones((30, 3))))
    assert (shift.separation, shift.kind) == (0.5, "none")


@pytest.mark.parametrize("size", [1, 4])
def test_p_values_are_uniform_without_a_shift_also_for_groups(size):
    generator = np.random.default_rng(1)
    p_values = []
    for seed in range(20):
        sides = generator.normal(size=(2, 40, 1, 5)) + 0.1 * generator.normal(size=(2, 40, size, 5))
        groups = np.repeat(np.arange(40), size)
        p_values.append(find_shift(*(Side(side.reshape(-1, 5), groups=groups) for side in sides), seed=seed).p_value)
    assert np.mean(np.array(p_values) < 0.1) < 0.3
    assert 0.25 < np.mean(p_values) < 0.75
