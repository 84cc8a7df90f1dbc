"""Nearest neighbours by cosine: a classifier without a parameter but their number."""

import numpy as np

from tltk.probes.folds import stratified_folds

NEIGHBOURS = (1, 3, 5, 10, 20)
_TEMPERATURE = 0.07  # of the weights of neighbours, exp(cosine / temperature), as in Wu et al. 2018
_BLOCK = 1024  # rows compared at once


def unit_length(features: np.ndarray) -> np.ndarray:
    """Scale rows [n, channels] to length 1; zeros stay zeros."""
    features = np.asarray(features, np.float32)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), np.finfo(np.float32).tiny)


def neighbour_scores(features: np.ndarray, targets: np.ndarray, queries: np.ndarray, *, neighbours: int) -> np.ndarray:
    """Average the targets of the nearest examples, weighted by exp(cosine / 0.07).

    Args:
        features: Features of the examples, float32 [n, channels].
        targets: Their targets, float [n, outputs].
        queries: Features to predict for, float32 [m, channels].
        neighbours: Number of neighbours; more than there are examples means all.

    Returns:
        float32 [m, outputs].

    Examples:
        >>> neighbour_scores(np.eye(2), np.eye(2), np.array([[2.0, 0.1]]), neighbours=1).tolist()
        [[1.0, 0.0]]
    """
    features, targets = unit_length(features), np.asarray(targets, np.float32)
    count = min(neighbours, len(features))
    scores = []
    for start in range(0, len(queries), _BLOCK):
        cosines = unit_length(queries[start : start + _BLOCK]) @ features.T
        nearest = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        values = np.take_along_axis(cosines, nearest, axis=1)
        weights = np.exp((values - values.max(1, keepdims=True)) / _TEMPERATURE)
        weights /= weights.sum(1, keepdims=True)
        scores.append(np.einsum("qk,qko->qo", weights, targets[nearest]))
    return np.concatenate(scores) if scores else np.zeros((0, targets.shape[1]), np.float32)


def out_of_fold_scores(features: np.ndarray, targets: np.ndarray, folds: np.ndarray, *, neighbours: int) -> np.ndarray:
    """Predict each example from those of other folds.

    Args:
        features: float32 [n, channels].
        targets: float [n, outputs].
        folds: Fold of each example, int [n], from `stratified_folds`.
        neighbours: Number of neighbours.

    Returns:
        float32 [n, outputs].
    """
    scores = np.zeros(np.shape(targets), np.float32)
    for fold in np.unique(folds):
        test = folds == fold
        scores[test] = neighbour_scores(features[~test], targets[~test], features[test], neighbours=neighbours)
    return scores


def best_neighbours(
    features: np.ndarray,
    classes: np.ndarray,
    *,
    folds: np.ndarray | None = None,
    candidates: tuple[int, ...] = NEIGHBOURS,
) -> tuple[int, np.ndarray]:
    """Choose the number of neighbours by the cross-validated accuracy.

    Args:
        features: float32 [n, channels].
        classes: int64 [n].
        folds: Fold of each example; None assigns them.
        candidates: Numbers to try; of equal ones the smallest is taken.

    Returns:
        The number, and the out-of-fold scores with it, float32 [n, classes].
    """
    folds = stratified_folds(classes) if folds is None else folds
    targets = np.eye(int(classes.max()) + 1, dtype=np.float32)[classes]
    tried = [(number, out_of_fold_scores(features, targets, folds, neighbours=number)) for number in candidates]
    return max(tried, key=lambda candidate: float((candidate[1].argmax(1) == classes).mean()))
