"""Calibration of logits after the fact: one temperature (Guo et al. 2017), and other priors of the classes."""

import numpy as np
from scipy.optimize import minimize_scalar

from tltk.probes.links import link

_LOG_RANGE = (-3.0, 3.0)  # of the temperature


def temperature(
    logits: np.ndarray, targets: np.ndarray, *, kind: str = "categorical", weight: np.ndarray | None = None
) -> float:
    """Return the temperature by which logits are divided so that the loss is lowest.

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
        >>> round(10 / temperature(overconfident, targets), 2)  # four of five are right: log(4)
        1.39
    """
    if kind == "regression":
        return 1.0
    losses = link(kind, targets.shape[1]).losses

    def mean_loss(log_temperature: float) -> float:
        return float(np.average(losses(logits / np.exp(log_temperature), targets), weights=weight))

    return float(np.exp(minimize_scalar(mean_loss, bounds=_LOG_RANGE, method="bounded").x))


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
