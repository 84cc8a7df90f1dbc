"""Sources from arrays and lists in memory: pixels, texts, pairs of texts."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tltk.data import targets as raw
from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.specs import LabelSpec

_LABEL_TYPES = ("categorical", "multilabel", "regression")


def from_arrays(
    x: Any, y: Any = None, *, labels: LabelSpec | Sequence[str] | None = None, label_type: str = "categorical"
) -> Source:
    """Take pictures or texts that are in memory already.

    Args:
        x: pixels [n, h, w], [n, h, w, 1] or [n, h, w, 3], uint8 or float in [0, 255]; or a list of texts; or a list of
            tuples of two texts.
        y: one index or class name each ("categorical"), a list of class names each or 0/1 [n, k] ("multilabel"),
            numbers [n] or [n, k] ("regression"), or None.
        labels: names of the classes or columns in the order of the outputs, or the `LabelSpec` of another source.
        label_type: what `y` means: "categorical", "multilabel" or "regression"; taken from `labels` if that is a
            `LabelSpec`.

    Returns:
        A source of images or texts in memory; it refers to pixels, they are not copied.

    Raises:
        TypeError: if `x` is no numeric array of pictures, list of texts or list of pairs.
        ValueError: if shapes, ranges or lengths are wrong, all listed at once.

    Example:
        >>> from_arrays(np.zeros((4, 8, 8, 3), "uint8"), ["cat", "dog", "cat", "dog"]).labels.names
        ('cat', 'dog')
    """
    pairs = as_pairs(x)
    examples = pairs if pairs is not None else np.asarray(x, object) if is_text(x) else check_pixels(x)
    modality = "text" if examples.dtype == object else "image"
    if y is None:
        return Source(modality, "arrays", examples)
    targets, meaning = check_targets(y, len(examples), labels=labels, label_type=label_type)
    return Source(modality, "arrays", examples, targets, meaning)


def is_text(x: Any) -> bool:
    """Tell whether `x` is a list or array of texts."""
    items = x if isinstance(x, list | tuple | np.ndarray) else ()
    return isinstance(next((item for item in items if item is not None), None), str)


def as_pairs(x: Any) -> np.ndarray | None:
    """Return pairs of texts as object [n, 2]; None if `x` holds no tuples.

    Raises:
        TypeError: naming the first tuple that is not one of two texts.
    """
    items = x if isinstance(x, list | tuple) else ()
    if not isinstance(next((item for item in items if item is not None), None), tuple):
        return None
    for row, item in enumerate(items):
        if not isinstance(item, tuple) or len(item) != 2 or not all(isinstance(text, str | None) for text in item):
            raise TypeError(f"`x`[{row}] must be a tuple of two texts, as the others are. Received: {item!r:.60}")
    return np.array(items, object).reshape(-1, 2)


def check_pixels(x: Any) -> np.ndarray:
    """Return pictures as [n, h, w, c], uint8 or float32 in [0, 255].

    Raises:
        TypeError: if they are no numbers.
        ValueError: for another rank, number of channels or range, or NaN.
    """
    try:
        pixels = np.asarray(x)
    except ValueError as error:  # rows of different lengths
        raise ValueError("`x` must be one array [n, height, width, channels]; its pictures differ in size.") from error
    if pixels.dtype.kind not in "uif":
        raise TypeError(f"`x` must hold numbers, or be a list of texts. Received: dtype {pixels.dtype}")
    pixels = pixels[..., None] if pixels.ndim == 3 else pixels
    if pixels.ndim != 4 or pixels.shape[-1] not in (1, 3) or 0 in pixels.shape:
        hint = " Did you mean to put the channels last?" if pixels.ndim == 4 and pixels.shape[1] in (1, 3) else ""
        raise ValueError(
            "`x` must be [n, height, width] or [n, height, width, 1 or 3], and not empty. "
            f"Received: {np.shape(x)}.{hint}"
        )
    if pixels.dtype == np.uint8:
        return pixels
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite((low, high)).all():
        raise ValueError("`x` holds NaN or infinite pixels.")
    if low < 0 or high > 255:
        raise ValueError(f"`x` must lie in [0, 255]. Received: {low:g} to {high:g}")
    if pixels.dtype.kind == "f" and 0 < high <= 1:
        raise ValueError(f"`x` must lie in [0, 255]. Received: {low:g} to {high:g}. Did you mean x * 255?")
    return pixels.astype(np.float32 if pixels.dtype.kind == "f" else np.uint8)


def check_targets(
    y: Any, count: int, *, labels: LabelSpec | Sequence[str] | None, label_type: str
) -> tuple[np.ndarray, LabelSpec]:
    """Return targets and labels for arrays; see `from_arrays`.

    Raises:
        ValueError: if length, rank, range or names are wrong.
    """
    meaning = labels if isinstance(labels, LabelSpec) else None
    label_type = meaning.type if meaning else label_type
    check.one_of("label_type", label_type, _LABEL_TYPES)
    values = _as_array(y)
    if len(values) != count if values.ndim else True:
        raise ValueError(f"`y` must hold {count} values, one for each of `x`. Received: {np.shape(y)}")
    names = labels.names if isinstance(labels, LabelSpec) else tuple(labels) if labels is not None else None
    targets, found = {"categorical": _single, "multilabel": _multi, "regression": _numbers}[label_type](values, names)
    return targets, meaning or found


def _as_array(y: Any) -> np.ndarray:
    """Return `y` as an array; rows of different lengths as one of lists, [n]."""
    rows = [list(row) for row in y] if isinstance(y, list | tuple) and all(map(_is_row, y)) else []
    if len({len(row) for row in rows}) < 2:
        return np.asarray(rows or y)
    found = np.empty(len(rows), object)
    found[:] = rows
    return found


def _is_row(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset)


def _place(row: int) -> str:
    return f"`y`[{row}]"


def _single(values: np.ndarray, names: tuple[str, ...] | None) -> tuple[np.ndarray, LabelSpec]:
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or any(map(_is_row, values)):
        raise ValueError(
            f'`y` must be [n] for label_type="categorical". Received: {values.shape}. '
            'Did you mean label_type="multilabel"?'
        )
    if values.dtype.kind in "USO":
        return raw.categorical([str(value) for value in values], names=names, place=_place)
    if values.dtype.kind == "f" and not np.array_equal(values, np.floor(values)):
        raise ValueError(
            '`y` must hold whole numbers for label_type="categorical". Did you mean label_type="regression"?'
        )
    values = values.astype(np.int64)
    count = len(names) if names is not None else int(values.max()) + 1
    if values.min() < 0 or values.max() >= count:
        raise ValueError(f"`y` must lie in [0, {count}), the classes. Received: {values.min()} to {values.max()}")
    if count < 2:
        raise ValueError("at least two classes are needed to tell them apart. Received: one, 0")
    return values.astype(np.int32), LabelSpec(names or tuple(str(index) for index in range(count)), "categorical")


def _multi(values: np.ndarray, names: tuple[str, ...] | None) -> tuple[np.ndarray, LabelSpec]:
    rows = _names_a_row(values)
    if rows is not None:
        return raw.multilabel(rows, names=names, place=_place)
    if values.ndim != 2 or values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        raise ValueError(
            '`y` must be lists of class names, or [n, classes] of 0 and 1, for label_type="multilabel". '
            f"Received: {values.shape}"
        )
    names = names or tuple(str(index) for index in range(values.shape[1]))
    _same_length(names, values.shape[1])
    return values.astype(np.float32), LabelSpec(names, "multilabel")


def _names_a_row(values: np.ndarray) -> list[list[str]] | None:
    """Return the class names of each example; None if rows hold no names."""
    rows = values.tolist() if values.ndim in (1, 2) else []
    named = all(isinstance(row, list) and all(isinstance(name, str) for name in row) for row in rows)
    return rows if named and any(rows) else None


def _numbers(values: np.ndarray, names: tuple[str, ...] | None) -> tuple[np.ndarray, LabelSpec]:
    columns = values[:, None] if values.ndim == 1 else values
    if columns.ndim != 2:
        raise ValueError(f'`y` must be [n] or [n, columns] for label_type="regression". Received: {values.shape}')
    names = names or (("value",) if columns.shape[1] == 1 else tuple(f"value {i}" for i in range(columns.shape[1])))
    _same_length(names, columns.shape[1])
    return raw.numbers(columns, names=names, place=_place)


def _same_length(names: tuple[str, ...], columns: int) -> None:
    if len(names) != columns:
        raise ValueError(f"`labels` must name the {columns} columns of `y`. Received: {len(names)} names")
