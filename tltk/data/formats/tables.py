"""Sources from CSV and JSON lines files with columns of paths or texts and of labels."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tltk.data import targets as convert
from tltk.data.formats.conll import labels_of, read_spans
from tltk.data.formats.registry import register_format
from tltk.data.formats.text_files import existing_file, read_text
from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput, NotFound
from tltk.specs import InvalidExample, LabelSpec, Span

_INLINE = ("text",)  # modalities whose examples are in the table itself; for others it has paths
_LABEL_TYPES = ("categorical", "multilabel", "regression", "entities")


@dataclass(frozen=True)
class _Columns:
    """The columns of a table to read, and how to interpret them."""

    inputs: tuple[str, ...]
    labels: tuple[str, ...]
    label_type: str
    separator: str
    root: Path
    modality: str
    label_names: LabelSpec | Sequence[str] | None
    sample_weight: str | None

    @property
    def inline(self) -> bool:
        """Whether the examples are in the table itself, and not paths."""
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
    sample_weight: str | None = None,
) -> Source:
    """Read a CSV file with a header.

    Args:
        file: UTF-8 file. Columns are separated by commas, or by tabs if the name ends in .tsv.
        input: Column of image paths or of texts; two columns for pairs of texts.
        label: Column of the label, for "regression" one or several columns; None if unlabelled.
        label_type: "categorical" (one class), "multilabel" (classes joined by `separator`), "regression", or for texts
            "entities" (JSON as in `from_jsonl`).
        labels: Names of the classes, columns or entity types in the order of the model's outputs, or the `LabelSpec` of
            another source; None means the ones that occur. Pass those of the model for a test file, which may lack
            some classes.
        separator: Separator of the classes in a cell, for "multilabel".
        root: Folder of relative paths; None means the folder of `file`.
        modality: "image" if `input` has paths of images, "text" if it has texts; another modality has paths.
        sample_weight: Column with the weight of each example in loss and metrics, a number of at least 0; None if all
            count the same.

    Returns:
        A source of image files or texts, in the order of the rows. For texts, rows with empty cells, a wrong number of
        cells, invalid numbers or invalid spans are left out and listed in `invalid`; row 1 is the header.

    Raises:
        NotFound: If the file or images do not exist; all are listed with their rows.
        InvalidInput: If columns are missing, cells are empty, labels are invalid or the file is not UTF-8; all problems
            are listed with their rows.
    """
    path = existing_file(file)
    table = _table(path)
    header_index = next((index for index, row in enumerate(table) if row), 0)  # row numbers include blank lines
    header, cells = (table[header_index], table[header_index + 1 :]) if table else ([], [])
    hint = f" The header is {header[0]!r}: does it have another separator?" if len(header) == 1 else ""
    options: dict[str, Any] = {"label_type": label_type, "separator": separator, "modality": modality}
    options |= {"label_names": labels, "sample_weight": sample_weight}
    columns = _columns(path, header, input, label, root=root, hint=hint, **options)
    rows = [_parse_cells(row, header) if row else None for row in cells]
    return _source(path, rows, columns, first=header_index + 2)


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
    sample_weight: str | None = None,
) -> Source:
    """Read a file with one JSON object per line.

    Args:
        file: UTF-8 file.
        input: Key of the image path or of the text; two keys for pairs of texts.
        label: Key of the label, for "regression" one or several keys; None if unlabelled.
        label_type: "categorical" (one class), "multilabel" (a list of classes, or a string joined by `separator`),
            "regression", or for texts "entities": a list of [start, end, type], or of objects with "start", "end" and
            "label". Offsets count characters.
        labels: As in `from_csv`.
        separator: Separator of the classes in a string, for "multilabel".
        root: Folder of relative paths; None means the folder of `file`.
        modality: As in `from_csv`.
        sample_weight: Key of the weight, as in `from_csv`.

    Returns:
        A source of image files or texts, in the order of the lines. For texts, lines that are not JSON objects or have
        empty values, invalid numbers or invalid spans are left out and listed in `invalid`.

    Raises:
        NotFound: If the file or images do not exist; all are listed with their rows.
        InvalidInput: If lines are not objects, keys are missing, values are empty, labels are invalid or the file is
            not UTF-8; all problems are listed with their rows.
    """
    path = existing_file(file)
    rows = [_parse_object(line) if line.strip() else None for line in read_text(path).split("\n")]
    keys = list(dict.fromkeys(key for row in rows if isinstance(row, dict) for key in row))
    if not keys:
        _raise_all(f"{path.name}, row {number}: {row}" for number, row in enumerate(rows, 1) if isinstance(row, str))
    options: dict[str, Any] = {"label_type": label_type, "separator": separator, "modality": modality}
    options |= {"label_names": labels, "sample_weight": sample_weight}
    columns = _columns(path, keys, input, label, root=root, hint="", **options)
    return _source(path, rows, columns, first=1)


def _parse_cells(cells: list[str], header: list[str]) -> dict[str, Any] | str:
    """Return column → cell, or the reason why the row is invalid."""
    if len(cells) != len(header):
        return f"{len(cells)} cells, but the header has {len(header)}"
    return dict(zip(header, cells, strict=True))


def _parse_object(line: str) -> dict[str, Any] | str:
    """Return the JSON object of a line, or the reason why the line is invalid."""
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
    # The default limit, 131,072 characters per cell, is too low for long texts.
    previous_limit = csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    try:
        return list(reader)
    except csv.Error as error:
        raise InvalidInput(f"{path}, line {reader.line_num}: {error}.") from error
    finally:
        csv.field_size_limit(previous_limit)


def _columns(
    path: Path,
    header: Sequence[str],
    inputs: str | Sequence[str],
    label: str | Sequence[str] | None,
    *,
    hint: str,
    root: str | Path | None,
    **options: Any,
) -> _Columns:
    label_type, modality = options["label_type"], options["modality"]
    check.one_of("label_type", label_type, _LABEL_TYPES)
    label_columns = () if label is None else (label,) if isinstance(label, str) else tuple(label)
    inputs = (inputs,) if isinstance(inputs, str) else tuple(inputs)
    problems = check.Problems()
    if len(inputs) > 2 or not inputs or (len(inputs) == 2 and modality not in _INLINE):
        problems.add(f"`input` must be one column or, for texts (modality='text'), two. Received: {inputs!r}")
    if label_type == "entities" and (len(inputs) != 1 or modality not in _INLINE):
        problems.add("label_type='entities' needs single texts: pass modality='text' and one column as `input`")
    if len(label_columns) != 1 and label is not None and label_type != "regression":
        problems.add(f"`label` must be one column for label_type={label_type!r}. Received: {label!r}")
    sample_weight = options["sample_weight"]
    check.instance_of("sample_weight", sample_weight, (str, type(None)), hint="Pass the name of a column.")
    for name in (*inputs, *label_columns, *([] if sample_weight is None else [sample_weight])):
        if name not in header:
            names = check.listing(header) or "none, the file is empty"
            problems.add(
                f"{path} has no column {name!r}. Its columns: {names}.{check.did_you_mean(name, header)}{hint}"
            )
        elif list(header).count(name) > 1:
            problems.add(f"{path} has more than one column {name!r}")
    problems.raise_if_any()
    return _Columns(inputs, label_columns, root=Path(root) if root is not None else path.parent, **options)


def _source(path: Path, rows: list[dict[str, Any] | str | None], columns: _Columns, *, first: int) -> Source:
    """Create the source of parsed rows.

    Args:
        path: File that the rows come from.
        rows: Column → value, or the reason why a row is invalid, or None for a blank line.
        columns: Columns to use.
        first: Row number of the first row.
    """
    numbered = [(f"{path.name}, row {number}", row) for number, row in enumerate(rows, first) if row is not None]
    if not numbered:
        raise InvalidInput(f"{path} has no rows.")
    ids: list[str] = []
    valid_rows: list[dict[str, Any]] = []
    invalid: list[InvalidExample] = []
    for example_id, row in numbered:
        reason = row if isinstance(row, str) else _why_invalid(row, columns)
        if reason:
            invalid.append(InvalidExample(example_id, reason))
        elif isinstance(row, dict):
            ids.append(example_id)
            valid_rows.append(row)
    if invalid and (not columns.inline or not valid_rows):  # only texts may have invalid rows
        _raise_all(f"{example.example_id}: {example.reason}" for example in invalid)
    examples, storage = _examples(valid_rows, columns, ids.__getitem__)
    targets, labels = _targets(valid_rows, columns, ids.__getitem__)
    id_array = np.array(ids, object)
    source = Source(columns.modality, storage, examples, targets, labels, ids=id_array, invalid=tuple(invalid))
    if columns.sample_weight is None:
        return source
    return source.with_sample_weight([convert.as_float(row[columns.sample_weight]) for row in valid_rows])


def _raise_all(messages: Iterable[str]) -> None:
    problems = check.Problems()
    for message in messages:
        problems.add(message)
    problems.raise_if_any()


def _why_invalid(row: dict[str, Any], columns: _Columns) -> str:
    """Return the reason why a row is invalid; "" if it is valid."""
    if columns.sample_weight is not None:
        weight = row.get(columns.sample_weight)
        if not 0 <= convert.as_float(weight) < np.inf:
            return f"`{columns.sample_weight}` must be a weight, a finite number of at least 0. Received: {weight!r}"
    required = (*columns.inputs, *(columns.labels if columns.label_type not in ("multilabel", "entities") else ()))
    empty = [name for name in required if _is_empty(row.get(name))]
    if empty:
        return f"{' and '.join(f'`{name}`' for name in empty)} must not be empty"
    for name in required:
        if isinstance(row[name], list | dict) and (name in columns.inputs or columns.label_type == "categorical"):
            expected = "one class" if name not in columns.inputs else "a text" if columns.inline else "a path"
            likely_type = "entities" if any(isinstance(part, list | dict) for part in row[name]) else "multilabel"
            hint = f". Did you mean label_type={likely_type!r}?" if expected == "one class" else ""
            return f"`{name}` must be {expected}. Received: {type(row[name]).__name__}{hint}"
    if columns.label_type == "regression":
        not_finite = [name for name in columns.labels if not np.isfinite(convert.as_float(row[name]))]
        return "; ".join(f"`{name}` must be a finite number. Received: {row[name]!r}" for name in not_finite)
    if columns.label_type == "entities" and columns.labels:
        try:
            _spans(row, columns)
        except ValueError as error:
            return str(error)
    return ""


def _is_empty(value: Any) -> bool:
    """Tell whether a cell is empty; pandas writes NaN for empty cells."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def _examples(rows: list[dict[str, Any]], columns: _Columns, row_id: convert.RowId) -> tuple[np.ndarray, str]:
    """Return the examples and their storage."""
    values = [[str(row[name]) for name in columns.inputs] for row in rows]
    if columns.inline and len(columns.inputs) == 2:
        return np.array(values, object).reshape(-1, 2), "arrays"
    cells = [value for (value,) in values]
    if columns.inline:
        return np.array(cells, object), "arrays"
    paths = [str(columns.root / cell) for cell in cells]
    problems = check.Problems()
    for row, path in enumerate(paths):
        if not Path(path).is_file():
            reason = "is a folder" if Path(path).is_dir() else "does not exist"
            problems.add(f"{row_id(row)}: {path} {reason}")
    problems.raise_if_any(error=NotFound)
    return np.array(paths, object), "files"


def _targets(
    rows: list[dict[str, Any]], columns: _Columns, row_id: convert.RowId
) -> tuple[np.ndarray, LabelSpec] | tuple[None, None]:
    if not columns.labels:
        return None, None
    labels = columns.label_names
    names = labels.names if isinstance(labels, LabelSpec) else None if labels is None else tuple(labels)
    values = [row.get(columns.labels[0]) for row in rows]
    if columns.label_type == "regression":
        row_values = [[row[name] for name in columns.labels] for row in rows]
        targets, spec = convert.regression(row_values, names=names or columns.labels, row_id=row_id)
    elif columns.label_type == "entities":
        targets, spec = labels_of([_spans(row, columns) for row in rows], labels)
    elif columns.label_type == "categorical":
        targets, spec = convert.categorical([str(value).strip() for value in values], names=names, row_id=row_id)
    else:
        class_names = [_class_names(value, columns.separator) for value in values]
        targets, spec = convert.multilabel(class_names, names=names, row_id=row_id)
    return targets, labels if isinstance(labels, LabelSpec) else spec


def _spans(row: dict[str, Any], columns: _Columns) -> tuple[Span, ...]:
    """Return the spans of a row; a CSV cell contains them as JSON."""
    value = row.get(columns.labels[0])
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else None
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"spans must be a JSON list of [start, end, type]: {error}") from error
    return read_spans(value, str(row[columns.inputs[0]]))


def _class_names(value: Any, separator: str) -> list[str]:
    """Return the non-empty class names of a list or of a string joined by `separator`."""
    parts = value if isinstance(value, list) else str(value if value is not None else "").split(separator)
    return [name for name in (str(part).strip() for part in parts) if name]


register_format("csv", from_csv, suffixes=(".csv", ".tsv"), has_columns=True)
register_format("jsonl", from_jsonl, suffixes=(".jsonl", ".ndjson"), has_columns=True)
