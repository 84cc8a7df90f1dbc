"""Decisions other than for the most likely class: factors of classes, and costs of mistakes."""

from typing import Any

import numpy as np
import tensorflow as tf

Matrix = tuple[tuple[float, ...], ...]


def decision_scores(probabilities: Any, factors: tuple[float, ...], costs: Matrix) -> Any:
    """Return scores, whose largest one decides for a class.

    Args:
        probabilities: [n, classes], an array or a tensor.
        factors: Factor of each class; () for none.
        costs: costs[i][j] of predicting j if i is true; () for none. The score is minus the expected cost.

    Returns:
        [n, classes], an array or a tensor.

    Examples:
        >>> decision_scores(np.array([[0.8, 0.2]]), (), ((0.0, 1.0), (10.0, 0.0))).tolist()
        [[-2.0, -0.8]]
    """
    if costs:
        matrix = np.asarray(costs, np.float32)
        return -(probabilities @ matrix) if isinstance(probabilities, np.ndarray) else -tf.matmul(probabilities, matrix)
    return probabilities * np.asarray(factors, np.float32) if factors else probabilities


def decide(probabilities: tf.Tensor, factors: tuple[float, ...], costs: Matrix) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the class of each example, int64 [n], and its probability, float32 [n], in the graph."""
    if not factors and not costs:
        return tf.argmax(probabilities, -1), tf.reduce_max(probabilities, -1)
    best = tf.argmax(decision_scores(probabilities, factors, costs), -1)
    return best, tf.gather(probabilities, best, batch_dims=1)


def indices_of(labels: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Return the index of each label among the names, int64 [n].

    Examples:
        >>> indices_of(np.array(["dog", "cat"], object), ("cat", "dog")).tolist()
        [1, 0]
    """
    index_of = {name: index for index, name in enumerate(names)}
    return np.array([index_of[str(label)] for label in labels], np.int64)
