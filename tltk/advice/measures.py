"""Measures of transferability without training: the H-score and LogME. Columns for comparison; they decide nothing."""

import numpy as np

_ITERATIONS = 20


def h_score(features: np.ndarray, classes: np.ndarray) -> float:
    """Return the H-score (Bao et al. 2019), with the shrunk covariance of Ibrahim et al. 2022 (here 10 % of the mean).

    Args:
        features: float32 [n, channels].
        classes: int64 [n].

    Examples:
        >>> x = np.random.default_rng(0).normal(size=(90, 5))
        >>> y = np.arange(90) % 3
        >>> h_score(x + 3 * np.eye(5)[y], y) > h_score(x, y)
        True
    """
    centered = features.astype(np.float64) - features.mean(0, dtype=np.float64)
    count, channels = centered.shape
    # In the coordinates of the principal axes, of which there are at most as many as examples, the covariance is
    # diagonal: TF-IDF has thousands of channels.
    left, singular, _ = np.linalg.svd(centered, full_matrices=False)
    variances = np.square(singular) / count
    shrunk = 0.9 * variances + 0.1 * max(float(variances.sum()), np.finfo(np.float64).tiny) / channels
    coordinates = left * singular
    numbers, counts = np.unique(classes, return_counts=True)
    means = np.stack([coordinates[classes == number].mean(0) for number in numbers])
    return float((np.square(means) * (counts / count)[:, None]).sum(0) @ (1 / shrunk))


def log_me(features: np.ndarray, targets: np.ndarray) -> float:
    """Return LogME (You et al. 2021): the evidence of Bayesian linear regression for one-hot targets, per example.

    Args:
        features: float32 [n, channels].
        targets: float [n, outputs].

    Examples:
        >>> x = np.random.default_rng(0).normal(size=(90, 5))
        >>> y = np.eye(3)[np.arange(90) % 3]
        >>> log_me(x + 3 * y @ np.eye(3, 5), y) > log_me(x, y)
        True
    """
    x = features.astype(np.float64)
    left, singular, _ = np.linalg.svd(x, full_matrices=False)
    squares, count, channels = singular**2, len(x), x.shape[1]
    evidence = []
    for target in np.asarray(targets, np.float64).T:
        projected = (left.T @ target) ** 2
        outside = max(float(target @ target - projected.sum()), 0.0)
        alpha, beta = 1.0, 1.0
        for _ in range(_ITERATIONS):
            ratio = alpha / beta
            gamma = float((squares / (squares + ratio)).sum())
            norm = float((squares * projected / (squares + ratio) ** 2).sum())
            residual = float((projected * (ratio / (squares + ratio)) ** 2).sum()) + outside
            alpha, beta = gamma / (norm + 1e-12), (count - gamma) / (residual + 1e-12)
        determinant = np.log(alpha + beta * squares).sum() + (channels - len(squares)) * np.log(alpha)
        value = channels * np.log(alpha) + count * np.log(beta / (2 * np.pi)) - determinant
        evidence.append(0.5 * (value - beta * residual - alpha * norm) / count)
    return float(np.mean(evidence))
