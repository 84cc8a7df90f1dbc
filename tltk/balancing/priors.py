"""Frequencies of classes: those of the training examples, and those expected when the model is used."""

from collections.abc import Sequence

import numpy as np

from tltk.foundation import checks as check
from tltk.tasks.decisions import Matrix
from tltk.tasks.uneven import ClassCounts

EVEN = 1.5  # as many times the examples of another class


def training_prior(counts: ClassCounts) -> np.ndarray:
    """Return the frequency of each class in the training examples.

    A class without examples gets the frequency of the smallest class that has some: it must not be favored without
    limit.

    Args:
        counts: Of the training examples.

    Returns:
        float64 [classes], in (0, 1); the sum is 1 if the classes are exclusive and all occur. For several labels, at
        least half an example away from 0 and 1.

    Examples:
        >>> training_prior(ClassCounts(("cat", "dog"), np.array([3.0, 1.0]), 4.0)).tolist()
        [0.75, 0.25]
    """
    present = counts.counts[counts.counts > 0]
    smallest = present.min() if present.size else 1.0
    filled = np.where(counts.counts > 0, counts.counts, smallest)
    if counts.is_exclusive:
        return filled / max(counts.total, smallest)
    return np.clip(filled / counts.total, 0.5 / counts.total, 1 - 0.5 / counts.total)


def serving_prior(names: Sequence[str], stated: tuple[tuple[str, float], ...] | None, *, exclusive: bool) -> np.ndarray:
    """Return the frequency of each class that is expected when the model is used.

    Args:
        names: Class names.
        stated: (class, frequency) pairs of the user; None for equal frequencies, and 0.5 for several labels.
        exclusive: Whether an example has exactly one class.

    Returns:
        float64 [classes]; exclusive classes are scaled to a sum of 1.

    Raises:
        InvalidInput: If a class is unknown or missing, or a frequency of several labels is not below 1.

    Examples:
        >>> serving_prior(("cat", "dog"), (("dog", 3.0), ("cat", 1.0)), exclusive=True).tolist()
        [0.25, 0.75]
    """
    if stated is None:
        return np.full(len(names), 1 / len(names) if exclusive else 0.5)
    frequencies = dict(stated)
    problems = check.Problems()
    for name in frequencies:
        if name not in names:
            hint = check.did_you_mean(name, names)
            problems.add(f"`prior` names the class {name!r}. Classes: {check.listing(names, limit=20)}.{hint}")
    missing = [name for name in names if name not in frequencies]
    if missing:
        problems.add(f"`prior` lacks the classes {check.listing(map(repr, missing))}")
    above = [name for name, value in frequencies.items() if value >= 1]
    if not exclusive and above:
        problems.add(f"`prior` of several labels must be below 1. Received: {check.listing(map(repr, above))}")
    problems.raise_if_any()
    prior = np.array([frequencies[name] for name in names])
    return prior / prior.sum() if exclusive else prior


def logit_shift(train: np.ndarray, serving: np.ndarray, *, tau: float, exclusive: bool) -> np.ndarray:
    """Return what a logit-adjusted loss adds to the logits; after the fact it is subtracted (Menon et al. 2021).

    Args:
        train: Frequencies in training, float [classes].
        serving: Frequencies when the model is used, float [classes].
        tau: Strength; 1 is the right one for probabilities.
        exclusive: Whether an example has exactly one class; for several labels, log-odds replace logarithms.

    Returns:
        float64 [classes]: tau · (log train − log serving).

    Examples:
        >>> logit_shift(np.array([0.8, 0.2]), np.array([0.5, 0.5]), tau=1.0, exclusive=True).round(3).tolist()
        [0.47, -0.916]
    """
    if exclusive:
        return tau * (np.log(train) - np.log(serving))
    return tau * ((np.log(train) - np.log1p(-train)) - (np.log(serving) - np.log1p(-serving)))


def ratio(counts: ClassCounts) -> float:
    """Return how many times as many examples the largest class has as the smallest; for labels, positives and rest.

    Examples:
        >>> ratio(ClassCounts(("cat", "dog"), np.array([30.0, 10.0]), 40.0))
        3.0
    """
    sizes = counts.counts
    if not counts.is_exclusive:
        sizes = np.concatenate([sizes, counts.total - sizes])
    sizes = sizes[sizes > 0]
    return float(sizes.max() / sizes.min()) if sizes.size else 1.0


def cost_matrix(names: Sequence[str], costs: tuple[tuple[str, str, float], ...]) -> Matrix:
    """Return the cost of each prediction, by true and predicted class: 0 if it is right, 1 unless it is stated.

    Args:
        names: Class names.
        costs: (true class, predicted class, cost).

    Raises:
        InvalidInput: If a class is unknown, or a right answer has a cost.

    Examples:
        >>> cost_matrix(("cat", "dog"), (("dog", "cat", 10.0),))
        ((0.0, 1.0), (10.0, 0.0))
    """
    matrix = 1.0 - np.eye(len(names))
    problems = check.Problems()
    for true, predicted, cost in costs:
        unknown = [name for name in (true, predicted) if name not in names]
        for name in unknown:
            hint = check.did_you_mean(name, names)
            problems.add(f"`costs` names the class {name!r}. Classes: {check.listing(names, limit=20)}.{hint}")
        if true == predicted and cost:
            problems.add(f"`costs`: a right answer costs nothing. Received: {(true, predicted)!r}: {cost:g}")
        elif not unknown:
            matrix[names.index(true), names.index(predicted)] = cost
    problems.raise_if_any()
    return tuple(map(tuple, matrix.tolist()))
