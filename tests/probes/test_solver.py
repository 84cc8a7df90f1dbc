"""Tests of `tltk.probes.solver`."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from tltk.probes.solver import principal_axes, solve

GENERATOR = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(30, 50), (60, 8)], ids=["wide", "tall"])
def test_principal_axes_are_an_exact_rotation(shape):
    features = GENERATOR.normal(size=shape).astype("float32") * np.linspace(0.1, 3, shape[1]) + 5
    axes = principal_axes(features)
    assert axes.coordinates.shape[1] <= min(shape)
    assert np.allclose((features - axes.center) @ axes.directions, axes.coordinates, atol=1e-4)
    standard = (features - features.mean(0)) / features.std(0) / np.sqrt(shape[1])
    assert np.allclose(axes.coordinates @ axes.coordinates.T, standard @ standard.T, atol=1e-4)
    assert axes.variances.sum() == pytest.approx(1, abs=1e-3)


def test_a_constant_channel_is_not_scaled_up():
    features = np.stack([np.linspace(0, 1, 9), np.full(9, 7) + 1e-6 * GENERATOR.normal(size=9)], 1).astype("float32")
    assert abs(principal_axes(features).directions[1]).max() < 1e4


@pytest.mark.parametrize("weighted", [False, True])
def test_the_solution_is_that_of_scikit_learn(weighted):
    features = GENERATOR.normal(size=(80, 6)).astype("float32")
    classes = (features[:, :3] + GENERATOR.normal(size=(80, 3))).argmax(1)
    weight = GENERATOR.uniform(0.5, 2, 80) if weighted else None
    total = 80 if weight is None else weight.sum()
    reference = LogisticRegression(C=1 / (total * 0.01), tol=1e-8, max_iter=2000).fit(features, classes, weight)
    variances = np.square(features).mean(0)
    weights = solve(features, np.eye(3)[classes], kind="categorical", penalty=0.01, variances=variances, weight=weight)
    logits = features @ weights[:-1] + weights[-1]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert np.allclose(probabilities, reference.predict_proba(features), atol=2e-3)


def test_a_regression_is_ridge():
    features = GENERATOR.normal(size=(40, 5)).astype("float32")
    targets = (features @ np.arange(5) + 2)[:, None].astype("float32")
    reference = Ridge(alpha=40 * 0.1).fit(features, targets[:, 0])
    weights = solve(features, targets, kind="regression", penalty=0.1, variances=np.square(features).mean(0))
    assert np.allclose(weights[:-1, 0], reference.coef_, atol=1e-2)
    assert weights[-1, 0] == pytest.approx(reference.intercept_, abs=1e-2)


def test_log_priors_as_offset_make_a_classifier_for_equal_priors():
    features = np.concatenate([GENERATOR.normal(-1, 1, (900, 1)), GENERATOR.normal(1, 1, (100, 1))]).astype("float32")
    classes = np.repeat([0, 1], [900, 100])
    options = {"kind": "categorical", "penalty": 1e-4, "variances": np.square(features).mean(0)}
    weights = solve(features, np.eye(2)[classes], offset=np.log([0.9, 0.1]), **options)
    boundary = -(weights[1, 1] - weights[1, 0]) / (weights[0, 1] - weights[0, 0])
    assert abs(boundary) < 0.25  # without the offset 1.1
