"""Changes of a linear last layer after the training: logit adjustment, norms, temperature; pure functions of arrays."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, log_softmax, softmax


@dataclass(frozen=True, eq=False)
class LastLayer:
    """The weights of a linear layer: logits = features · kernel + bias.

    Args:
        kernel: float32 [channels, classes].
        bias: float32 [classes].
    """

    kernel: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return the logits of features [n, channels], float32 [n, classes]."""
        return features @ self.kernel + self.bias

    def shifted(self, shift: np.ndarray) -> "LastLayer":
        """Return the layer with logits that are lower by `shift`, float [classes]."""
        return LastLayer(self.kernel, (self.bias - shift).astype(np.float32))

    def normalized(self, tau: float) -> "LastLayer":
        """Return the layer with the weights of each class divided by their norm to the power τ, without bias.

        Kang et al. 2020, section 4.3. The weights are scaled by the mean norm to the power τ, so that the probabilities
        keep their sharpness.
        """
        norms = np.maximum(np.linalg.norm(self.kernel, axis=0), 1e-12)
        scales = (norms.mean() / norms) ** tau
        return LastLayer((self.kernel * scales).astype(np.float32), np.zeros_like(self.bias))

    def divided(self, temperature: float) -> "LastLayer":
        """Return the layer with logits divided by a temperature."""
        return LastLayer((self.kernel / temperature).astype(np.float32), (self.bias / temperature).astype(np.float32))


def probabilities_of(logits: np.ndarray, *, exclusive: bool) -> np.ndarray:
    """Return softmax or sigmoid of logits [n, classes]."""
    return softmax(logits, axis=1) if exclusive else expit(logits)


def mean_over(groups: np.ndarray | None, values: np.ndarray) -> np.ndarray:
    """Average rows of one group, as a decoder averages the windows of a text.

    Args:
        groups: Group of each row, int64 [n], from 0; None: each row is one.
        values: float [n, …].

    Returns:
        float [groups, …], in the order of the numbers that occur.

    Examples:
        >>> mean_over(np.array([0, 0, 3]), np.array([[1.0], [2.0], [5.0]])).tolist()
        [[1.5], [5.0]]
    """
    if groups is None:
        return values
    _, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    sums = np.zeros((len(sizes), *values.shape[1:]))
    np.add.at(sums, inverse, values)
    return sums / sizes.reshape(-1, *[1] * (values.ndim - 1))


def log_loss(targets: np.ndarray, logits: np.ndarray, *, exclusive: bool) -> float:
    """Return the mean cross-entropy of rows of targets and logits [n, classes]."""
    if exclusive:
        return float(-(targets * log_softmax(logits, axis=1)).sum(1).mean())
    return float((np.logaddexp(0, logits) - targets * logits).mean())
