"""Weights of classes in the training loss, from their numbers of examples."""

import numpy as np

from tltk.tasks.uneven import ClassCounts


def class_weights(counts: np.ndarray, method: str, *, beta: float = 0.999) -> np.ndarray:
    """Return the weight of each class; the mean weight of the examples is 1.

    Args:
        counts: Number of examples of each class, float [classes].
        method: "inverse": n⁻¹, as "balanced" in scikit-learn. "square_root": n⁻⁰·⁵. "effective_number":
            (1 − β) / (1 − βⁿ) (Cui et al. 2019, equation 2).
        beta: β of the effective number.

    Returns:
        float64 [classes]; 1 for classes without examples.

    Examples:
        >>> class_weights(np.array([3, 1]), "inverse").round(3).tolist()
        [0.667, 2.0]
    """
    present = counts > 0
    sizes = np.where(present, counts, 1.0).astype(np.float64)
    raw = {
        "inverse": lambda: 1 / sizes,
        "square_root": lambda: 1 / np.sqrt(sizes),
        "effective_number": lambda: (1 - beta) / (1 - np.power(beta, sizes)),
    }[method]()
    scale = sizes[present].sum() / max((raw * sizes)[present].sum(), np.finfo(float).tiny)
    return np.where(present, raw * scale, 1.0)


def label_weights(counts: ClassCounts, method: str, *, beta: float = 0.999) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of positives and negatives of each of several labels; their mean over the examples is 1.

    Args:
        counts: Of the labels.
        method: See `class_weights`.
        beta: See `class_weights`.

    Returns:
        Weights of positives and of negatives, float64 [labels] each.

    Examples:
        >>> positives, negatives = label_weights(ClassCounts(("a",), np.array([1.0]), 4.0, False), "inverse")
        >>> positives.tolist(), negatives.round(3).tolist()
        ([2.0], [0.667])
    """
    pairs = [class_weights(np.array([count, counts.total - count]), method, beta=beta) for count in counts.counts]
    return np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
