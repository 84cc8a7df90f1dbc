"""Weights of examples: checks of what the user passed, and the weights of the elements of a reader."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput


def as_sample_weight(values: Any, count: int, id_of: Callable[[int], str]) -> np.ndarray:
    """Convert the weights of examples to an array.

    Args:
        values: One number per example, in any array or sequence.
        count: Number of examples.
        id_of: Index of an example → its id, for error messages.

    Returns:
        float32 [n].

    Raises:
        InvalidInput: If there is not one number per example, or one is negative, NaN or infinite; the first ones are
            listed.

    Examples:
        >>> as_sample_weight([1, 0.5], 2, "example {}".format).tolist()
        [1.0, 0.5]
    """
    weights = np.asarray(values)
    if weights.shape == (count, 1):
        weights = weights[:, 0]
    if weights.shape != (count,) or weights.dtype.kind not in "biuf":
        raise InvalidInput(
            f"`sample_weight` must have {count} numbers, one per example. Received: {weights.dtype} of shape "
            f"{weights.shape}"
        )
    with np.errstate(over="ignore"):  # becomes infinite, which is named below
        numbers = weights.astype(np.float32)
    wrong = np.flatnonzero(~(np.isfinite(numbers) & (numbers >= 0)))
    if len(wrong):
        listed = check.listing((f"{id_of(int(row))}: {weights[row]:g}" for row in wrong), limit=6)
        raise InvalidInput(f"`sample_weight` must be finite and at least 0. Received: {listed}")
    return numbers


def require_weight(weights: np.ndarray | None, name: str) -> None:
    """Raise if all examples have the weight 0.

    Args:
        weights: float32 [n]; None if the examples are not weighted.
        name: Argument that has the weights, or the data with the weights, for the error message.

    Raises:
        InvalidInput: If no weight is above 0.
    """
    if weights is not None and len(weights) and not weights.any():
        raise InvalidInput(f"all {len(weights)} sample weights of `{name}` are 0: no example would count.")


def element_weights(weights: np.ndarray | None, example_ids: np.ndarray | None) -> np.ndarray | None:
    """Return the weight of each element of a reader: that of its example.

    Args:
        weights: Weights of the examples, float32 [n]; None if they are not weighted.
        example_ids: Index of the example of each element, int64 [count]; None if element i is example i.
    """
    return weights if weights is None or example_ids is None else weights[example_ids]
