"""Sources from tables: CSV and JSON lines, with paths or texts in one column and labels in others."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tltk.data import targets as raw
from tltk.data.formats.conll import labels_of, read_spans
from tltk.data.formats.registry import register_format
from tltk.data.formats.text_files import existing, read_text
from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.specs import InvalidExample, LabelSpec, Span

_INLINE = ("text",)  # modalities whose examples stand in a table; of others it has paths
_LABEL_TYPES = ("categorical", "multilabel", "regression", "entities")


@dataclass(frozen=True)
class _Columns:
    """What was asked of a table: which columns, and what they mean."""

    inputs: tuple[str, ...]
    labels: tuple[str, ...]
    label_type: str
    separator: str
    root: Path
    modality: str
    names: LabelSpec | Sequence[str] | None

    @property
    def inline(self) -> bool:
        """Whether the examples stand in the table itself."""
        return self.modality in _INLINE


def from_csv(
    file: str | Path,
    *,
    input: str | Sequence[str] = "path",  # noqa: A002 - the column's role, in the field's own word
    label: str | Sequence[str] | None = "label",
    labels: LabelSpec | Sequence[str] | None = None,
    label_type: str = "categorical",
    separator: str = ";",
    root: str | Path | None = None,
    modality: str = "image",
) -> Source:
    """Take the rows of a CSV file with a header; row 1 is the header, as in a spreadsheet.

    Args:
        file: UTF-8; columns are separated by commas, by tabs if the name ends in .tsv.
        input: column of picture paths, or of texts; two columns for pairs of texts.
        label: column of the label, for numbers one or several columns; None for unlabelled rows.
        label_type: "categorical" (one class), "multilabel" (several, joined by `separator`), "regression", or of a text
            "entities" (JSON, as in `from_jsonl`).
        labels: names of the classes, columns or types in the order of the outputs, or the `LabelSpec` of another
            source; None means those that occur. A file to judge a model by need not hold every class.
        separator: between the classes of one row, for "multilabel".
        root: folder that relative paths start from; None means the folder of `file`.
        modality: "image" for a column of paths, "text" for a column of texts; for another modality, paths of its files.

    Returns:
        A source of image files or texts, in the order of the rows. Of texts, rows with an empty cell,
        too many or too few cells, no number where there should be one or wrong spans are left out and stand in
        `invalid`.

    Raises:
        FileNotFoundError: if the file, or pictures that it names, do not exist; all are listed with their rows.
        ValueError: for missing columns, empty cells, wrong encoding or wrong labels; all are listed with their rows.
    """
    path = existing(file)
    table = _table(path)
    first = next((number for number, row in enumerate(table) if row), 0)  # blank lines count, as in a spreadsheet
    header, rows = (table[first], table[first + 1 :]) if table else ([], [])
    hint = f" The header is {header[0]!r}: are its columns separated by something else?" if len(header) == 1 else ""
    asked: dict[str, Any] = {"label_type": label_type, "separator": separator, "modality": modality, "names": labels}
    columns = _columns(path, header, input, label, root=root, hint=hint, **asked)
    held = [_by_name(row, header) if row else None for row in rows]
    return _source(path, held, columns, first=first + 2)


def from_jsonl(
    file: str | Path,
    *,
    input: str | Sequence[str] = "path",  # noqa: A002 - the column's role, in the field's own word
    label: str | Sequence[str] | None = "label",
    labels: LabelSpec | Sequence[str] | None = None,
    label_type: str = "categorical",
    separator: str = ";",
    root: str | Path | None = None,
    modality: str = "image",
) -> Source:
    """Take the lines of a file that holds one JSON object a line.

    Args:
        file: UTF-8.
        input: key of the picture's path, or of the text with `text`; two keys for pairs of texts.
        label: key of the label, for numbers one or several keys; None for unlabelled lines.
        label_type: "categorical" (one class), "multilabel" (a list of classes, or a text joined by `separator`),
            "regression", or of a text "entities": a list of [start, end, type], or of objects with "start",
            "end" and "label", in characters.
        labels: as in `from_csv`.
        separator: between the classes of one line, for "multilabel".
        root: folder that relative paths start from; None means the folder of `file`.
        modality: as in `from_csv`.

    Returns:
        A source of image files or texts, in the order of the lines. Of texts, lines that are no
        objects, with an empty value, wrong spans or no number where there should be one are left out and stand in
        `invalid`.

    Raises:
        FileNotFoundError: if the file, or pictures that it names, do not exist; all are listed with their rows.
        ValueError: for lines that are no objects, missing keys, empty values or wrong labels, all listed.
    """
    path = existing(file)
    rows = [_object(line) if line.strip() else None for line in read_text(path).split("\n")]
    keys = list(dict.fromkeys(key for row in rows if isinstance(row, dict) for key in row))
    if not keys:
        _refuse([(f"{path.name}, row {number}", row) for number, row in enumerate(rows, 1) if isinstance(row, str)])
    asked: dict[str, Any] = {"label_type": label_type, "separator": separator, "modality": modality, "names": labels}
    columns = _columns(path, keys, input, label, root=root, hint="", **asked)
    return _source(path, rows, columns, first=1)


def _by_name(row: list[str], header: list[str]) -> dict[str, Any] | str:
    """Return the cells of a row by column, or what is wrong with it."""
    if len(row) != len(header):
        return f"{len(row)} cells where the header has {len(header)}"
    return dict(zip(header, row, strict=True))


def _object(line: str) -> dict[str, Any] | str:
    """Return the object of a line, or what is wrong with it."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return str(error)
    return row if isinstance(row, dict) else f"must be an object {{...}}. Received: {type(row).__name__}"


def _table(path: Path) -> list[list[str]]:
    text = read_text(path)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True
    )
    before = csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # 131,072 characters are no long text
    try:
        return list(reader)
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}.") from error
    finally:
        csv.field_size_limit(before)


def _columns(
    path: Path,
    header: Sequence[str],
    inputs: str | Sequence[str],
    label: str | Sequence[str] | None,
    *,
    hint: str,
    root: str | Path | None,
    **asked: Any,
) -> _Columns:
    check.one_of("label_type", asked["label_type"], _LABEL_TYPES)
    names = () if label is None else (label,) if isinstance(label, str) else tuple(label)
    inputs = (inputs,) if isinstance(inputs, str) else tuple(inputs)
    problems = check.Problems()
    if len(inputs) > 2 or not inputs or (len(inputs) == 2 and asked["modality"] not in _INLINE):
        problems.add(f"`input` must be one column or, for texts (modality='text'), two. Received: {inputs!r}")
    if asked["label_type"] == "entities" and (len(inputs) != 1 or asked["modality"] not in _INLINE):
        problems.add("spans are marked in one text: pass modality='text' and one column as `input`")
    if len(names) != 1 and label is not None and asked["label_type"] != "regression":
        problems.add(f"`label` must be one column for label_type={asked['label_type']!r}. Received: {label!r}")
    for name in (*inputs, *names):
        if name not in header:
            shown = check.listing(header) or "none, the file is empty"
            problems.add(
                f"{path} has no column {name!r}. Its columns: {shown}.{check.did_you_mean(name, header)}{hint}"
            )
        elif list(header).count(name) > 1:
            problems.add(f"{path}: column {name!r} stands there twice")
    problems.raise_if_any()
    return _Columns(inputs, names, root=Path(root) if root is not None else path.parent, **asked)


def _source(path: Path, rows: list[dict[str, Any] | str | None], columns: _Columns, *, first: int) -> Source:
    held = [(f"{path.name}, row {number}", row) for number, row in enumerate(rows, first) if row is not None]
    if not held:
        raise ValueError(f"{path} has no rows.")
    reasons = [row if isinstance(row, str) else _why_not(row, columns) for _, row in held]
    invalid = tuple(InvalidExample(where, why) for (where, _), why in zip(held, reasons, strict=True) if why)
    kept = [(where, row) for (where, row), why in zip(held, reasons, strict=True) if not why and isinstance(row, dict)]
    if invalid and (not columns.inline or not kept):  # of texts, the good rows are used
        _refuse([(each.example_id, each.reason) for each in invalid])

    def place(row: int) -> str:
        return kept[row][0]

    examples, storage = _examples([row for _, row in kept], columns, place)
    targets, labels = _targets([row for _, row in kept], columns, place)
    ids = np.array([name for name, _ in kept], object)
    return Source(columns.modality, storage, examples, targets, labels, ids=ids, invalid=invalid)


def _refuse(found: list[tuple[str, str]]) -> None:
    problems = check.Problems()
    problems.found = [f"{example_id}: {reason}" for example_id, reason in found]
    problems.raise_if_any()


def _why_not(row: dict[str, Any], columns: _Columns) -> str:
    """Say why a row cannot be used; an empty text if it can."""
    wanted = (*columns.inputs, *(columns.labels if columns.label_type not in ("multilabel", "entities") else ()))
    empty = [name for name in wanted if _is_empty(row.get(name))]
    if empty:
        return f"{' and '.join(f'`{name}`' for name in empty)} must not be empty"
    for name in wanted:
        if isinstance(row[name], list | dict) and (name in columns.inputs or columns.label_type == "categorical"):
            what = "one class" if name not in columns.inputs else "a text" if columns.inline else "a path"
            meant = "entities" if any(isinstance(part, list | dict) for part in row[name]) else "multilabel"
            hint = f". Did you mean label_type={meant!r}?" if what == "one class" else ""
            return f"`{name}` must be {what}. Received: {type(row[name]).__name__}{hint}"
    if columns.label_type == "regression":
        wrong = [name for name in columns.labels if not np.isfinite(raw.number(row[name]))]
        return "; ".join(f"`{name}` must be a finite number. Received: {row[name]!r}" for name in wrong)
    if columns.label_type == "entities" and columns.labels:
        try:
            _spans(row, columns)
        except ValueError as error:
            return str(error)
    return ""


def _is_empty(value: Any) -> bool:
    """Tell whether a cell holds nothing; NaN is what pandas writes for one."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def _examples(rows: list[dict[str, Any]], columns: _Columns, place: raw.Place) -> tuple[np.ndarray, str]:
    values = [[str(row[name]) for name in columns.inputs] for row in rows]
    if columns.inline and len(columns.inputs) == 2:
        return np.array(values, object).reshape(-1, 2), "arrays"
    flat = [value for (value,) in values]
    if columns.inline:
        return np.array(flat, object), "arrays"
    paths = [str(columns.root / value) for value in flat]
    missing = check.Problems()
    for row, path in enumerate(paths):
        if not Path(path).is_file():
            what = "is a folder" if Path(path).is_dir() else "does not exist"
            missing.add(f"{place(row)}: {path} {what}")
    missing.raise_if_any(error=FileNotFoundError)
    return np.array(paths, object), "files"


def _targets(
    rows: list[dict[str, Any]], columns: _Columns, place: raw.Place
) -> tuple[np.ndarray, LabelSpec] | tuple[None, None]:
    if not columns.labels:
        return None, None
    given = columns.names
    names = given.names if isinstance(given, LabelSpec) else None if given is None else tuple(given)
    values = [row.get(columns.labels[0]) for row in rows]
    if columns.label_type == "regression":
        held = [[row[name] for name in columns.labels] for row in rows]
        targets, found = raw.numbers(held, names=names or columns.labels, place=place)
    elif columns.label_type == "entities":
        targets, found = labels_of([_spans(row, columns) for row in rows], given)
    elif columns.label_type == "categorical":
        targets, found = raw.categorical([str(value).strip() for value in values], names=names, place=place)
    else:
        targets, found = raw.multilabel(
            [_several(value, columns.separator) for value in values], names=names, place=place
        )
    return targets, given if isinstance(given, LabelSpec) else found


def _spans(row: dict[str, Any], columns: _Columns) -> tuple[Span, ...]:
    """Read the spans of a row; a cell of a CSV file holds them as JSON."""
    value = row.get(columns.labels[0])
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"spans must be JSON, a list of [start, end, type]: {error}") from error
    return read_spans(value, str(row[columns.inputs[0]]))


def _several(value: Any, separator: str) -> list[str]:
    parts = value if isinstance(value, list) else str(value if value is not None else "").split(separator)
    return [name for name in (str(part).strip() for part in parts) if name]


register_format("csv", from_csv, suffixes=(".csv", ".tsv"), has_columns=True)
register_format("jsonl", from_jsonl, suffixes=(".jsonl", ".ndjson"), has_columns=True)
