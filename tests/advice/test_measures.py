"""Tests of `tltk.advice.measures`."""

import numpy as np
import pytest

from tltk.advice.measures import h_score, log_me


def test_log_me_is_the_evidence_of_scikit_learns_bayesian_ridge():
    from sklearn.linear_model import BayesianRidge

    generator = np.random.default_rng(0)
    x = generator.normal(size=(60, 5))
    y = x @ generator.normal(size=5) + 0.5 * generator.normal(size=60)
    flat = dict.fromkeys(("alpha_1", "alpha_2", "lambda_1", "lambda_2"), 1e-12)
    reference = BayesianRidge(fit_intercept=False, compute_score=True, tol=1e-9, **flat).fit(x, y)
    assert log_me(x, y[:, None]) == pytest.approx(reference.scores_[-1] / 60, abs=1e-2)


@pytest.mark.parametrize("channels", [4, 200])
def test_the_h_score_is_that_of_its_definition(channels):
    x, y = np.random.default_rng(0).normal(size=(90, channels)), np.arange(90) % 3
    centered = x - x.mean(0)
    covariance = centered.T @ centered / 90
    shrunk = 0.9 * covariance + 0.1 * np.trace(covariance) / channels * np.eye(channels)
    means = np.stack([centered[y == number].mean(0) for number in range(3)])
    assert h_score(x, y) == pytest.approx(np.trace(np.linalg.solve(shrunk, means.T @ means / 3)))


def test_separated_classes_score_higher():
    x = np.random.default_rng(0).normal(size=(90, 4))
    y = np.arange(90) % 3
    assert h_score(x + 4 * np.eye(4)[y], y) > h_score(x + np.eye(4)[y], y) > h_score(x, y)
