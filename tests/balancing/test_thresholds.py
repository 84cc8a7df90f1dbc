"""Thresholds and factors are the best ones: compared with all thresholds and with scikit-learn's metrics."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, precision_score, recall_score

from tltk.balancing.thresholds import best_threshold, class_factors, label_thresholds

GENERATOR = np.random.default_rng(0)
TARGETS = GENERATOR.random(80) < 0.2
SCORES = np.round(20 * np.clip(0.2 + 0.25 * TARGETS + 0.2 * GENERATOR.normal(size=80), 0.05, 0.95)) / 20  # with ties
METRICS = {"macro_f1": f1_score, "balanced_accuracy": balanced_accuracy_score, "accuracy": accuracy_score}


@pytest.mark.parametrize("metric", METRICS)
def test_no_other_threshold_is_better(metric):
    best = max(METRICS[metric](TARGETS, threshold < SCORES) for threshold in np.arange(0.025, 1, 0.05))
    assert METRICS[metric](TARGETS, best_threshold(TARGETS, SCORES, metric) < SCORES) == pytest.approx(best)


def test_the_precision_is_the_best_one_that_keeps_the_recall():
    chosen = best_threshold(TARGETS, SCORES, "precision_at_recall", recall=0.8) < SCORES
    assert recall_score(TARGETS, chosen) >= 0.8
    others = [threshold < SCORES for threshold in np.arange(0.025, 1, 0.05)]
    allowed = [precision_score(TARGETS, other) for other in others if recall_score(TARGETS, other) >= 0.8]
    assert precision_score(TARGETS, chosen) == pytest.approx(max(allowed))


def test_a_label_with_one_value_keeps_its_threshold():
    targets = np.stack([TARGETS, np.zeros(80, bool), np.ones(80, bool)], 1)
    limits = label_thresholds(targets, np.stack([SCORES] * 3, 1), "macro_f1")
    assert limits[0] == best_threshold(TARGETS, SCORES, "macro_f1")
    assert limits[1:].tolist() == [0.5, 0.5]


def test_factors_of_two_classes_are_a_threshold():
    factors = class_factors(TARGETS.astype(int), np.stack([1 - SCORES, SCORES], 1), "macro_f1")
    threshold = best_threshold(TARGETS, SCORES, "macro_f1")
    np.testing.assert_array_equal((factors * np.stack([1 - SCORES, SCORES], 1)).argmax(1) == 1, threshold < SCORES)
    assert factors.mean() == pytest.approx(1)


@pytest.mark.parametrize("metric", METRICS)
def test_factors_of_more_classes_raise_the_metric(metric):
    classes = GENERATOR.choice(4, 300, p=[0.7, 0.2, 0.07, 0.03])
    logits = 1.5 * np.eye(4)[classes] + np.log([0.7, 0.2, 0.07, 0.03]) + GENERATOR.normal(size=(300, 4))
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    options = {"average": "macro"} if metric == "macro_f1" else {}
    before = METRICS[metric](classes, scores.argmax(1), **options)
    factors = class_factors(classes, scores, metric)
    after = METRICS[metric](classes, (factors * scores).argmax(1), **options)
    assert after > before + (0.05 if metric == "balanced_accuracy" else 0)
    assert factors.mean() == pytest.approx(1)
