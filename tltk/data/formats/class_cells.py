"""Class names in the cells of tables: their spelling, lists of them, and signs that a cell means something else."""

import logging
import re
from collections.abc import Sequence
from typing import Any

from tltk.data import targets as convert
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput

log = logging.getLogger("tltk")

YES, NO = ("1", "1.0", "true"), ("0", "0.0", "false")
_WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.0*)?")
_MISSING_MARKERS = ("nan", "NaN", "NA", "<NA>", "N/A", "n/a", "#N/A", "NULL", "null", "None")  # as pandas reads them
_SEPARATORS = (";", ",", "|")
_LIST_AS_TEXT = re.compile(r"""\s*[\[(]\s*(['"]).*\1\s*,?\s*[\])]\s*""", re.DOTALL)


def one_spelling(values: Sequence[Any], names: Sequence[str] | None) -> list[str]:
    """Return class names in one spelling: "1" for 1, "1.0" and, if all values are 0 or 1, also for "true".

    Args:
        values: Label of each row.
        names: The known classes; they and values that are among them stay as they are.
    """
    texts = [str(value).strip() for value in values]
    if names is not None and set(texts) <= set(names):
        return texts
    lower = {text.lower() for text in texts}
    if lower <= {"true", "false"}:
        return [text.lower() for text in texts]
    if lower <= {*YES, *NO}:
        return ["1" if text.lower() in YES else "0" for text in texts]
    # "007", "1_000" and "1e3" are names, and no spellings of numbers.
    return [str(int(text.partition(".")[0])) for text in texts] if all(map(_WHOLE_NUMBER.fullmatch, texts)) else texts


def class_names(value: Any, separator: str) -> list[str]:
    """Return the non-empty class names of a list or of a string joined by `separator`."""
    parts = value if isinstance(value, list) else str(value if value is not None else "").split(separator)
    return [name for name in (str(part).strip() for part in parts) if name]


def warn_of_markers(label: str, names: Sequence[str]) -> None:
    """Say if classes have names that other programs write for a missing value."""
    counts = {marker: names.count(marker) for marker in _MISSING_MARKERS if marker in names}
    if counts:
        rows = check.listing(f"{count} {'row' if count == 1 else 'rows'} {name!r}" for name, count in counts.items())
        log.warning(
            "`%s` has %s, which are read as a class of that name; leave these rows out if they have no label.",
            label,
            rows,
        )


def check_no_lists(values: Sequence[Any], label: str, *, separator: str, row_id: convert.RowId) -> None:
    """Raise if cells hold lists as text, as pandas writes them."""
    rows = [row for row, value in enumerate(values) if isinstance(value, str) and _LIST_AS_TEXT.fullmatch(value)]
    if rows:
        raise InvalidInput(
            f"{row_id(rows[0])}: `{label}` is a list written as text, {values[rows[0]]!r:.60} ({len(rows)} such rows). "
            f"Join the classes: table[{label!r}].str.join({separator!r}) before pandas writes the file, or "
            "write JSON lines and use from_jsonl."
        )


def warn_of_separator(label: str, rows: Sequence[Sequence[str]], *, separator: str) -> None:
    """Say if most class names contain a character that usually separates classes.

    Args:
        label: Name of the column.
        rows: Class names of each row.
        separator: Separator they were split at.
    """
    names = {name for row in rows for name in row}
    for other in _SEPARATORS:
        joined = sorted(name for name in names if other in name)
        if other != separator and 2 * len(joined) > len(names):
            log.warning(
                "%d of %d class names in `%s` contain %r, such as %r. If it separates classes, pass separator=%r "
                "(--separator).",
                *(len(joined), len(names), label, other, joined[0], other),
            )
