"""Confident learning against a small example computed by hand from the definitions of the paper."""

import numpy as np
import pytest

from tltk.inspection import confident_learning as cl

# Two classes; the labels of the last rows of each are wrong. Thresholds: t_0 = (.9 + .8 + .7 + .2) / 4 = .65 and
# t_1 = (.9 + .9 + .6 + .0) / 4 = .6.
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1])
PROBABILITIES = np.array(
    [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.2, 0.8], [0.1, 0.9], [0.1, 0.9], [0.4, 0.6], [1.0, 0.0]]
)


def test_thresholds_are_the_mean_confidence_of_each_class_in_itself():
    assert cl.thresholds(PROBABILITIES, LABELS).tolist() == pytest.approx([0.65, 0.6])


def test_the_confident_joint_counts_examples_above_the_threshold_of_a_class():
    assert cl.confident_classes(PROBABILITIES, LABELS).tolist() == [0, 0, 0, 1, 1, 1, 1, 0]
    assert cl.confident_joint(PROBABILITIES, LABELS).tolist() == [[3, 1], [1, 3]]


def test_an_example_below_all_thresholds_is_not_counted():
    probabilities = np.vstack([PROBABILITIES, [[0.55, 0.45]]])
    labels = np.append(LABELS, 1)
    assert cl.confident_classes(probabilities, labels)[-1] == -1
    assert cl.confident_joint(probabilities, labels).sum() == 8
    # Rows are scaled to the number of labels: 5 of class 1, of which a quarter is of class 0.
    assert cl.joint_counts(cl.confident_joint(probabilities, labels), labels).tolist() == [[3, 1], [1.25, 3.75]]


def test_issues_are_the_largest_margins_of_each_pair_of_classes():
    issues = cl.label_issues(PROBABILITIES, LABELS)
    assert issues.rows.tolist() == [7, 3]
    assert issues.suggested.tolist() == [0, 1]
    assert issues.margins.tolist() == pytest.approx([1.0, 0.6])


def test_no_more_than_the_estimated_number_is_reported_and_no_small_margin():
    probabilities = PROBABILITIES.copy()
    probabilities[3] = [0.35, 0.65]  # margin 0.3
    assert cl.label_issues(probabilities, LABELS).rows.tolist() == [7]
    clean = np.eye(2)[LABELS]
    assert len(cl.label_issues(clean, LABELS).rows) == 0


def test_planted_errors_are_found_with_features_that_tell_the_classes_apart():
    generator = np.random.default_rng(0)
    true = np.arange(300) % 3
    features = generator.normal(size=(300, 10)).astype("float32") + 3 * np.eye(10, dtype="float32")[true]
    labels = true.copy()
    wrong = generator.choice(300, 15, replace=False)
    labels[wrong] = (labels[wrong] + 1) % 3
    probabilities = cl.out_of_fold(features, labels, np.arange(300), seed=0)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    issues = cl.label_issues(probabilities, labels)
    found = set(issues.rows.tolist()) & set(wrong.tolist())
    assert len(found) >= 10
    assert len(found) >= 0.9 * len(issues.rows)
    assert (issues.suggested == true[issues.rows]).mean() > 0.9


def test_a_copy_does_not_vouch_for_its_copy():
    generator = np.random.default_rng(0)
    labels, features = generator.integers(0, 2, 60), generator.normal(size=(60, 40)).astype("float32")
    labels, features = np.repeat(labels, 5), np.repeat(features, 5, 0)
    groups = np.repeat(np.arange(60), 5)
    own = np.arange(300), labels
    grouped = cl.out_of_fold(features, labels, groups, seed=0)[own].mean()
    apart = cl.out_of_fold(features, labels, np.arange(300), seed=0)[own].mean()
    assert grouped < 0.6 < apart


def test_a_class_that_is_one_group_gets_no_probability_where_it_was_not_seen():
    labels = np.array([0] * 10 + [1] * 10)
    probabilities = cl.out_of_fold(np.eye(20, dtype="float32"), labels, labels, seed=0)
    assert probabilities[labels == 0].argmax(1).tolist() == [1] * 10
