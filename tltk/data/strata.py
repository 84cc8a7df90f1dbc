"""Numbers by which a split is made where an example can have several classes or none."""

import numpy as np


def rarest_classes(contents: np.ndarray) -> np.ndarray:
    """Return the rarest class of each example; a split in these proportions represents the other classes too.

    Args:
        contents: Whether an example has a class, bool [n, classes].

    Returns:
        int64 [n]: the rarest class of each example; the number of classes for examples without a class.

    Examples:
        >>> rarest_classes(np.array([[True, True], [True, False], [False, False]])).tolist()
        [1, 0, 2]
    """
    none = np.full((len(contents), 1), len(contents) + 1)
    counts = np.where(contents, contents.sum(0), len(contents) + 2)
    return np.concatenate([counts, none], 1).argmin(1)


def join_small(strata: np.ndarray, *, at_least: int, at_most: int) -> np.ndarray | None:
    """Join strata with too few examples, which scikit-learn refuses to split.

    Args:
        strata: Number of each example, int [n].
        at_least: Smallest number of examples of a stratum.
        at_most: Largest number of strata.

    Returns:
        Strata, int [n]; None if there is only one left.

    Examples:
        >>> join_small(np.array([0, 0, 0, 1, 1, 1, 2, 3]), at_least=2, at_most=3).tolist()
        [0, 0, 0, 1, 1, 1, 2, 2]
    """
    values, index, counts = np.unique(strata, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")  # the commonest first
    is_kept = np.zeros(len(values), bool)
    is_kept[order[:at_most]] = True
    is_kept &= counts >= at_least
    if not is_kept.all() and is_kept.sum() == at_most:
        is_kept[order[at_most - 1]] = False  # room for the joined one
    if not is_kept.all() and 0 < counts[~is_kept].sum() < at_least:
        is_kept[order[is_kept.sum() - 1]] = False  # the joined ones are too few themselves
    joined = np.where(is_kept, np.arange(len(values)), values.size)[index]
    joined = np.unique(joined, return_inverse=True)[1]
    return joined if joined.max(initial=0) > 0 else None
