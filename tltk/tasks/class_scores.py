"""Evaluators of classification: one class per example (accuracy, F1, calibration), or any number of labels."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn import metrics as sklearn_metrics

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.tasks.decisions import indices_of
from tltk.tasks.records import ReportParts

CALIBRATION_BINS = 15
_MISTAKES = 12  # wrong predictions listed in a report
_TOP_K = (3, 5)


class ClassEvaluator:
    """Computes the metrics of single-label classification.

    It keeps the confusion matrix, the most confident mistakes and 13 bytes per example: loss, confidence and weight
    (float32) and whether the prediction is correct. So the means do not depend on the batches.

    Args:
        names: Class names.
        uses_labels: Whether "label" is what was predicted; False for the most likely class.
    """

    def __init__(self, names: Sequence[str], *, uses_labels: bool = False) -> None:
        self.names = tuple(names)
        self.uses_labels = uses_labels
        self.confusion = np.zeros((len(names), len(names)))
        self.examples = np.zeros(len(names), np.int64)
        self.top_hits = dict.fromkeys((k for k in _TOP_K if k < len(names)), 0.0)
        self.mistakes: list[dict[str, Any]] = []
        self.losses: list[np.ndarray] = []
        self.confidences: list[np.ndarray] = []
        self.correct: list[np.ndarray] = []
        self.weights: list[np.ndarray] = []
        self.is_weighted = False

    def update(
        self,
        targets: Any,
        decoded: Mapping[str, np.ndarray],
        ids: Sequence[str],
        sample_weight: np.ndarray | None = None,
    ) -> None:
        """Add a batch of examples.

        Args:
            targets: int [n] or [n, 1], or one-hot [n, classes].
            decoded: "probabilities", float32 [n, classes], and "label" with `uses_labels`.
            ids: Id of each example.
            sample_weight: Weight of each example, float32 [n]; None if all count the same.
        """
        probabilities = decoded["probabilities"]
        true, predicted = class_indices(targets, len(self.names)), probabilities.argmax(-1)
        if self.uses_labels:
            predicted = indices_of(decoded["label"], self.names)
        self.is_weighted = self.is_weighted or sample_weight is not None
        weights = weights_or_ones(sample_weight, len(true))
        self.weights.append(weights)
        np.add.at(self.confusion, (true, predicted), weights)
        self.examples += np.bincount(true, minlength=len(self.names))
        true_probabilities = probabilities[np.arange(len(true)), true]
        self.losses.append(-np.log(np.clip(true_probabilities, np.finfo("float32").eps, 1)))
        self.confidences.append(probabilities[np.arange(len(true)), predicted])
        self.correct.append(true == predicted)
        if self.top_hits:
            order = np.argsort(-probabilities, -1)
            for k in self.top_hits:
                self.top_hits[k] += float(weights[(order[:, :k] == true[:, None]).any(-1)].sum(dtype=np.float64))
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
        total = actual.sum()
        weights = np.concatenate(self.weights) if self.is_weighted else None
        bins = calibration_bins(np.concatenate(self.confidences), np.concatenate(self.correct), weights)
        # Not defined if a class has no example: a mean over the others would hide that.
        balanced = {"balanced_accuracy": recall.mean(), "macro_f1": f1.mean()} if (actual > 0).all() else {}
        metrics = {
            "accuracy": hits.sum() / total,
            **balanced,
            "log_loss": weighted_mean(np.concatenate(self.losses), weights),
            "calibration_error": calibration_error(bins),
            **{f"top{k}_accuracy": weight / total for k, weight in self.top_hits.items()},
        }
        rows = tuple(class_rows(self.names, precision, recall, f1, self.examples))
        confusion = self.confusion if self.is_weighted else self.confusion.astype(np.int64)
        return ReportParts(
            as_floats(metrics),
            rows,
            confusion=confusion,
            calibration=bins,
            mistakes=tuple(self.mistakes),
            notes=absent(self.names, actual, "balanced_accuracy and macro_f1 are not defined"),
        )


class MultilabelEvaluator:
    """Computes the metrics of multilabel classification.

    It keeps every score (float32 [n, labels]) and target (bool [n, labels]): areas under curves need them all.

    Args:
        names: Label names.
        threshold: Probability above which a label counts, or that of each label, float [labels].
    """

    def __init__(self, names: Sequence[str], threshold: float | np.ndarray) -> None:
        self.names, self.threshold = tuple(names), threshold
        self.hits, self.predicted, self.actual = np.zeros((3, len(names)))
        self.total = self.exact = self.correct = 0.0
        self.true: list[np.ndarray] = []
        self.scores: list[np.ndarray] = []
        self.weights: list[np.ndarray] = []

    def update(
        self,
        targets: Any,
        decoded: Mapping[str, np.ndarray],
        ids: Sequence[str],
        sample_weight: np.ndarray | None = None,
    ) -> None:
        """Add a batch of examples.

        Args:
            targets: 0/1 [n, labels].
            decoded: "probabilities", float32 [n, labels].
            ids: Id of each example.
            sample_weight: Weight of each example, float32 [n]; None if all count the same.
        """
        scores = decoded["probabilities"]
        true = np.asarray(targets).reshape(scores.shape) > 0.5
        predicted = scores > self.threshold
        weights = weights_or_ones(sample_weight, len(true)).astype(np.float64)
        self.hits += weights @ (true & predicted)
        self.predicted += weights @ predicted
        self.actual += weights @ true
        self.total += weights.sum()
        self.exact += weights @ (true == predicted).all(-1)
        self.correct += weights @ (true == predicted).sum(-1)
        self.true.append(true)
        self.scores.append(scores)
        self.weights.append(weights)

    def result(self) -> ReportParts:
        """Return exact match, binary accuracy, F1, mean average precision and area under the ROC curve."""
        true, scores = np.concatenate(self.true), np.concatenate(self.scores)
        weights, examples = np.concatenate(self.weights), true.sum(0)
        precision, recall, f1 = rates(self.hits, self.predicted, self.actual)
        occurring = examples > 0
        averages = [
            sklearn_metrics.average_precision_score(true[:, label], scores[:, label], sample_weight=weights)
            for label in np.flatnonzero(occurring)
        ]
        metrics = {
            "exact_match": self.exact / self.total,
            "binary_accuracy": self.correct / (self.total * len(self.names)),
            "macro_f1": f1[occurring].mean() if occurring.any() else 0.0,
            "micro_f1": rates(self.hits.sum(), self.predicted.sum(), self.actual.sum())[2],
            "mean_average_precision": np.mean(averages) if averages else 0.0,
        }
        mixed = occurring & (examples < len(true))  # the area is undefined for a label with only one value
        if mixed.any():
            metrics["macro_auc"] = sklearn_metrics.roc_auc_score(
                true[:, mixed], scores[:, mixed], average="macro", sample_weight=weights
            )
        notes = absent(self.names, self.actual, "the means over labels are those of the other labels")
        return ReportParts(
            as_floats(metrics), tuple(class_rows(self.names, precision, recall, f1, examples)), notes=notes
        )


def absent(names: Sequence[str], examples: np.ndarray, consequence: str) -> tuple[str, ...]:
    """Return a note that names the classes without examples and what follows from it; none if all have examples.

    Args:
        names: Class names.
        examples: Number or weight of the examples of each class, [classes].
        consequence: What it means for the metrics.
    """
    missing = [repr(name) for name, count in zip(names, examples, strict=True) if not count]
    return (f"no example of {check.listing(missing)}: {consequence}",) if missing else ()


def wilson_interval(hits: float, count: int) -> tuple[float, float]:
    """Return the interval that contains an accuracy with a probability of 95 % (Wilson 1927).

    Args:
        hits: Number of correct answers.
        count: Number of answers, above 0.

    Examples:
        >>> [round(bound, 3) for bound in wilson_interval(30, 32)]
        [0.799, 0.983]
    """
    z = 1.959964  # of the normal distribution
    rate, spread = hits / count, z * z / count
    middle = rate + spread / 2
    half = z * ((rate * (1 - rate) + spread / 4) / count) ** 0.5
    return max((middle - half) / (1 + spread), 0.0), min((middle + half) / (1 + spread), 1.0)


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
    """Compute precision, recall and F1 from counts or sums of weights; 0 instead of dividing by 0.

    Args:
        hits: Number of true positives, per class or in total.
        predicted: Number of predicted positives.
        actual: Number of positives among the targets.

    Examples:
        >>> [float(rate) for rate in rates(1, 2, 1)]
        [0.5, 1.0, 0.6666666666666666]
    """
    hits, predicted, actual = (np.asarray(counts, np.float64) for counts in (hits, predicted, actual))
    return tuple(
        numerator / np.where(denominator > 0, denominator, 1)
        for numerator, denominator in ((hits, predicted), (hits, actual), (2 * hits, predicted + actual))
    )


def weights_or_ones(sample_weight: np.ndarray | None, count: int) -> np.ndarray:
    """Return the weights of a batch, float32 [count]: ones if the examples are not weighted."""
    return np.ones(count, np.float32) if sample_weight is None else np.asarray(sample_weight, np.float32)


def weighted_mean(values: np.ndarray, weights: np.ndarray | None) -> float:
    """Return the mean of values [n], weighted by weights [n] unless they are None."""
    return float(values.mean() if weights is None else np.average(values, weights=weights.astype(np.float64)))


def class_rows(
    names: Sequence[str], precision: np.ndarray, recall: np.ndarray, f1: np.ndarray, examples: np.ndarray
) -> Iterator[dict[str, Any]]:
    """Yield the row of each class in a report; the rates of a class without examples are not defined, and None."""
    for row, name in enumerate(names):
        metrics = {"precision": precision[row], "recall": recall[row], "f1": f1[row]}
        values = as_floats(metrics) if examples[row] else dict.fromkeys(metrics)
        yield {"name": name, **values, "examples": int(examples[row])}


def calibration_bins(
    confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray | None = None
) -> tuple[tuple[float, float, float], ...]:
    """Group predictions into 15 bins of equal width by confidence.

    Args:
        confidence: float [n], the highest probability of each example.
        correct: bool [n].
        weights: Weight of each example, float [n]; None if all count the same.

    Returns:
        (mean confidence, accuracy, number of examples or sum of weights) of each bin that is not empty.
    """
    index = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    bins = []
    for mask in (index == number for number in range(CALIBRATION_BINS)):
        if mask.any():
            selected = None if weights is None else weights[mask]
            size = int(mask.sum()) if selected is None else float(selected.sum(dtype=np.float64))
            bins.append((weighted_mean(confidence[mask], selected), weighted_mean(correct[mask], selected), size))
    return tuple(bins)


def calibration_error(bins: tuple[tuple[float, float, float], ...]) -> float:
    """Compute the expected calibration error, the mean of |accuracy - confidence| (Guo et al. 2017, equation 3)."""
    total = sum(count for _, _, count in bins)
    return sum(abs(accuracy - confidence) * count for confidence, accuracy, count in bins) / (total or 1)


def as_floats(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Convert NumPy scalars to Python floats."""
    return {name: float(value) for name, value in metrics.items()}
