"""Intervals of accuracies and of their differences, by the Bayesian bootstrap over examples."""

from typing import NamedTuple

import numpy as np

LEVEL = 0.8
_DRAWS = 2000


class Interval(NamedTuple):
    """An estimate with its 80 % interval.

    Attributes:
        value: The estimate.
        low: Lower end.
        high: Upper end.
    """

    value: float
    low: float
    high: float


def bootstrap(
    scores: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    extra_spread: float = 0.0,
    bounds: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
) -> Interval:
    """Return the mean of scores with its 80 % interval, by random weights of the examples (Rubin 1981).

    Half an example with the lowest and half with the highest score take part, so that ten right answers of ten do not
    look certain: for scores of 0 and 1 this is the interval of Jeffreys.

    Args:
        scores: Score of each example, such as 1 if it is right, float [n].
        groups: int [n]; examples of a group have one weight, such as the windows of one recording. None: each example
            is a group.
        extra_spread: Standard deviation of what the scores do not show, such as the choice of training examples.
        bounds: Lowest and highest possible score.
        seed: Seed of the weights.

    Examples:
        >>> interval = bootstrap(np.repeat([0.0, 1.0], [20, 80]))
        >>> bool(interval.low < 0.8 < interval.high)
        True
    """
    numbers = np.arange(len(scores)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sums, sizes = np.bincount(numbers, weights=scores), np.bincount(numbers)
    generator = np.random.default_rng(seed)
    weights = generator.exponential(size=(_DRAWS, len(sizes)))
    added = generator.gamma(0.5, size=(_DRAWS, 2))
    means = (weights @ sums + added @ np.array(bounds)) / (weights @ sizes + added.sum(1))
    means = np.clip(means + generator.normal(0, extra_spread, _DRAWS), *bounds)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = float(np.mean(scores))
    return Interval(value, min(float(low), value), max(float(high), value))


def difference(
    scores: np.ndarray, others: np.ndarray, *, groups: np.ndarray | None = None, spread: float = 0.0, seed: int = 0
) -> Interval:
    """Return the mean difference of two scores of the same examples, with its 80 % interval.

    Args:
        scores: float [n], in [0, 1].
        others: The same of another method.
        groups: See `bootstrap`.
        spread: Spread by the choice of training examples, over that by the choice of examples.
        seed: Seed of the weights.

    Examples:
        >>> difference(np.ones(50), np.repeat([0.0, 1.0], 25)).value
        0.5
    """
    gaps = np.asarray(scores, np.float64) - others
    extra_spread = spread * float(gaps.std()) / max(len(gaps), 1) ** 0.5
    return bootstrap(gaps, groups=groups, extra_spread=extra_spread, bounds=(-1.0, 1.0), seed=seed)
