"""Thresholds of labels and factors of classes that are best for a metric, by exact search over the examples."""

import numpy as np

_PASSES = 3  # over all classes; later ones change next to nothing
_SMALLEST = 1e-7


def best_threshold(targets: np.ndarray, scores: np.ndarray, metric: str, *, recall: float = 0.9) -> float:
    """Return the threshold of a label, above which it is predicted.

    Every midpoint between two neighbouring scores is tried. Of equally good ones, the nearest to 0.5 is taken.

    Args:
        targets: bool [n].
        scores: Probabilities, float [n].
        metric: "macro_f1" (the F1 of the label), "balanced_accuracy", "accuracy", or "precision_at_recall".
        recall: Recall that "precision_at_recall" keeps, in (0, 1].

    Returns:
        A number in (0, 1); 0.5 if all targets are equal.

    Examples:
        >>> best_threshold(np.array([False, False, True, True]), np.array([0.1, 0.2, 0.3, 0.9]), "macro_f1")
        0.25
    """
    targets = np.asarray(targets, bool)
    if targets.all() or not targets.any():
        return 0.5
    cuts, hits, predicted = _cuts(targets, np.asarray(scores, np.float64))
    actual, total = targets.sum(), len(targets)
    rejected = (total - actual) - (predicted - hits)  # right negatives
    values = {
        "macro_f1": 2 * hits / (predicted + actual),
        "balanced_accuracy": (hits / actual + rejected / (total - actual)) / 2,
        "accuracy": (hits + rejected) / total,
        "precision_at_recall": np.where(hits / actual >= recall - 1e-9, hits / np.maximum(predicted, 1), -1.0),
    }[metric]
    best = np.flatnonzero(values >= values.max() - 1e-12)
    return float(cuts[best[np.argmin(np.abs(cuts[best] - 0.5))]])


def _cuts(targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all thresholds that differ in effect, with the true positives and the positives of each."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)  # last place of each distinct score
    lower = np.append(ordered[ends[:-1] + 1], max(ordered[-1] - 2 * _SMALLEST, 0.0))
    cuts = np.concatenate([[(1.0 + ordered[0]) / 2], (ordered[ends] + lower) / 2])
    hits = np.concatenate([[0], np.cumsum(targets[order])[ends]])
    return np.clip(cuts, _SMALLEST, 1 - _SMALLEST), hits, np.concatenate([[0], ends + 1])


def label_thresholds(targets: np.ndarray, scores: np.ndarray, metric: str, *, recall: float = 0.9) -> np.ndarray:
    """Return the threshold of each label, float64 [labels].

    Args:
        targets: 0/1 [n, labels].
        scores: Probabilities, float [n, labels].
        metric: See `best_threshold`.
        recall: See `best_threshold`.
    """
    pairs = zip(np.asarray(targets).T > 0.5, np.asarray(scores).T, strict=True)
    return np.array([best_threshold(one, values, metric, recall=recall) for one, values in pairs])


def class_factors(classes: np.ndarray, probabilities: np.ndarray, metric: str, *, recall: float = 0.9) -> np.ndarray:
    """Return a factor of each class: predicting the largest factor · probability is best for a metric.

    Of two classes, this is a threshold of the second one. Of more, one factor after the other is set to its best value,
    starting with equal ones.

    Args:
        classes: True class of each example, int64 [n].
        probabilities: float [n, classes].
        metric: "macro_f1", "balanced_accuracy", "accuracy", or for two classes "precision_at_recall".
        recall: See `best_threshold`.

    Returns:
        float64 [classes], with a mean of 1.

    Examples:
        >>> scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
        >>> factors = class_factors(np.array([0, 0, 1, 1]), scores, "accuracy")
        >>> (factors * scores).argmax(1).tolist()
        [0, 0, 1, 1]
    """
    count = probabilities.shape[1]
    if count == 2:
        threshold = best_threshold(classes == 1, probabilities[:, 1], metric, recall=recall)
        return np.array([2 * threshold, 2 * (1 - threshold)])
    logs = np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST))
    shifts, best = np.zeros(count), _value(classes, logs.argmax(1), count, metric)
    for _ in range(_PASSES):
        before = best
        for number in range(count):
            shift, value = _best_shift(classes, logs + shifts, number, metric)
            if value > best + 1e-12:
                shifts[number] += shift
                best = value
        if best == before:
            break
    factors = np.exp(shifts - shifts.max())
    return factors / factors.mean()


def _best_shift(classes: np.ndarray, scores: np.ndarray, number: int, metric: str) -> tuple[float, float]:
    """Return what to add to the scores of one class so that the metric is best, and the metric."""
    count = scores.shape[1]
    others = scores.copy()
    others[:, number] = -np.inf
    rival = others.argmax(1)
    margins = others[np.arange(len(classes)), rival] - scores[:, number]  # shift above which the class is predicted
    order = np.argsort(margins, kind="stable")
    ordered = margins[order]
    hits = np.bincount(classes[rival == classes], minlength=count)
    predicted = np.bincount(rival, minlength=count)
    to_number = np.zeros((len(classes) + 1, count))
    change = np.zeros_like(to_number)
    rows = np.arange(1, len(classes) + 1)
    to_number[rows, rival[order]] -= 1
    to_number[rows, number] += 1
    change[rows[rival[order] == classes[order]], rival[order][rival[order] == classes[order]]] -= 1
    change[rows[classes[order] == number], number] += 1
    values = _metric(
        hits + np.cumsum(change, 0), predicted + np.cumsum(to_number, 0), np.bincount(classes, minlength=count), metric
    )
    shifts = np.concatenate([[ordered[0] - 1], (ordered + np.append(ordered[1:], ordered[-1] + 1)) / 2])
    values[1:-1] = np.where(np.diff(ordered) > 0, values[1:-1], -1.0)  # equal margins move together
    best = np.flatnonzero(values >= values.max() - 1e-12)
    place = best[np.argmin(np.abs(shifts[best]))]
    return float(shifts[place]), float(values[place])


def _value(classes: np.ndarray, predicted: np.ndarray, count: int, metric: str) -> float:
    hits = np.bincount(classes[predicted == classes], minlength=count)
    sizes = (np.bincount(values, minlength=count) for values in (predicted, classes))
    return float(_metric(hits[None], next(sizes)[None], next(sizes), metric)[0])


def _metric(hits: np.ndarray, predicted: np.ndarray, actual: np.ndarray, metric: str) -> np.ndarray:
    """Return a metric from counts [cases, classes]; classes without examples are left out of the means."""
    present = actual > 0
    if metric == "accuracy":
        return hits.sum(1) / actual.sum()
    if metric == "balanced_accuracy":
        return (hits[:, present] / actual[present]).mean(1)
    return (2 * hits[:, present] / (predicted[:, present] + actual[present])).mean(1)
