"""Lists of examples to leave out: files of ids, written by `tltk.inspect` and read by every source."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from tltk.data.formats.text_files import existing_file, read_text
from tltk.foundation import checks as check
from tltk.foundation import files
from tltk.foundation.errors import InvalidInput

Exclude: TypeAlias = str | Path | Sequence[str] | None
_COMMENT, _QUOTE = "#", '"'


def write_ids(path: str | Path, sections: Iterable[tuple[str, Sequence[str]]]) -> Path:
    """Write a list of ids, one per line; an id that could be misread, such as one with a line break, as a JSON string.

    Args:
        path: File to write.
        sections: Comment and ids of each section; an id is written once.

    Returns:
        The path.

    Raises:
        FileError: If the folder of the file cannot be created.
    """
    path = Path(path)
    files.make_folder(path.parent)
    written: set[str] = set()
    lines = []
    for comment, ids in sections:
        new = [example_id for example_id in dict.fromkeys(ids) if example_id not in written]
        written.update(new)
        if new:
            lines += [f"{_COMMENT} {' '.join(comment.split())}", *map(_line, new)]
    files.write_text(path, "".join(f"{line}\n" for line in lines))
    return path


def read_ids(path: str | Path) -> list[str]:
    """Read a list of ids, without empty lines and comments.

    Args:
        path: File with one id per line.

    Returns:
        The ids, in order.

    Raises:
        NotFound: If the file does not exist.
        InvalidInput: If it is not UTF-8, or a quoted id is not a JSON string; the message names the line.
    """
    file = existing_file(path)
    ids = []
    for number, line in enumerate(read_text(file).replace("\r\n", "\n").split("\n"), 1):
        text = line.strip()
        if not text or text.startswith(_COMMENT):
            continue
        if text.startswith(_QUOTE):
            try:
                text = json.loads(text)
            except ValueError as error:
                raise InvalidInput(
                    f"{file}, line {number} begins with a quote but is not a JSON string: {error}"
                ) from error
        ids.append(str(text))
    return ids


def unknown_note(exclude: str | Path | Sequence[str], unknown: Sequence[str], *, known_id: str) -> str:
    """Return a warning about ids to leave out that do not exist; "" if all exist.

    Args:
        exclude: What the user passed.
        unknown: Ids that do not exist.
        known_id: An id that exists, to show what ids look like.
    """
    if not unknown:
        return ""
    where = f" of {exclude}" if isinstance(exclude, str | Path) else ""
    example = f" Its ids look like {known_id!r}." if known_id else ""
    return f"exclude: {len(unknown)} ids{where} are not in the source: {check.listing(unknown, limit=3)}.{example}"


def _line(example_id: str) -> str:
    is_plain = example_id == example_id.strip() and not example_id.startswith((_COMMENT, _QUOTE))
    return example_id if is_plain and example_id and not set(example_id) & {"\n", "\r"} else json.dumps(example_id)
