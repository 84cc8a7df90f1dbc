"""Evaluators of classification report the same values as scikit-learn, whatever the batches."""

import numpy as np
import pytest
from sklearn import metrics as sk

from tltk.tasks.class_scores import (
    ClassEvaluator,
    MultilabelEvaluator,
    calibration_bins,
    calibration_error,
    class_indices,
    rates,
    wilson_interval,
)

NAMES = tuple("abcdefg")


def measured(evaluator, targets, probabilities, size, weights=None):
    for start in range(0, len(targets), size):
        rows = range(start, min(start + size, len(targets)))
        options = {} if weights is None else {"sample_weight": weights[rows]}
        ids = [f"example {row}" for row in rows]
        evaluator.update(targets[rows], {"probabilities": probabilities[rows]}, ids, **options)
    return evaluator.result()


def classes(count=300):
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(len(NAMES)), count).astype("float32")
    true = np.where(generator.random(count) < 0.4, probabilities.argmax(-1), generator.integers(0, 6, count))
    return true.astype("int32"), probabilities  # no example of the last class


def test_single_label_metrics_equal_those_of_scikit_learn():
    true, probabilities = classes()
    parts = measured(ClassEvaluator(NAMES), true, probabilities, 32)
    predicted, labels = probabilities.argmax(-1), range(len(NAMES))
    precision, recall, f1, support = sk.precision_recall_fscore_support(true, predicted, labels=labels, zero_division=0)
    expected = {
        "accuracy": sk.accuracy_score(true, predicted),
        "balanced_accuracy": recall.mean(),
        "macro_f1": f1.mean(),
        "top3_accuracy": sk.top_k_accuracy_score(true, probabilities, k=3, labels=labels),
        "top5_accuracy": sk.top_k_accuracy_score(true, probabilities, k=5, labels=labels),
    }
    assert {name: parts.metrics[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert parts.metrics["log_loss"] == pytest.approx(sk.log_loss(true, probabilities, labels=labels), rel=1e-4)
    np.testing.assert_array_equal(parts.confusion, sk.confusion_matrix(true, predicted, labels=labels))
    for row, *expected_row in zip(parts.classes, precision, recall, f1, support, strict=True):
        assert list(row.values())[1:] == pytest.approx(expected_row, abs=1e-12)


def test_metrics_do_not_depend_on_the_batches():
    true, probabilities = classes()
    single_batch, small_batches = (measured(ClassEvaluator(NAMES), true, probabilities, size) for size in (300, 7))
    assert single_batch.metrics == small_batches.metrics
    assert single_batch.mistakes == small_batches.mistakes
    assert single_batch.calibration == small_batches.calibration


def test_the_most_confident_mistakes_come_first():
    true, probabilities = classes()
    mistakes = measured(ClassEvaluator(NAMES), true, probabilities, 50).mistakes
    wrong = np.flatnonzero(true != probabilities.argmax(-1))
    expected = sorted(wrong, key=lambda row: -probabilities[row].max())[:12]
    assert [row["example_id"] for row in mistakes] == [f"example {row}" for row in expected]
    assert mistakes[0]["true"] == NAMES[true[expected[0]]]


def test_the_calibration_error_equals_a_value_computed_by_hand():
    # bin of 0.9: 3 examples, 2 correct; bin of 0.55: 1 example, wrong
    bins = calibration_bins(np.array([0.9, 0.9, 0.9, 0.55]), np.array([True, True, False, False]))
    assert calibration_error(bins) == pytest.approx((3 * abs(2 / 3 - 0.9) + 1 * abs(0 - 0.55)) / 4)
    assert calibration_error(calibration_bins(np.array([1.0]), np.array([True]))) == 0


def test_multilabel_metrics_equal_those_of_scikit_learn():
    generator = np.random.default_rng(1)
    scores = generator.random((200, 5)).astype("float32")
    true = (generator.random((200, 5)) < [0.5, 0.1, 0.3, 0.0, 1.0]).astype("float32")
    parts = measured(MultilabelEvaluator(NAMES[:5], 0.4), true, scores, 64)
    actual, predicted = true > 0.5, scores > 0.4
    precision, recall, f1, support = sk.precision_recall_fscore_support(actual, predicted, zero_division=0)
    expected = {
        "exact_match": sk.accuracy_score(actual, predicted),
        "binary_accuracy": (actual == predicted).mean(),
        "macro_f1": f1[support > 0].mean(),
        "micro_f1": sk.f1_score(actual, predicted, average="micro"),
        "mean_average_precision": np.mean(
            [sk.average_precision_score(actual[:, label], scores[:, label]) for label in (0, 1, 2, 4)]
        ),
        "macro_auc": sk.roc_auc_score(actual[:, :3], scores[:, :3], average="macro"),
    }
    assert parts.metrics == pytest.approx(expected, abs=1e-12)
    for row, *expected_row in zip(parts.classes, precision, recall, f1, support, strict=True):
        values = expected_row if expected_row[-1] else [None, None, None, 0]  # not defined without examples
        assert list(row.values())[1:] == pytest.approx(values, abs=1e-12)


def test_labels_that_never_occur_score_zero():
    parts = measured(MultilabelEvaluator(("a", "b"), 0.5), np.zeros((3, 2)), np.zeros((3, 2), "float32"), 3)
    assert parts.metrics["macro_f1"] == parts.metrics["mean_average_precision"] == 0
    assert "macro_auc" not in parts.metrics


def test_targets_may_be_indices_a_column_of_indices_or_one_hot():
    for targets in ([1, 0], [[1], [0]], [[0.2, 0.8], [1.0, 0.0]]):
        assert class_indices(targets, 2).tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"targets must be classes from 0 to 1\. Received: 7"):
        class_indices([0, 7], 2)


def test_rates_without_any_count_are_zero():
    assert [float(rate) for rate in rates(0, 0, 0)] == [0.0, 0.0, 0.0]


def test_weighted_single_label_metrics_equal_those_of_scikit_learn():
    true, probabilities = classes()
    weights = np.random.default_rng(1).uniform(0.01, 0.3, len(true)).astype("float32")  # some classes weigh less than 1
    parts = measured(ClassEvaluator(NAMES), true, probabilities, 32, weights)
    predicted, labels, options = probabilities.argmax(-1), range(len(NAMES)), {"sample_weight": weights}
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        true, predicted, labels=labels, zero_division=0, **options
    )
    expected = {
        "accuracy": sk.accuracy_score(true, predicted, **options),
        "balanced_accuracy": sk.balanced_accuracy_score(true, predicted, **options),
        "macro_f1": f1[support > 0].mean(),
        "top3_accuracy": sk.top_k_accuracy_score(true, probabilities, k=3, labels=labels, **options),
        "log_loss": sk.log_loss(true, probabilities, labels=labels, **options),
    }
    assert {name: parts.metrics[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    matrix = sk.confusion_matrix(true, predicted, labels=labels, **options)
    np.testing.assert_allclose(parts.confusion, matrix, rtol=1e-5)
    for row, *rates_of_row in zip(parts.classes, precision, recall, f1, np.bincount(true, minlength=7), strict=True):
        assert list(row.values())[1:] == pytest.approx(rates_of_row, rel=1e-5)
    assert sum(size for *_, size in parts.calibration) == pytest.approx(weights.sum(), rel=1e-5)


def test_whole_weights_equal_repeated_examples():
    true, probabilities = classes(60)
    times = np.random.default_rng(1).integers(1, 4, len(true))
    weighted = measured(ClassEvaluator(NAMES), true, probabilities, 7, times.astype("float32"))
    repeated = measured(ClassEvaluator(NAMES), true.repeat(times), probabilities.repeat(times, 0), 50)
    assert weighted.metrics == pytest.approx(repeated.metrics, rel=1e-5)
    np.testing.assert_allclose(weighted.calibration, repeated.calibration, rtol=1e-5)
    np.testing.assert_array_equal(weighted.confusion, repeated.confusion)
    assert repeated.confusion.dtype == np.int64


def test_weighted_multilabel_metrics_equal_those_of_scikit_learn():
    generator = np.random.default_rng(0)
    scores = generator.random((200, 5)).astype("float32")
    true, weights = (generator.random((200, 5)) < scores), generator.uniform(0, 0.02, 200)
    metrics = measured(MultilabelEvaluator(NAMES[:5], 0.4), true, scores, 64, weights).metrics
    predicted, options = scores > 0.4, {"sample_weight": weights}
    expected = {
        "exact_match": sk.accuracy_score(true, predicted, **options),
        "binary_accuracy": 1 - sk.hamming_loss(true, predicted, **options),
        "macro_f1": sk.f1_score(true, predicted, average="macro", **options),
        "micro_f1": sk.f1_score(true, predicted, average="micro", **options),
        "mean_average_precision": sk.average_precision_score(true, scores, average="macro", **options),
        "macro_auc": sk.roc_auc_score(true, scores, average="macro", **options),
    }
    assert metrics == pytest.approx(expected, rel=1e-5)


def test_classes_without_examples_are_named_and_not_averaged_away():
    true, probabilities = classes()
    true[true == len(NAMES) - 1] = 0
    parts = measured(ClassEvaluator(NAMES), true, probabilities, 32)
    assert not {"balanced_accuracy", "macro_f1"} & set(parts.metrics)
    (note,) = parts.notes
    assert note == f"no example of {NAMES[-1]!r}: balanced_accuracy and macro_f1 are not defined"
    targets = np.array([[1, 0], [1, 0]], "float32")
    parts = measured(MultilabelEvaluator(("a", "b"), 0.5), targets, targets, 2)
    assert parts.notes == ("no example of 'b': the means over labels are those of the other labels",)


def test_the_interval_of_wilson():
    # statsmodels.stats.proportion.proportion_confint(30, 32, method="wilson")
    assert wilson_interval(30, 32) == pytest.approx((0.798524, 0.982698), abs=1e-5)
    assert wilson_interval(0, 5) == pytest.approx((0.0, 0.434482), abs=1e-5)
    assert wilson_interval(5, 5) == pytest.approx((0.565518, 1.0), abs=1e-5)


def test_the_rates_of_a_class_without_examples_are_not_defined():
    evaluator = ClassEvaluator(("a", "b", "c"))
    evaluator.update([0, 1], {"probabilities": np.eye(3, dtype="float32")[[0, 2]]}, ["x", "y"])
    *_, absent = evaluator.result().classes
    assert absent == {"name": "c", "precision": None, "recall": None, "f1": None, "examples": 0}
    labels = MultilabelEvaluator(("a", "b"), 0.5)
    labels.update([[1, 0], [1, 0]], {"probabilities": np.ones((2, 2), "float32")}, ["x", "y"])
    assert [row["recall"] for row in labels.result().classes] == [1.0, None]
