"""Evaluators of classification: one class per example (accuracy, F1, calibration), or any number of labels."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn import metrics as sklearn_metrics

from tltk.foundation.errors import InvalidInput
from tltk.tasks.base import ReportParts

CALIBRATION_BINS = 15
_MISTAKES = 12  # wrong predictions listed in a report
_TOP_K = (3, 5)


class ClassEvaluator:
    """Computes the metrics of single-label classification.

    It keeps the confusion matrix, the most confident mistakes and nine bytes per example: loss and confidence (float32)
    and whether the prediction is correct. So the means do not depend on the batches.

    Args:
        names: Class names.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.confusion = np.zeros((len(names), len(names)), np.int64)
        self.top_hits = dict.fromkeys((k for k in _TOP_K if k < len(names)), 0)
        self.mistakes: list[dict[str, Any]] = []
        self.losses: list[np.ndarray] = []
        self.confidences: list[np.ndarray] = []
        self.correct: list[np.ndarray] = []

    def update(self, targets: Any, decoded: Mapping[str, np.ndarray], ids: Sequence[str]) -> None:
        """Add a batch of examples.

        Args:
            targets: int [n] or [n, 1], or one-hot [n, classes].
            decoded: "probabilities", float32 [n, classes].
            ids: Id of each example.
        """
        probabilities = decoded["probabilities"]
        true, predicted = class_indices(targets, len(self.names)), probabilities.argmax(-1)
        np.add.at(self.confusion, (true, predicted), 1)
        true_probabilities = probabilities[np.arange(len(true)), true]
        self.losses.append(-np.log(np.clip(true_probabilities, np.finfo("float32").eps, 1)))
        self.confidences.append(probabilities.max(-1))
        self.correct.append(true == predicted)
        if self.top_hits:
            order = np.argsort(-probabilities, -1)
            for k in self.top_hits:
                self.top_hits[k] += int((order[:, :k] == true[:, None]).any(-1).sum())
        wrong = np.flatnonzero(true != predicted)
        wrong = wrong[np.argsort(-self.confidences[-1][wrong], kind="stable")[:_MISTAKES]]
        rows = [self._mistake(ids[int(row)], true[row], predicted[row], self.confidences[-1][row]) for row in wrong]
        self.mistakes = sorted([*self.mistakes, *rows], key=lambda row: -row["probability"])[:_MISTAKES]

    def _mistake(self, example_id: str, true: int, predicted: int, probability: float) -> dict[str, Any]:
        names = {"true": self.names[true], "predicted": self.names[predicted]}
        return {"example_id": example_id, **names, "probability": float(probability)}

    def result(self) -> ReportParts:
        """Return accuracy, balanced accuracy, F1, log loss, calibration error and top-k accuracy."""
        hits, predicted, actual = np.diag(self.confusion), self.confusion.sum(0), self.confusion.sum(1)
        precision, recall, f1 = rates(hits, predicted, actual)
        count = int(actual.sum())
        bins = calibration_bins(np.concatenate(self.confidences), np.concatenate(self.correct))
        metrics = {
            "accuracy": hits.sum() / count,
            "balanced_accuracy": recall[actual > 0].mean(),
            "macro_f1": f1[actual > 0].mean(),
            "log_loss": np.concatenate(self.losses).mean(),
            "calibration_error": calibration_error(bins),
            **{f"top{k}_accuracy": total / count for k, total in self.top_hits.items()},
        }
        rows = tuple(class_rows(self.names, precision, recall, f1, actual))
        return ReportParts(
            as_floats(metrics), rows, confusion=self.confusion, calibration=bins, mistakes=tuple(self.mistakes)
        )


class MultilabelEvaluator:
    """Computes the metrics of multilabel classification.

    It keeps every score (float32 [n, labels]) and target (bool [n, labels]): areas under curves need them all.

    Args:
        names: Label names.
        threshold: Probability above which a label counts.
    """

    def __init__(self, names: Sequence[str], threshold: float) -> None:
        self.names, self.threshold = tuple(names), threshold
        self.hits, self.predicted, self.actual = np.zeros((3, len(names)), np.int64)
        self.count = self.exact = self.correct = 0
        self.true: list[np.ndarray] = []
        self.scores: list[np.ndarray] = []

    def update(self, targets: Any, decoded: Mapping[str, np.ndarray], ids: Sequence[str]) -> None:
        """Add a batch of examples.

        Args:
            targets: 0/1 [n, labels].
            decoded: "probabilities", float32 [n, labels].
            ids: Id of each example.
        """
        scores = decoded["probabilities"]
        true = np.asarray(targets).reshape(scores.shape) > 0.5
        predicted = scores > self.threshold
        self.hits += (true & predicted).sum(0)
        self.predicted += predicted.sum(0)
        self.actual += true.sum(0)
        self.count += len(true)
        self.exact += int((true == predicted).all(-1).sum())
        self.correct += int((true == predicted).sum())
        self.true.append(true)
        self.scores.append(scores)

    def result(self) -> ReportParts:
        """Return exact match, binary accuracy, F1, mean average precision and area under the ROC curve."""
        true, scores = np.concatenate(self.true), np.concatenate(self.scores)
        precision, recall, f1 = rates(self.hits, self.predicted, self.actual)
        occurring = self.actual > 0
        averages = [
            sklearn_metrics.average_precision_score(true[:, label], scores[:, label])
            for label in np.flatnonzero(occurring)
        ]
        metrics = {
            "exact_match": self.exact / self.count,
            "binary_accuracy": self.correct / true.size,
            "macro_f1": f1[occurring].mean() if occurring.any() else 0.0,
            "micro_f1": rates(self.hits.sum(), self.predicted.sum(), self.actual.sum())[2],
            "mean_average_precision": np.mean(averages) if averages else 0.0,
        }
        mixed = occurring & (self.actual < self.count)  # the area is undefined for a label with only one value
        if mixed.any():
            metrics["macro_auc"] = sklearn_metrics.roc_auc_score(true[:, mixed], scores[:, mixed], average="macro")
        return ReportParts(as_floats(metrics), tuple(class_rows(self.names, precision, recall, f1, self.actual)))


def class_indices(targets: Any, classes: int) -> np.ndarray:
    """Return the class of each example.

    Args:
        targets: int [n] or [n, 1], or one-hot or blended [n, classes].
        classes: Number of classes.

    Returns:
        int64 [n].

    Raises:
        InvalidInput: If a target is not in [0, classes).

    Examples:
        >>> class_indices([[0.0, 1.0], [1.0, 0.0]], 2).tolist()
        [1, 0]
    """
    values = np.asarray(targets)
    if values.ndim == 2 and values.shape[-1] == classes and classes > 1:
        return values.argmax(-1)
    indices = values.reshape(-1).astype(np.int64)
    invalid = indices[(indices < 0) | (indices >= classes)]
    if invalid.size:
        raise InvalidInput(f"targets must be classes from 0 to {classes - 1}. Received: {invalid[0]}")
    return indices


def rates(hits: Any, predicted: Any, actual: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute precision, recall and F1 from counts; 0 instead of dividing by 0.

    Args:
        hits: Number of true positives, per class or in total.
        predicted: Number of predicted positives.
        actual: Number of positives among the targets.

    Examples:
        >>> [float(rate) for rate in rates(1, 2, 1)]
        [0.5, 1.0, 0.6666666666666666]
    """
    hits, predicted, actual = (np.asarray(counts, np.float64) for counts in (hits, predicted, actual))
    return (
        hits / np.maximum(predicted, 1),
        hits / np.maximum(actual, 1),
        2 * hits / np.maximum(predicted + actual, 1),
    )


def class_rows(
    names: Sequence[str], precision: np.ndarray, recall: np.ndarray, f1: np.ndarray, examples: np.ndarray
) -> Iterator[dict[str, Any]]:
    """Yield the row of each class in a report."""
    for row, name in enumerate(names):
        metrics = {"precision": precision[row], "recall": recall[row], "f1": f1[row]}
        yield {"name": name, **as_floats(metrics), "examples": int(examples[row])}


def calibration_bins(confidence: np.ndarray, correct: np.ndarray) -> tuple[tuple[float, float, int], ...]:
    """Group predictions into 15 bins of equal width by confidence.

    Args:
        confidence: float [n], the highest probability of each example.
        correct: bool [n].

    Returns:
        (mean confidence, accuracy, number of examples) of each bin that is not empty.
    """
    index = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    masks = [index == number for number in range(CALIBRATION_BINS)]
    return tuple(
        (float(confidence[mask].mean()), float(correct[mask].mean()), int(mask.sum())) for mask in masks if mask.any()
    )


def calibration_error(bins: tuple[tuple[float, float, int], ...]) -> float:
    """Compute the expected calibration error, the mean of |accuracy - confidence| (Guo et al. 2017, equation 3)."""
    total = sum(count for _, _, count in bins)
    return sum(abs(accuracy - confidence) * count for confidence, accuracy, count in bins) / max(total, 1)


def as_floats(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Convert NumPy scalars to Python floats."""
    return {name: float(value) for name, value in metrics.items()}
