"""File formats by the ending of a name: what `tltk.from_file` and the command line read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tltk.data.formats.text_files import existing
from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation.registry import Registry


@dataclass(frozen=True)
class Format:
    """One file format.

    Args:
        name: such as "csv".
        suffixes: endings of its files, with the dot, in lower case.
        read: path and keyword options → source.
        has_columns: whether `read` takes `input`, `label`, `labels`, `label_type` and `modality`, as `from_csv` does.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[..., Source]
    has_columns: bool = False


FORMATS: Registry[Format] = Registry(
    "file format",
    "tltk.register_format(name, read, suffixes=…)",
    builtins=("tltk.data.formats.tables", "tltk.data.formats.conll", "tltk.data.formats.squad"),
)


def register_format(
    name: str, read: Callable[..., Source], *, suffixes: Sequence[str], has_columns: bool = False
) -> None:
    """Add a file format, so that `tltk.from_file` and the command line read it.

    Args:
        name: of the format.
        read: path and keyword options → source.
        suffixes: endings of its files, such as (".parquet",).
        has_columns: whether `read` takes `input`, `label`, `labels`, `label_type` and `modality`, as `from_csv` does.

    Raises:
        ValueError: if a suffix has no dot or belongs to another format, or the name is taken.
    """
    problems = check.Problems()
    taken = {suffix: each.name for each in FORMATS.values() for suffix in each.suffixes if each.name != name}
    for suffix in suffixes:
        if not suffix.startswith(".") or suffix != suffix.lower():
            problems.add(f"`suffixes` must begin with a dot and be in lower case. Received: {suffix!r}")
        if suffix in taken:
            problems.add(f"{suffix!r} belongs to the format {taken[suffix]!r}")
    problems.raise_if_any()
    FORMATS.register(name, Format(name, tuple(suffixes), read, has_columns))


def format_of(path: str | Path) -> Format | None:
    """Return the format of a file by the ending of its name; None if nobody has registered one."""
    suffix = Path(path).suffix.lower()
    return next((each for each in FORMATS.values() if suffix in each.suffixes), None)


def from_file(path: str | Path, **options: Any) -> Source:
    """Read a file of examples in the format that the ending of its name says.

    Args:
        path: such as "photos.csv", "news.conll" or "train-v2.0.json".
        **options: of the reader of that format, see `from_csv`, `from_jsonl`, `from_conll`, `from_squad`.

    Returns:
        The source.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for an unknown ending, with the known ones and how to register a format.
        TypeError: for an option that the format's reader does not take.
    """
    path = existing(path)
    file_format = format_of(path)
    if file_format is None:
        known = check.listing((suffix for each in FORMATS.values() for suffix in each.suffixes), limit=40)
        raise ValueError(
            f"{path} ends in {path.suffix!r}, which no format has. Known endings: {known}. Register a format of your "
            f"own with {FORMATS.how_to_register}; a folder is read by tltk.from_folder."
        )
    return file_format.read(path, **options)
