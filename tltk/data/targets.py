"""Raw labels, as files hold them, to the targets and `LabelSpec` of a source."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tltk.foundation import checks as check
from tltk.specs import LabelSpec

Place = Callable[[int], str]


def single(values: Sequence[str], *, names: Sequence[str] | None = None, place: Place) -> tuple[np.ndarray, LabelSpec]:
    """Turn one class name for each example into indices.

    Args:
        values: class names, one an example.
        names: the classes in the order of the model's outputs; None means those that occur, sorted.
        place: example number → where it stands, for errors.

    Returns:
        int32 [n] and the labels.

    Raises:
        ValueError: naming every value that `names` does not hold, or if there is only one class.
    """
    known = tuple(names) if names is not None else tuple(sorted(set(values)))
    _only_known(enumerate(values), known, place)
    if len(known) < 2:
        raise ValueError(f"at least two classes are needed to tell them apart. Received: {check.listing(known)}")
    index = {name: number for number, name in enumerate(known)}
    return np.array([index[value] for value in values], np.int32), LabelSpec(known, "categorical")


def multi(
    values: Sequence[Sequence[str]], *, names: Sequence[str] | None = None, place: Place
) -> tuple[np.ndarray, LabelSpec]:
    """Turn any number of class names for each example into 0/1 vectors.

    Args:
        values: class names of each example; none is allowed.
        names: the classes in the order of the model's outputs; None means those that occur, sorted.
        place: example number → where it stands, for errors.

    Returns:
        float32 [n, classes] and the labels.

    Raises:
        ValueError: naming every value that `names` does not hold, or if there is none at all.
    """
    known = tuple(names) if names is not None else tuple(sorted({name for held in values for name in held}))
    if not known:
        raise ValueError("no example has a label")
    _only_known(((row, name) for row, held in enumerate(values) for name in held), known, place)
    index = {name: number for number, name in enumerate(known)}
    targets = np.zeros((len(values), len(known)), np.float32)
    for row, held in enumerate(values):
        targets[row, [index[name] for name in held]] = 1.0
    return targets, LabelSpec(known, "multilabel")


def numbers(
    values: Sequence[Sequence[Any]] | np.ndarray, *, names: Sequence[str], place: Place
) -> tuple[np.ndarray, LabelSpec]:
    """Turn numbers, or text that holds them, into vectors; their mean and deviation go into the labels.

    Args:
        values: for each example, one value a column.
        names: of the columns.
        place: example number → where it stands, for errors.

    Returns:
        float32 [n, columns] and the labels.

    Raises:
        ValueError: naming every value that is no finite number.
    """
    problems = check.Problems()
    targets = np.zeros((len(values), len(names)), np.float64)
    for row, held in enumerate(values):
        for column, value in enumerate(held):
            targets[row, column] = number(value)
            if not np.isfinite(targets[row, column]):
                problems.add(f"{place(row)}: `{names[column]}` must be a finite number. Received: {value!r}")
    problems.raise_if_any()
    std = targets.std(0)
    moments = {"mean": targets.mean(0), "std": np.where(std > 0, std, 1.0)}
    plain = {name: tuple(float(value) for value in moment) for name, moment in moments.items()}
    return targets.astype(np.float32), LabelSpec(tuple(names), "regression", **plain)


def number(value: Any) -> float:
    """Return what a number, or text that holds one, says; NaN if it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _only_known(values: Any, known: tuple[str, ...], place: Place) -> None:
    allowed = set(known)
    problems = check.Problems()
    for row, value in values:
        if value not in allowed:
            hint = check.did_you_mean(value, known)
            problems.add(f"{place(row)}: {value!r} is none of the {len(known)} classes.{hint}")
    problems.raise_if_any(f"classes: {check.listing(known)}" if problems.found else "")
