"""Checks of the targets of a user's `tf.data.Dataset`, which may hold anything: classes, labels and numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tltk.foundation import checks as check

_SUM_TOLERANCE = 1e-2  # of probabilities in 16 bits


def class_problem(targets: Any, names: Sequence[str]) -> str:
    """Return what is wrong with targets that should be one class per example.

    Args:
        targets: A batch of targets: class numbers or names [batch] or [batch, 1], or one row of probabilities (one-hot,
            smoothed or blended) per example [batch, classes].
        names: Class names.

    Returns:
        A message with the first wrong value and its row; "" if all are right.

    Examples:
        >>> class_problem(np.array([0, 2, -1]), ("cat", "dog", "fox")).split(". ")[0]
        'row 2 has the target -1'
    """
    values, count = np.asarray(targets), len(names)
    expected = f"Targets must be class numbers from 0 to {count - 1}, class names, or {count} probabilities per example"
    is_column = values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)
    if values.dtype.kind in "OSU" and is_column:
        return _name_problem(values.ravel(), names)
    if values.dtype.kind not in "biuf":
        return f"targets have the dtype {values.dtype} and the shape {values.shape}. {expected}."
    if is_column:
        numbers = values.ravel().astype(np.float64)
        wrong = ~((numbers >= 0) & (numbers < count) & (numbers == np.floor(numbers)))
        return _first_wrong(numbers, wrong, f"{expected}.{_class_hint(numbers[wrong], count)}")
    if values.ndim != 2 or values.shape[1] != count:
        return f"targets have the shape {values.shape}. {expected}."
    rows = values.astype(np.float64)
    is_probability = ((rows >= 0) & (rows <= 1)).all(-1)
    if not is_probability.all():
        return _first_wrong(rows, ~is_probability, f"{expected}.")
    hint = ' For several labels per example, use labels of type "multilabel".' if (rows.sum(-1) > 1.5).any() else ""
    not_one = np.abs(rows.sum(-1) - 1) > _SUM_TOLERANCE
    return _first_wrong(rows, not_one, f"Probabilities of an example must add up to 1.{hint}")


def label_problem(targets: Any, names: Sequence[str]) -> str:
    """Return what is wrong with targets that should be any number of labels per example.

    Args:
        targets: A batch of targets: 0/1 vectors or probabilities [batch, labels]; for one label also [batch].
        names: Label names.

    Returns:
        A message with the first wrong value and its row; "" if all are right.
    """
    values, count = np.asarray(targets), len(names)
    expected = f"Targets must be {count} values from 0 to 1 per example, one for each label: {check.listing(names)}."
    problem = _width_problem(values, count, expected)
    if problem:
        return problem
    rows = values.astype(np.float64).reshape(-1, count)
    return _first_wrong(rows, ~((rows >= 0) & (rows <= 1)).all(-1), expected)


def number_problem(targets: Any, names: Sequence[str]) -> str:
    """Return what is wrong with targets that should be numbers.

    Args:
        targets: A batch of targets: finite numbers [batch, columns]; for one column also [batch].
        names: Column names.

    Returns:
        A message with the first wrong value and its row; "" if all are right.
    """
    values, count = np.asarray(targets), len(names)
    numbers = "a finite number" if count == 1 else f"{count} finite numbers"
    expected = f"Targets must be {numbers} per example: {check.listing(names)}."
    problem = _width_problem(values, count, expected)
    if problem:
        return problem
    rows = values.astype(np.float64).reshape(-1, count)
    return _first_wrong(rows, ~np.isfinite(rows).all(-1), expected)


def as_texts(values: np.ndarray) -> list[str]:
    """Decode strings as TensorFlow returns them, bytes in an object array."""
    return [value.decode(errors="replace") if isinstance(value, bytes) else str(value) for value in values.tolist()]


def _width_problem(values: np.ndarray, count: int, expected: str) -> str:
    if values.dtype.kind not in "biuf":
        return f"targets have the dtype {values.dtype}. {expected}"
    if (values.ndim == 2 and values.shape[1] == count) or (count == 1 and values.ndim == 1):
        return ""
    return f"targets have the shape {values.shape}. {expected}"


def _name_problem(values: np.ndarray, names: Sequence[str]) -> str:
    classes = set(names)
    for row, name in enumerate(as_texts(values)):
        if name not in classes:
            near = check.did_you_mean(name, names)
            return f"row {row} has the target {name!r}, which is not a class. Classes: {check.listing(names)}.{near}"
    return ""


def _first_wrong(values: np.ndarray, wrong: Any, expected: str) -> str:
    if not wrong.any():
        return ""
    row = int(np.flatnonzero(wrong)[0])
    numbers = [f"{number:g}" for number in np.atleast_1d(values[row])]
    shown = numbers[0] if len(numbers) == 1 else f"[{check.listing(numbers)}]"
    return f"row {row} has the target {shown}. {expected}"


def _class_hint(wrong: np.ndarray, count: int) -> str:
    if (wrong == count).all() and wrong.size:
        return " Do classes start at 1? Subtract 1 in dataset.map."
    if np.isfinite(wrong).all() and (wrong != np.floor(wrong)).any():
        return " For numbers, use tltk.regression."
    return ""
