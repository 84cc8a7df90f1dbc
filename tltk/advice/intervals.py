"""Intervals of accuracies and of their differences, by the bootstrap over examples."""

from typing import NamedTuple

import numpy as np

_LEVEL = 0.8
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


def bootstrap(scores: np.ndarray, *, extra_spread: float = 0.0, seed: int = 0) -> Interval:
    """Return the mean of scores with its 80 % interval.

    Args:
        scores: Score of each example, such as 1 if it is right, float [n]; or of several draws, [draws, n], whose
            spread is added.
        extra_spread: Standard deviation of what the scores do not show, such as the choice of training examples.
        seed: Seed of the bootstrap.

    Examples:
        >>> interval = bootstrap(np.repeat([0.0, 1.0], [20, 80]))
        >>> bool(interval.low < 0.8 < interval.high)
        True
    """
    by_draw = np.atleast_2d(scores)
    generator = np.random.default_rng(seed)
    examples = by_draw.mean(0)
    counts = generator.multinomial(examples.size, np.full(examples.size, 1 / examples.size), _DRAWS)
    means = counts @ examples / examples.size
    between = float(by_draw.mean(1).std(ddof=1)) if len(by_draw) > 1 else 0.0
    means = means + generator.normal(0, np.hypot(between, extra_spread), _DRAWS)
    low, high = np.quantile(means, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Interval(float(examples.mean()), float(low), float(high))


def difference(scores: np.ndarray, others: np.ndarray, *, seed: int = 0) -> Interval:
    """Return the mean difference of two scores of the same examples, with its 80 % interval.

    Args:
        scores: float [n] or [draws, n].
        others: The same of another method.
        seed: Seed of the bootstrap.
    """
    return bootstrap(np.atleast_2d(scores).mean(0) - np.atleast_2d(others).mean(0), seed=seed)
