"""The kinds of targets of a probe: how logits become predictions, and the loss and its gradient."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import expit, log_softmax, softmax

KINDS = ("categorical", "multilabel", "regression")


class Link(NamedTuple):
    """What a kind of targets does with logits.

    Attributes:
        predict: Logits [n, outputs] → probabilities or numbers of the same shape.
        losses: (logits, targets) → loss of each example, float [n].
        curvature: Bound of the second derivative of the loss by a logit, which scales the steps of the solver.
    """

    predict: Callable[[np.ndarray], np.ndarray]
    losses: Callable[[np.ndarray, np.ndarray], np.ndarray]
    curvature: float


def _cross_entropy(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return -(targets * log_softmax(logits, axis=1)).sum(1)


def _binary_cross_entropy(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return (np.logaddexp(0, logits) - targets * logits).mean(1)


def _squared_error(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return 0.5 * ((logits - targets) ** 2).mean(1)


def link(kind: str, outputs: int) -> Link:
    """Return the link of a kind of targets.

    Args:
        kind: "categorical", "multilabel" or "regression".
        outputs: Number of outputs.
    """
    if kind == "categorical":
        return Link(lambda logits: softmax(logits, axis=1), _cross_entropy, 1 / max(outputs, 2))
    if kind == "multilabel":
        return Link(expit, _binary_cross_entropy, 0.25 / outputs)
    return Link(lambda logits: logits, _squared_error, 1 / outputs)


def gradient(kind: str, predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the derivative of each example's loss by its logits, float [n, outputs]: all links are canonical.

    Args:
        kind: See `link`.
        predictions: What `Link.predict` returned.
        targets: Targets, [n, outputs].
    """
    return (predictions - targets) / (1 if kind == "categorical" else targets.shape[1])
