"""Tables of paths, texts and labels: CSV and JSON lines, every fault named with its row."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tltk import _check as check
from tltk.specs import LABEL_KINDS, Labels


@dataclass(frozen=True)
class Row:
    """One row of a table: where it stands, and its cells."""

    where: str
    cells: dict[str, Any]


def read_csv(file: Path) -> list[Row]:
    """Read a CSV file with a heading; empty lines are no rows."""
    lines = _text(file).splitlines(keepends=True)
    reader = csv.DictReader(lines, strict=True)
    rows = []
    try:
        for cells in reader:
            if any(cells.values()):
                rows.append(Row(f"{file.name}, row {reader.line_num}", cells))
    except csv.Error as error:
        raise ValueError(f"{file}, row {reader.line_num}: {error}") from error
    wide = [row.where for row in rows if None in row.cells]
    if wide:
        raise ValueError(f"these rows have more cells than the heading: {check.listing(wide)}")
    return _filled(file, rows)


def read_jsonl(file: Path) -> list[Row]:
    """Read a file with one JSON object a line; empty lines are no rows."""
    rows, problems = [], check.Problems()
    for number, line in enumerate(_text(file).splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{file.name}, row {number}"
        try:
            cells = json.loads(line)
        except ValueError as error:
            problems.add(f"{where}: no JSON: {error}")
            continue
        if isinstance(cells, dict):
            rows.append(Row(where, cells))
        else:
            problems.add(f"{where}: an object is needed. Received: {type(cells).__name__}")
    problems.raise_if_any(f"{file} has lines that cannot be read:")
    return _filled(file, rows)


def column(file: Path, rows: list[Row], name: str) -> list[Any]:
    """Return one column, every row of which must have a value.

    Raises:
        ValueError: if no row has the column (with the nearest right name), or some rows lack a value, all named.
    """
    present = list(dict.fromkeys(key for row in rows for key in row.cells))
    if name not in present:
        near = check.did_you_mean(name, present)
        raise ValueError(f"{file} has no column {name!r}. Columns: {check.listing(present)}.{near}")
    empty = [row.where for row in rows if row.cells.get(name) in (None, "", [])]
    if empty:
        raise ValueError(f"column {name!r} is empty in {len(empty)} rows: {check.listing(empty)}")
    return [row.cells[name] for row in rows]


def label_columns(
    file: Path, rows: list[Row], label: Any, *, kind: str, separator: str
) -> tuple[np.ndarray | None, Labels | None]:
    """Read the label column or columns as targets and what they mean; (None, None) without one."""
    check.one_of("kind", kind, LABEL_KINDS)
    if label is None:
        return None, None
    if kind == "number":
        names = [label] if isinstance(label, str) else list(label)
        values = np.stack([_numbers(rows, column(file, rows, name), name) for name in names], 1)
        return targets(values, labels=tuple(names), kind=kind, count=len(rows))
    check.kind_of("label", label, str, hint="Several columns go with kind='number' only.")
    cells = column(file, rows, label)
    if kind == "single":
        return targets(np.array([str(cell) for cell in cells], object), labels=None, kind=kind, count=len(rows))
    sets = [[str(name).strip() for name in (cell if isinstance(cell, list) else str(cell).split(separator))] for cell in cells]
    names = sorted({name for group in sets for name in group if name})
    vectors = np.array([[name in group for name in names] for group in sets], "float32")
    return vectors, Labels(tuple(names), "multi")


def targets(y: np.ndarray, *, labels: Any, kind: str, count: int) -> tuple[np.ndarray, Labels]:
    """Turn whatever names classes or numbers into targets and a `Labels` record.

    Args:
        y: class indices or names [n], 0/1 vectors [n, labels], or numbers [n] or [n, columns].
        labels: names, a `Labels` record, or None for the sorted values of `y`.
        kind: "single", "multi" or "number"; a `Labels` record overrides it.
        count: examples there must be.

    Returns:
        int32 [n] or float32 [n, columns], and what they mean.

    Raises:
        ValueError: naming everything that does not fit.
    """
    kind = labels.kind if isinstance(labels, Labels) else kind
    check.one_of("kind", kind, LABEL_KINDS)
    if len(y) != count:
        raise ValueError(f"`y` must have one entry an example. Received: {len(y)} for {count} examples")
    names = labels.names if isinstance(labels, Labels) else tuple(map(str, labels)) if labels is not None else None
    if kind == "single":
        return _single(y, names)
    values = y.astype("float32")
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2:
        raise ValueError(f"`y` must be [n] or [n, columns]. Received: shape {y.shape}")
    names = names or tuple(f"column_{index}" for index in range(values.shape[1]))
    _check_vectors(values, names, kind)
    if kind == "multi":
        return values, Labels(names, "multi")
    deviation = np.where(values.std(0) > 0, values.std(0), 1.0)
    return values, Labels(names, "number", tuple(values.mean(0).tolist()), tuple(deviation.tolist()))


def _single(y: np.ndarray, names: tuple[str, ...] | None) -> tuple[np.ndarray, Labels]:
    if y.ndim != 1:
        raise ValueError(f"`y` of kind 'single' must be [n]. Received: shape {y.shape}; one-hot rows go in as y.argmax(-1)")
    if y.dtype.kind in "iub":
        return _indices(y.astype("int64"), names)
    if y.dtype.kind == "f":
        raise ValueError("`y` of kind 'single' holds numbers with fractions. Use kind='number', or whole class indices.")
    given = [str(value) for value in y]
    names = names or tuple(sorted(set(given)))
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ValueError(f"`y` names classes that `labels` has not: {check.listing(unknown)}")
    place = {name: index for index, name in enumerate(names)}
    return np.array([place[name] for name in given], "int32"), Labels(names)


def _indices(y: np.ndarray, names: tuple[str, ...] | None) -> tuple[np.ndarray, Labels]:
    names = names or tuple(str(index) for index in range(int(y.max()) + 1))
    outside = sorted({int(value) for value in y if not 0 <= value < len(names)})
    if outside:
        raise ValueError(f"`y` must hold indices from 0 to {len(names) - 1}. Received: {check.listing(outside)}")
    return y.astype("int32"), Labels(names)


def _check_vectors(values: np.ndarray, names: tuple[str, ...], kind: str) -> None:
    problems = check.Problems()
    if values.shape[1] != len(names):
        problems.add(f"`labels` names {len(names)} columns, `y` has {values.shape[1]}")
    bad = np.flatnonzero(~np.isfinite(values).all(1))
    if len(bad):
        problems.add(f"`y` holds NaN or infinite numbers in rows {check.listing(bad)}")
    if kind == "multi" and not np.isin(values, (0, 1)).all():
        problems.add("`y` of kind 'multi' must hold 0 and 1 only")
    problems.raise_if_any()


def _numbers(rows: list[Row], cells: list[Any], name: str) -> np.ndarray:
    found, problems = [], check.Problems()
    for row, cell in zip(rows, cells, strict=True):
        try:
            value = float(cell)
        except (TypeError, ValueError):
            value = float("nan")
        if not np.isfinite(value):
            problems.add(f"{row.where}: {name} must be a number. Received: {cell!r}")
        found.append(value)
    problems.raise_if_any(f"column {name!r} holds what is no number:")
    return np.array(found, "float32")


def _text(file: Path) -> str:
    if not file.exists():
        raise FileNotFoundError(f"there is no file {file}")
    if file.is_dir():
        raise ValueError(f"{file} is a folder; from_folder reads folders.")
    data = file.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(f"{file}, line {line}: not UTF-8 (byte 0x{data[error.start]:02x}). Save it as UTF-8.") from error


def _filled(file: Path, rows: list[Row]) -> list[Row]:
    if not rows:
        raise ValueError(f"{file} holds no rows.")
    return rows
