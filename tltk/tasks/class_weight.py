"""Weights of classes in the training loss, as `tltk.fit(class_weight=…)` receives them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput, InvalidType

BALANCED = "balanced"


def weights_of_classes(class_weight: Any, names: Sequence[str], targets: Any) -> np.ndarray:
    """Turn the `class_weight` of Keras into one weight per class.

    Args:
        class_weight: {class index or name: weight}; other classes weigh 1. Or "balanced": number of examples /
            (number of classes with examples · examples of the class), as in scikit-learn.
        names: Class names.
        targets: Class index of each training example, int [n]; None if not known.

    Returns:
        float32 [classes].

    Raises:
        InvalidType: If `class_weight` is neither a dict nor "balanced".
        InvalidInput: Naming every unknown class and every weight that is not a positive number; or if "balanced" is
            asked of examples that cannot be counted.

    Examples:
        >>> weights_of_classes({"dog": 2.0}, ("cat", "dog"), None)
        array([1., 2.], dtype=float32)
        >>> weights_of_classes("balanced", ("cat", "dog"), np.array([0, 0, 0, 1]))
        array([0.6666667, 2.       ], dtype=float32)
    """
    if isinstance(class_weight, str) and class_weight == BALANCED:
        return _balanced(len(names), targets)
    if not isinstance(class_weight, Mapping):
        raise InvalidType(
            "`class_weight` must be 'balanced' or a dict {class index or name: weight}. "
            f"Received: {class_weight!r:.80}"
        )
    weights = np.ones(len(names), np.float32)
    problems = check.Problems()
    key_of: dict[int, Any] = {}
    for key, weight in class_weight.items():
        index = names.index(key) if key in names else key
        if not check.is_whole(index) or not 0 <= index < len(names):
            hint = check.did_you_mean(key, names)
            classes = check.listing(map(repr, names), limit=20)
            problems.add(f"`class_weight` names the class {key!r}. Classes: {classes}.{hint}")
        elif not check.is_number(weight) or not 0 < weight < float("inf"):
            problems.add(f"`class_weight` of {key!r} must be a finite number above 0. Received: {weight!r}")
        elif index in key_of:
            problems.add(f"`class_weight` names one class twice: {key_of[index]!r} and {key!r}")
        else:
            key_of[index] = key
            weights[index] = weight
    problems.raise_if_any()
    return weights


def _balanced(classes: int, targets: Any) -> np.ndarray:
    if targets is None:
        raise InvalidInput(
            "class_weight='balanced' counts the examples of each class, which a tf.data.Dataset does not tell. "
            "Pass a dict {class index or name: weight}, or a Source."
        )
    counts = np.bincount(np.asarray(targets, np.int64), minlength=classes)
    present = counts > 0
    weights = np.ones(classes, np.float32)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights
