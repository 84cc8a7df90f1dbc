"""Rows of CSV files as people have them: any delimiter, stray quotation marks, broken rows."""

import csv
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tltk.data.formats.text_files import read_text
from tltk.foundation.errors import InvalidInput

DELIMITERS = (",", "\t", ";", "|")
_MAX_LINES = 1000  # lines of one quoted cell


def read_rows(path: Path, *, delimiter: str | None, columns: Sequence[str], header: bool) -> list[tuple[int, Any]]:
    """Read the rows of a CSV file; a row that cannot be read costs that row only.

    Args:
        path: File in UTF-8, or in UTF-16 with a byte order mark.
        delimiter: One character; None means the one that finds the most of `columns` in the first row.
        columns: Names of columns that are needed.
        header: Whether the first row has the names of the columns.

    Returns:
        (number, cells) for each row that is not blank, or (number, reason) if it cannot be read. Numbers start at 1 and
        count blank rows too. The first row is the header; without a header in the file, it has the cells "0", "1" ….

    Raises:
        InvalidInput: If the file cannot be decoded, or `delimiter` is not one character.
    """
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise InvalidInput(f"`delimiter` must be one character, such as ';'. Received: {delimiter!r}")
    lines = _lines(read_text(path))
    first = next((number for number, line in enumerate(lines) if line.strip()), None)
    if first is None:
        return []
    excel = re.fullmatch(r"sep=(.)\s*", lines[first])  # Excel reads and writes the delimiter in a line of its own
    if excel and first + 1 < len(lines):
        delimiter, first = delimiter or excel[1], first + 1
    delimiter = delimiter or _find_delimiter(path, lines[first], columns)
    names = [name.strip() for name in _cells(lines[first], delimiter) or [lines[first]]]
    if not header:
        names, first = [str(number) for number in range(len(names))], first - 1
    parse = _tabbed_rows if delimiter == "\t" else _quoted_rows
    rows = parse(lines[first + 1 :], delimiter, len(names))
    rows = [(number, "the header again" if row == names and header else row) for number, row in rows]
    return [(first + 1, names), *((first + 2 + number, row) for number, row in rows)]


def _lines(text: str) -> list[str]:
    """Split at line ends only, and keep "\r" before them: it can be part of a quoted cell."""
    return text.split("\n") if "\n" in text else text.split("\r")


def _find_delimiter(path: Path, first_line: str, columns: Sequence[str]) -> str:
    candidates = sorted(DELIMITERS, key=lambda delimiter: path.suffix.lower() == ".tsv" and delimiter != "\t")

    def score(delimiter: str) -> tuple[int, int]:
        cells = _cells(first_line, delimiter) or []
        return sum(name in map(str.strip, cells) for name in columns), len(cells)

    return max(candidates, key=score)


def _tabbed_rows(lines: list[str], delimiter: str, count: int) -> list[tuple[int, Any]]:
    """Read one row per line. Cells over several lines are assumed only where their lines are incomplete rows."""
    by_line = [_tabbed_cells(line, count) for line in lines]
    if not any(isinstance(cells, str) and line.strip() for cells, line in zip(by_line, lines, strict=True)):
        return [(number, cells) for number, cells in enumerate(by_line) if lines[number].strip()]
    quoted = _quoted_rows(lines, delimiter, count)
    if not any(isinstance(cells, str) for _, cells in quoted):
        return quoted
    rows: list[tuple[int, Any]] = []
    number = line = 0
    while line < len(lines):
        cells, used = by_line[line], 1
        if lines[line].count('"') % 2 and (isinstance(cells, str) or cells[-1].startswith('"')):
            record, lines_joined = _joined(lines, line)
            joined = _cells(record, delimiter, accept=lambda cells: len(cells) == count)
            complete = sum(isinstance(cells, list) for cells in by_line[line : line + lines_joined])
            if joined and complete <= 1:  # more complete rows: those are stray quotation marks around them
                cells, used = joined, lines_joined
        if lines[line].strip():
            rows.append((number, cells))
        number, line = number + 1, line + used
    return rows


def _tabbed_cells(line: str, count: int) -> list[str] | str:
    cells = line.removesuffix("\r").split("\t")
    if len(cells) != count:
        quoted = _cells(line, "\t")
        return quoted if quoted is not None and len(quoted) == count else _wrong_count(len(cells), count)
    return [_unquoted(cell) for cell in cells]


def _unquoted(cell: str) -> str:
    """Remove quotation marks around a cell, if those inside of it are doubled."""
    inner = cell[1:-1]
    is_quoted = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if is_quoted else cell


def _quoted_rows(lines: list[str], delimiter: str, count: int) -> list[tuple[int, Any]]:
    """Read rows whose quoted cells can hold delimiters and line ends."""
    rows: list[tuple[int, Any]] = []
    number = line = 0
    while line < len(lines):
        record, used = lines[line], 1
        cells = _cells(record, delimiter, accept=lambda cells: len(cells) == count)
        if cells is None and record.count('"') % 2:  # a quoted cell can continue in the next lines
            joined, lines_joined = _joined(lines, line)
            cells = _cells(joined, delimiter, accept=lambda cells: len(cells) == count)
            used = 1 if cells is None else lines_joined  # a stray quotation mark: only its line is lost
        if record.strip():
            rows.append((number, cells if cells is not None else _why_unreadable(record, delimiter, count)))
        number, line = number + 1, line + used
    return rows


def _joined(lines: list[str], first: int) -> tuple[str, int]:
    """Return the lines from `first` up to the one that closes a quoted cell, and their number."""
    marks = 0
    for number, line in enumerate(lines[first : first + _MAX_LINES], 1):
        marks += line.count('"')
        if number > 1 and not marks % 2:
            break
    return "\n".join(lines[first : first + number]), number


def _cells(record: str, delimiter: str, accept: Callable[[list[str]], bool] = lambda cells: True) -> list[str] | None:
    """Return the cells of a record; None if it is not a record, or they are not accepted."""
    # The default limit, 131,072 characters per cell, is too low for long texts.
    previous_limit = csv.field_size_limit(max(csv.field_size_limit(), len(record)))
    try:
        # A quotation mark inside a quoted cell is doubled or, in some files, follows a backslash.
        for text in dict.fromkeys((record, record.replace('\\"', '""'))):
            try:
                records = list(csv.reader([text.removesuffix("\r")], delimiter=delimiter, strict=True))
            except csv.Error:
                continue
            if len(records) == 1 and accept(records[0]):
                return records[0]
        return None
    finally:
        csv.field_size_limit(previous_limit)


def _why_unreadable(record: str, delimiter: str, count: int) -> str:
    cells = _cells(record, delimiter)
    return "a quotation mark that is not closed" if cells is None else _wrong_count(len(cells), count)


def _wrong_count(cells: int, expected: int) -> str:
    return f"{cells} cells, but the header has {expected}"
