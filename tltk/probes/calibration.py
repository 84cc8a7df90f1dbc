"""Calibration of logits after the fact: one temperature (Guo et al. 2017), and other priors of the classes."""

import numpy as np
from scipy.optimize import minimize_scalar

from tltk.probes.links import link

_LOG_RANGE = (-3.0, 3.0)  # of the temperature


def temperature(
    logits: np.ndarray, targets: np.ndarray, *, kind: str = "categorical", weight: np.ndarray | None = None
) -> float:
    """Return the temperature that minimizes the loss on `smoothed` targets, by which logits are divided.

    Args:
        logits: Out-of-fold logits, float [n, outputs].
        targets: float [n, outputs].
        kind: "categorical" or "multilabel"; numbers of a regression are not scaled.
        weight: Weights of the examples, float [n]; None for equal ones.

    Returns:
        A number between 0.05 and 20; 1 for a regression.

    Examples:
        >>> overconfident = 10 * np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
        >>> targets = np.eye(2)[[0, 1, 0, 1, 1]]
        >>> round(10 / temperature(overconfident, targets), 2)  # 4.5 of 6 with the one of no class: log(3)
        1.1
    """
    if kind == "regression":
        return 1.0
    losses, targets = link(kind, targets.shape[1]).losses, smoothed(targets, kind=kind, weight=weight)

    def mean_loss(log_temperature: float) -> float:
        return float(np.average(losses(logits / np.exp(log_temperature), targets), weights=weight))

    return float(np.exp(minimize_scalar(mean_loss, bounds=_LOG_RANGE, method="bounded").x))


def smoothed(targets: np.ndarray, *, kind: str, weight: np.ndarray | None = None) -> np.ndarray:
    """Return targets as if one more example, of which nothing is known, had been shared among all (Platt 1999).

    Without it, the best temperature for predictions that are all right is 0, and their probabilities are 1.

    Args:
        targets: float [n, outputs].
        kind: "categorical" or "multilabel"; numbers of a regression are returned as they are.
        weight: Weights of the examples, float [n]; with unequal ones they count as fewer: (sum of the weights)² / sum
            of their squares (Kish 1965).

    Examples:
        >>> smoothed(np.eye(2)[[0, 1, 0]], kind="categorical")[0].tolist()
        [0.875, 0.125]
    """
    if kind == "regression":
        return targets
    count = len(targets) if weight is None else weight.sum() ** 2 / np.square(weight).sum()
    share = 1 / (count + 1)
    return (1 - share) * targets + share * (1 / targets.shape[1] if kind == "categorical" else 0.5)


def prior_shift(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return what is added to logits so that they fit other priors of the classes (Saerens et al. 2002).

    Args:
        old: Priors of the training examples, float [classes].
        new: Priors where the model will be used, float [classes].

    Returns:
        float64 [classes]: log(new / old), with priors of at least 1e-6.

    Examples:
        >>> prior_shift(np.array([0.5, 0.5]), np.array([0.9, 0.1])).round(2).tolist()
        [0.59, -1.61]
    """
    return np.log(np.maximum(new, 1e-6)) - np.log(np.maximum(old, 1e-6))
