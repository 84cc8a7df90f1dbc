"""Folds of a cross-validation, and the numbers by which they are balanced."""

import numpy as np

FOLDS = 5


def strata_of(targets: np.ndarray, kind: str) -> np.ndarray:
    """Return the number of each example by which folds are balanced, int64 [n].

    Args:
        targets: float [n, outputs], see `tltk.probes.fit.fit_probe`.
        kind: "categorical": the class; "multilabel": the rarest label; "regression": the rank of the first number.
    """
    if kind == "categorical":
        return targets.argmax(1)
    if kind == "multilabel":
        counts = np.where(targets > 0.5, targets.sum(0), len(targets) + 1)
        return np.where((targets > 0.5).any(1), counts.argmin(1), targets.shape[1])
    return np.argsort(np.argsort(targets[:, 0], kind="stable"), kind="stable")


def stratified_folds(
    strata: np.ndarray, *, folds: int = FOLDS, groups: np.ndarray | None = None, seed: int = 0
) -> np.ndarray:
    """Assign examples to folds: whole groups, and every stratum to all folds as far as possible.

    Args:
        strata: int [n], such as the class of each example.
        folds: Number of folds; fewer groups than that give as many folds as groups.
        groups: int [n]; examples with equal values are in one fold, such as the windows of one text. None: each example
            is a group.
        seed: Seed of the assignment.

    Returns:
        Fold of each example, int64 [n].

    Examples:
        >>> np.bincount(stratified_folds(np.array([0, 0, 1, 1]), folds=2)).tolist()
        [2, 2]
    """
    groups = np.arange(len(strata)) if groups is None else groups
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(first))
    by_stratum = shuffled[np.argsort(strata[first[shuffled]], kind="stable")]
    fold_of_group = np.empty(len(first), np.int64)
    fold_of_group[by_stratum] = np.arange(len(first)) % max(min(folds, len(first)), 1)
    return fold_of_group[inverse]
