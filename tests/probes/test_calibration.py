"""Tests of `tltk.probes.calibration`."""

import numpy as np
import pytest

from tltk.probes.calibration import prior_shift, smoothed, temperature


def test_the_temperature_undoes_a_scale():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(4000, 3))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    classes = (probabilities.cumsum(1) < generator.uniform(size=(4000, 1))).sum(1)
    assert temperature(5 * logits, np.eye(3)[classes]) == pytest.approx(5, rel=0.1)
    labels = (generator.uniform(size=logits.shape) < 1 / (1 + np.exp(-logits))).astype(float)
    assert temperature(logits / 4, labels, kind="multilabel") == pytest.approx(0.25, rel=0.1)
    assert temperature(logits, logits, kind="regression") == 1


def test_shifted_logits_have_the_new_priors():
    likelihood = np.array([[0.6, 0.4]])
    posterior = likelihood * [0.9, 0.1]
    shifted = np.exp(np.log(posterior / posterior.sum()) + prior_shift(np.array([0.9, 0.1]), np.array([0.5, 0.5])))
    assert np.allclose(shifted / shifted.sum(), likelihood)


def test_predictions_that_are_all_right_are_not_certain():
    logits = np.eye(3)[np.arange(30) % 3]
    targets = logits.copy()
    warmth = temperature(logits, targets)
    right = np.exp(1 / warmth) / (np.exp(1 / warmth) + 2)
    assert right == pytest.approx(1 - 2 / 3 / 31, abs=1e-4)  # one example of 31 has no class that is known
    labels = np.tile([[1.0, 0.0]], (30, 1))
    warmth = temperature(2 * labels - 1, labels, kind="multilabel")
    assert 1 / (1 + np.exp(-1 / warmth)) == pytest.approx(1 - 0.5 / 31, abs=1e-4)


def test_smoothed_targets_keep_their_sum_and_numbers_stay():
    targets = np.eye(4)[[0, 1, 2, 3, 3]]
    assert np.allclose(smoothed(targets, kind="categorical").sum(1), 1)
    assert smoothed(targets, kind="regression") is targets
    some = np.array([1.0, 1, 0, 0, 0])
    assert np.allclose(
        smoothed(targets, kind="categorical", weight=some)[:2], smoothed(targets[:2], kind="categorical")
    )
