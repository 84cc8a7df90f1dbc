"""Sources from CSV and JSON lines files with columns of paths or texts and of labels."""

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tltk.data import targets as convert
from tltk.data.exclude import Exclude
from tltk.data.formats import class_cells
from tltk.data.formats.conll import labels_of, read_spans
from tltk.data.formats.csv_file import read_rows
from tltk.data.formats.media_files import MISSING, existing_path, outside, why_missing
from tltk.data.formats.registry import register_format
from tltk.data.formats.sounds import Clip
from tltk.data.formats.text_files import existing_file, read_text
from tltk.data.invalid import listing
from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation import familiar
from tltk.foundation.errors import InvalidInput, NotFound
from tltk.foundation.paths import local_path
from tltk.specs import InvalidExample, LabelSpec, Span
from tltk.specs.labels import as_names, clean_name

log = logging.getLogger("tltk")

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
    times: tuple[str | None, str | None]

    @property
    def inline(self) -> bool:
        """Whether the examples are in the table itself, and not paths."""
        return self.modality in _INLINE


@familiar.arguments
def from_csv(  # noqa: PLR0913 - options of a reader, as in pandas
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
    start: str | None = None,
    stop: str | None = None,
    delimiter: str | None = None,
    header: bool = True,
    exclude: Exclude = None,
) -> Source:
    """Read a CSV file.

    Args:
        file: UTF-8 file, whose first row has the names of the columns.
        input: Column of image paths or of texts; two columns for pairs of texts. Columns can also be given by number,
            from 0.
        label: Column of the label, for "regression" one or several columns; None if unlabelled.
        label_type: "categorical" (one class), "multilabel" (classes joined by `separator`), "regression", or for texts
            "entities" (JSON as in `from_jsonl`).
        labels: Names of the classes, columns or entity types in the order of the model's outputs, or the `LabelSpec` of
            another source; None means the ones that occur. Pass those of the model for a test file, which may lack
            some classes.
        separator: Separator of the classes in a cell, for "multilabel".
        root: Folder of relative paths; None means the folder of `file`.
        modality: "image" if `input` has paths of images, "audio" if it has those of sounds, "text" if it has texts;
            other modalities take paths.
        sample_weight: Column with the weight of each example in loss and metrics, a number of at least 0; None if all
            count the same.
        start: Column of the second at which a sound starts in its recording; None for the start of the file. Several
            rows can have parts of one recording.
        stop: Column of the second at which it ends; None for the end of the file.
        delimiter: Character between columns; None finds it: a comma, tab, semicolon or "|".
        header: Whether the first row has the names of the columns; if not, give all columns by number.
        exclude: Examples to leave out, see `Source.without`.

    Returns:
        A source of image files or texts, in the order of the rows. Rows with empty cells, a wrong number of
        cells, invalid numbers or invalid spans are left out and listed in `invalid`; row 1 is the header.

    Raises:
        NotFound: If the file or images do not exist; all are listed with their rows.
        InvalidInput: If columns are missing, cells are empty, labels are invalid or the file is not UTF-8; all problems
            are listed with their rows.
    """
    path = existing_file(file)
    options: dict[str, Any] = {"label_type": label_type, "separator": separator, "modality": modality}
    options |= {"label_names": labels, "sample_weight": sample_weight, "times": (start, stop)}
    wanted = _names(input, label, sample_weight, start, stop)
    table = read_rows(path, delimiter=delimiter, columns=wanted, header=header)
    names = table[0][1] if table else []
    hint = f" The header is {names[0]!r}: does it have another delimiter?" if len(names) == 1 else ""
    columns = _columns(path, names, _by_number(input, names), _by_number(label, names), root=root, hint=hint, **options)
    rows = [(number, dict(zip(names, row, strict=True)) if isinstance(row, list) else row) for number, row in table[1:]]
    return _source(path, rows, columns).without(exclude)


@familiar.arguments
def from_jsonl(  # noqa: PLR0913 - as in `from_csv`
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
    start: str | None = None,
    stop: str | None = None,
    exclude: Exclude = None,
) -> Source:
    """Read a file with one JSON object per line, or with one list of objects.

    Args:
        file: UTF-8 file.
        input: Key of the image path or of the text; two keys for pairs of texts. "review.text" is the key "text" of the
            object "review".
        label: Key of the label, for "regression" one or several keys; None if unlabelled.
        label_type: "categorical" (one class), "multilabel" (a list of classes, or a string joined by `separator`),
            "regression", or for texts "entities": a list of [start, end, type], or of objects with "start", "end" and
            "label". Offsets count characters.
        labels: As in `from_csv`.
        separator: Separator of the classes in a string, for "multilabel".
        root: Folder of relative paths; None means the folder of `file`.
        modality: As in `from_csv`.
        sample_weight: Key of the weight, as in `from_csv`.
        start: Key of the second at which a sound starts, as in `from_csv`.
        stop: Key of the second at which it ends.
        exclude: Examples to leave out, see `Source.without`.

    Returns:
        A source of image files or texts, in the order of the lines. For texts, lines that are not JSON objects or have
        empty values, invalid numbers or invalid spans are left out and listed in `invalid`.

    Raises:
        NotFound: If the file or images do not exist; all are listed with their rows.
        InvalidInput: If lines are not objects, keys are missing, values are empty, labels are invalid or the file is
            not UTF-8; all problems are listed with their rows.
    """
    path = existing_file(file)
    rows = _json_rows(read_text(path))
    wanted = _names(input, label, sample_weight, start, stop)
    rows = [(number, _with_paths(row, wanted) if isinstance(row, dict) else row) for number, row in rows]
    keys = list(dict.fromkeys(key for _, row in rows if isinstance(row, dict) for key in row))
    if not keys:
        _raise_all(f"{path.name}, row {number}: {row}" for number, row in rows)
    options: dict[str, Any] = {"label_type": label_type, "separator": separator, "modality": modality}
    options |= {"label_names": labels, "sample_weight": sample_weight, "times": (start, stop)}
    columns = _columns(path, keys, input, label, root=root, hint="", **options)
    return _source(path, rows, columns).without(exclude)


def _names(*columns: Any) -> list[str]:
    """Return all names or numbers of columns, as text."""
    return [str(name) for column in columns for name in (column if isinstance(column, list | tuple) else (column,))]


def _by_number(column: Any, header: Sequence[str]) -> Any:
    """Replace numbers of columns, from 0, or from -1 for the last one, by their names."""
    if isinstance(column, list | tuple):
        return tuple(_by_number(one, header) for one in column)
    if not isinstance(column, int) or isinstance(column, bool):
        return column
    return header[column] if -len(header) <= column < len(header) else str(column)


def _with_paths(row: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Add the values of dotted names such as "review.text", which lead to objects inside of objects."""
    nested: dict[str, Any] = {}
    for name in names:
        value: Any = row
        for key in () if name in row else name.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None and value is not row:
            nested[name] = value
    return {**row, **nested} if nested else row


def _json_rows(text: str) -> list[tuple[int, dict[str, Any] | str]]:
    """Return the number of each row and its object, or the reason why it is invalid.

    Args:
        text: One object per line, or one list of objects, whose rows are numbered from 1.
    """
    rows = _parsed(text) if text.lstrip().startswith("[") else None
    if isinstance(rows, list):
        return [(number, _as_object(row)) for number, row in enumerate(rows, 1)]
    if rows is not None and text.split(maxsplit=1)[0] == "[":
        return [(1, f"begins like a list of objects but is not valid JSON: {rows}")]
    return [(number, _as_object(_parsed(line))) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _parsed(text: str) -> Any:
    """Return a JSON value, or the error if the text is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        return error


def _as_object(row: Any) -> dict[str, Any] | str:
    if isinstance(row, Exception):
        return str(row)
    return row if isinstance(row, dict) else f"must be an object {{...}}. Received: {type(row).__name__}"


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
    if len(label_columns) != 1 and label is not None and label_type not in ("regression", "multilabel"):
        problems.add(
            f"`label` must be one column for label_type={label_type!r}. Received: {label!r}. "
            "For columns of 0 and 1 pass label_type='multilabel'."
        )
    for name in sorted(set(inputs) & set(label_columns)):
        problems.add(f"column {name!r} is both in `input` and in `label`: a model would read the answer")
    sample_weight = options["sample_weight"]
    check.instance_of("sample_weight", sample_weight, (str, type(None)), hint="Pass the name of a column.")
    times = [name for name in options["times"] if name is not None]
    if times and modality != "audio":
        problems.add(f"`start` and `stop` are for sounds: pass modality='audio'. Received: modality={modality!r}")
    for name in (*inputs, *label_columns, *([] if sample_weight is None else [sample_weight]), *times):
        if name not in header:
            names = check.listing(header) or "none, the file is empty"
            problems.add(
                f"{path} has no column {name!r}. Its columns: {names}.{check.did_you_mean(name, header)}{hint}"
            )
        elif list(header).count(name) > 1:
            problems.add(f"{path} has more than one column {name!r}")
    problems.raise_if_any()
    return _Columns(inputs, label_columns, root=local_path(root) if root is not None else path.parent, **options)


def _source(path: Path, rows: list[tuple[int, dict[str, Any] | str]], columns: _Columns) -> Source:
    """Create the source of parsed rows.

    Args:
        path: File that the rows come from.
        rows: Number of the row; column → value, or the reason why the row is invalid.
        columns: Columns to use.
    """
    if not rows:
        raise InvalidInput(f"{path} has no rows.")
    ids: list[str] = []
    valid_rows: list[dict[str, Any]] = []
    invalid: list[InvalidExample] = []
    for number, row in rows:
        example_id = f"{path.name}, row {number}"
        reason = row if isinstance(row, str) else _why_invalid(row, columns)
        if reason:
            invalid.append(InvalidExample(example_id, reason))
        elif isinstance(row, dict):
            ids.append(example_id)
            valid_rows.append(row)
    if not valid_rows:
        error_type = NotFound if all(example.reason.endswith(MISSING) for example in invalid) else InvalidInput
        _raise_all((f"{example.example_id}: {example.reason}" for example in invalid), error_type)
    examples, storage = _examples(valid_rows, columns)
    try:
        targets, labels = _targets(valid_rows, columns, ids.__getitem__)
    except InvalidInput as error:
        if not invalid:
            raise
        raise InvalidInput(f"{error}\nRows that cannot be used: {listing(invalid)}") from error
    id_array = np.array(ids, object)
    source = Source(columns.modality, storage, examples, targets, labels, ids=id_array, invalid=tuple(invalid))
    if columns.sample_weight is None:
        return source
    return source.with_sample_weight([convert.as_float(row[columns.sample_weight]) for row in valid_rows])


def _raise_all(messages: Iterable[str], error: type[Exception] = InvalidInput) -> None:
    problems = check.Problems()
    for message in messages:
        problems.add(message)
    problems.raise_if_any(error=error)


def _why_invalid(row: dict[str, Any], columns: _Columns) -> str:
    """Return the reason why a row is invalid; "" if it is valid."""
    checks = (_weight_problem, _empty_cells, _not_unicode, _wrong_types, _label_problem, _path_problem, _time_problem)
    return next((reason for check_row in checks if (reason := check_row(row, columns))), "")


def _weight_problem(row: dict[str, Any], columns: _Columns) -> str:
    weight = 1 if columns.sample_weight is None else row.get(columns.sample_weight)
    if 0 <= convert.as_float(weight) < np.inf:
        return ""
    return f"`{columns.sample_weight}` must be a weight, a finite number of at least 0. Received: {weight!r}"


def _required(columns: _Columns) -> tuple[str, ...]:
    """Return the columns whose cells must not be empty: an empty cell may mean that there is no label."""
    may_be_empty = columns.label_type == "entities" or (columns.label_type == "multilabel" and len(columns.labels) == 1)
    return (*columns.inputs, *(() if may_be_empty else columns.labels))


def _empty_cells(row: dict[str, Any], columns: _Columns) -> str:
    empty = [name for name in _required(columns) if _is_empty(row.get(name))]
    return f"{' and '.join(f'`{name}`' for name in empty)} must not be empty" if empty else ""


def _not_unicode(row: dict[str, Any], columns: _Columns) -> str:
    cells = ((name, row.get(name)) for name in (*columns.inputs, *columns.labels))
    texts = (
        (name, json.dumps(cell, ensure_ascii=False) if isinstance(cell, list | dict) else cell) for name, cell in cells
    )
    return next((f"`{name}` is {reason}" for name, text in texts if (reason := check.unencodable(text))), "")


def _wrong_types(row: dict[str, Any], columns: _Columns) -> str:
    for name in _required(columns):
        if isinstance(row[name], list | dict) and (name in columns.inputs or columns.label_type == "categorical"):
            expected = "one class" if name not in columns.inputs else "a text" if columns.inline else "a path"
            likely_type = "entities" if any(isinstance(part, list | dict) for part in row[name]) else "multilabel"
            hint = f". Did you mean label_type={likely_type!r}?" if expected == "one class" else ""
            return f"`{name}` must be {expected}. Received: {type(row[name]).__name__}{hint}"
    return ""


def _label_problem(row: dict[str, Any], columns: _Columns) -> str:
    if columns.label_type == "regression":
        not_finite = [name for name in columns.labels if not np.isfinite(convert.as_float(row[name]))]
        hint = " (write a decimal point, and no separator of thousands)"
        return "; ".join(
            f"`{name}` must be a finite number. Received: {row[name]!r}{hint * (',' in str(row[name]))}"
            for name in not_finite
        )
    if columns.label_type == "entities" and columns.labels:
        try:
            _spans(row, columns)
        except ValueError as error:
            return str(error)
    if columns.label_type == "multilabel" and len(columns.labels) > 1:
        allowed = (*class_cells.YES, *class_cells.NO)
        other = [name for name in columns.labels if str(row[name]).strip().lower() not in allowed]
        return f"`{other[0]}` must be 0 or 1. Received: {row[other[0]]!r}" if other else ""
    return ""


def _path_problem(row: dict[str, Any], columns: _Columns) -> str:
    return "" if columns.inline else why_missing(existing_path(columns.root, str(row[columns.inputs[0]])))


def _time_problem(row: dict[str, Any], columns: _Columns) -> str:
    start, stop = _times(row, columns)
    if 0 <= start < np.inf and (stop is None or start < stop < np.inf):
        return ""
    received = ", ".join(f"{name}={row.get(name)!r}" for name in columns.times if name is not None)
    return f"a sound must start at 0 seconds or later, and stop after its start. Received: {received}"


def _times(row: dict[str, Any], columns: _Columns) -> tuple[float, float | None]:
    """Return start and stop of a sound in seconds; empty cells are the start and the end of the file."""
    start, stop = (None if name is None or _is_empty(row.get(name)) else row[name] for name in columns.times)
    return (
        0.0 if start is None else convert.as_float(start),
        None if stop is None else convert.as_float(stop),
    )


def _is_empty(value: Any) -> bool:
    """Tell whether a cell is empty; pandas writes NaN for empty cells."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def _examples(rows: list[dict[str, Any]], columns: _Columns) -> tuple[np.ndarray, str]:
    """Return the examples and their storage."""
    values = [[str(row[name]) for name in columns.inputs] for row in rows]
    if columns.inline and len(columns.inputs) == 2:
        return np.array(values, object).reshape(-1, 2), "arrays"
    cells = [value for (value,) in values]
    if columns.inline:
        return np.array(cells, object), "arrays"
    paths = [str(existing_path(columns.root, cell)) for cell in cells]
    leading_out = outside(columns.root, paths)
    if leading_out:
        log.warning(
            "%d of %d paths lead out of %s, such as %s. They are read; look at them if the table is not your own.",
            len(leading_out),
            len(paths),
            columns.root,
            leading_out[0],
        )
    if columns.times == (None, None):
        return np.array(paths, object), "files"
    clips = np.empty(len(paths), object)
    clips[:] = [Clip(path, *_times(row, columns)) for path, row in zip(paths, rows, strict=True)]
    return clips, "files"


def _targets(
    rows: list[dict[str, Any]], columns: _Columns, row_id: convert.RowId
) -> tuple[np.ndarray, LabelSpec] | tuple[None, None]:
    if not columns.labels:
        return None, None
    labels = columns.label_names
    names = labels.names if isinstance(labels, LabelSpec) else None if labels is None else as_names(labels)
    values = [row.get(columns.labels[0]) for row in rows]
    if columns.label_type == "regression":
        row_values = [[row[name] for name in columns.labels] for row in rows]
        targets, spec = convert.regression(row_values, names=names or columns.labels, row_id=row_id)
    elif columns.label_type == "entities":
        targets, spec = labels_of([_spans(row, columns) for row in rows], labels)
    elif columns.label_type == "categorical":
        class_names = class_cells.one_spelling(values, names)
        if names is None:
            class_cells.warn_of_markers(columns.labels[0], class_names)
            names = tuple(sorted(set(map(clean_name, class_names))))
        targets, spec = convert.categorical(class_names, names=names, row_id=row_id)
    elif len(columns.labels) > 1:
        names = names or columns.labels
        if len(names) != len(columns.labels):
            raise InvalidInput(f"`labels` must name the {len(columns.labels)} columns. Received: {len(names)} names")
        marked = [_marked(row, columns.labels, names) for row in rows]
        targets, spec = convert.multilabel(marked, names=names, row_id=row_id)
    else:
        class_cells.check_no_lists(values, columns.labels[0], separator=columns.separator, row_id=row_id)
        listed = [class_cells.class_names(value, columns.separator) for value in values]
        if names is None:
            class_cells.warn_of_markers(columns.labels[0], [name for row_names in listed for name in row_names])
            class_cells.warn_of_separator(columns.labels[0], listed, separator=columns.separator)
        targets, spec = convert.multilabel(listed, names=names, row_id=row_id)
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


def _marked(row: dict[str, Any], columns: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the names of the columns that are 1."""
    cells = (str(row[column]).strip().lower() for column in columns)
    return [name for name, cell in zip(names, cells, strict=True) if cell in class_cells.YES]


register_format("csv", from_csv, suffixes=(".csv", ".tsv"), has_columns=True)
register_format("jsonl", from_jsonl, suffixes=(".jsonl", ".ndjson"), has_columns=True)
