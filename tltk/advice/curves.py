"""Learning curves: the error at other numbers of labels, from a family of power laws with an interval."""

from dataclasses import dataclass

import numpy as np

from tltk.advice.intervals import LEVEL

_EXPONENTS = np.linspace(0.1, 1.5, 29)
_FLOORS = np.linspace(0, 1, 41)  # error with unlimited labels, as a fraction of the smallest measured error
_SAMPLES = 4000


@dataclass(frozen=True)
class Forecast:
    """Expected accuracy with some number of labels.

    Args:
        labels: Number of labelled examples.
        accuracy: Median.
        low: Lower end of the 80 % interval.
        high: Upper end.
    """

    labels: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """Samples of the family of power laws error = floor + scale · labels^-exponent, weighted by how well they fit.

    Args:
        labels: Numbers of labels that were measured, int64 [k].
        errors: Mean error at each, float64 [k].
        spreads: Standard error of each, float64 [k].
        floors: float64 [samples].
        scales: float64 [samples].
        exponents: float64 [samples].
    """

    labels: np.ndarray
    errors: np.ndarray
    spreads: np.ndarray
    floors: np.ndarray
    scales: np.ndarray
    exponents: np.ndarray

    def sampled_errors(self, labels: int) -> np.ndarray:
        """Return the error of each sample at a number of labels, float64 [samples]."""
        return self.floors + self.scales * float(labels) ** -self.exponents

    def forecast(self, labels: int) -> Forecast:
        """Forecast the accuracy at a number of labels.

        The interval holds the curve and, as the spread of the largest measured size, the luck of one draw.
        """
        luck = np.random.default_rng(1).normal(0, self.spreads[-1], len(self.floors))
        accuracies = 1 - np.clip(self.sampled_errors(labels) + luck, 0, 1)
        low, median, high = np.quantile(accuracies, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2])
        return Forecast(labels, float(median), float(low), float(high))

    def gain(self, now: int, more: int) -> tuple[float, float]:
        """Return the accuracy that more labels bring, and half the width of its 80 % interval.

        Args:
            now: Number of labels.
            more: Number of further labels.
        """
        gains = self.sampled_errors(now) - self.sampled_errors(now + more)
        low, median, high = np.quantile(gains, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2])
        return float(median), float(high - low) / 2

    def reach(self, labels: int) -> float:
        """Return the accuracy that so many labels exceed with a probability of at most a tenth, in whole percent."""
        return float(np.ceil(100 * self.forecast(labels).high - 1e-9) / 100)

    def labels_for(self, accuracy: float) -> int | None:
        """Return how many labels the median curve needs for an accuracy; None if over 100 times those there are."""
        for factor in np.geomspace(1, 100, 60):
            labels = int(self.labels[-1] * factor)
            if 1 - np.median(self.sampled_errors(labels)) >= accuracy:
                return labels
        return None


def fit_curve(labels: np.ndarray, errors: np.ndarray, spreads: np.ndarray, *, seed: int = 0) -> LearningCurve:
    """Fit the family of power laws to measured errors.

    Floors and exponents are a grid, each with its best scale; their weights are their likelihoods with a flat prior,
    from which samples are drawn.

    Args:
        labels: Numbers of labels, increasing, int [k].
        errors: Mean error at each, float [k].
        spreads: Standard error of each, float [k].
        seed: Seed of the samples.

    Examples:
        >>> sizes = np.array([50, 100, 200, 400])
        >>> curve = fit_curve(sizes, 0.05 + 2 * sizes**-0.5, np.full(4, 0.005))
        >>> forecast = curve.forecast(1600)
        >>> bool(forecast.low < 1 - (0.05 + 2 / 40) < forecast.high)
        True
    """
    sizes, errors = np.asarray(labels, np.float64), np.asarray(errors, np.float64)
    spreads = np.maximum(np.asarray(spreads, np.float64), 1e-4)
    floors = _FLOORS[:, None] * errors.min()
    basis = sizes[None] ** -_EXPONENTS[:, None]  # [exponents, k]
    precision = 1 / spreads**2
    norm = (precision * basis**2).sum(1)  # [exponents]
    scales = ((errors - floors) * precision) @ basis.T / norm  # [floors, exponents]
    scales = np.maximum(scales, 0)
    fitted = floors[:, :, None] + scales[:, :, None] * basis[None]
    misfit = (((errors - fitted) / spreads) ** 2).sum(-1)
    weights = np.exp(-0.5 * (misfit - misfit.min()))
    generator = np.random.default_rng(seed)
    drawn = generator.choice(weights.size, _SAMPLES, p=(weights / weights.sum()).ravel())
    rows, columns = np.unravel_index(drawn, weights.shape)
    noise = generator.normal(size=_SAMPLES) / np.sqrt(norm[columns])
    return LearningCurve(
        np.asarray(labels, np.int64),
        errors,
        spreads,
        floors[rows, 0],
        np.maximum(scales[rows, columns] + noise, 0),
        _EXPONENTS[columns],
    )
