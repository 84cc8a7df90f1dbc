"""The registry of file formats that `tltk.from_file` and the command line can read."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tltk.data.formats.text_files import existing_file
from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput, InvalidType
from tltk.foundation.registry import Registry


@dataclass(frozen=True)
class Format:
    """A file format.

    Args:
        name: Name of the format, such as "csv".
        suffixes: File suffixes in lower case, with the dot.
        read: Path and keyword options → source.
        has_columns: Whether `read` takes `input`, `label`, `labels`, `label_type` and `modality`, as `from_csv` does.
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
    """Register a file format, so that `tltk.from_file` and the command line can read it.

    Args:
        name: Name of the format.
        read: Path and keyword options → source.
        suffixes: File suffixes, such as (".parquet",).
        has_columns: Whether `read` takes `input`, `label`, `labels`, `label_type` and `modality`, as `from_csv` does.

    Raises:
        InvalidInput: If a suffix has no dot or belongs to another format, or the name is taken.
    """
    problems = check.Problems()
    others = [file_format for file_format in FORMATS.registered() if file_format.name != name]
    taken = {suffix: file_format.name for file_format in others for suffix in file_format.suffixes}
    for suffix in suffixes:
        if not suffix.startswith(".") or suffix != suffix.lower():
            problems.add(f"`suffixes` must start with a dot and be in lower case. Received: {suffix!r}")
        if suffix in taken:
            problems.add(f"{suffix!r} already belongs to the format {taken[suffix]!r}")
    problems.raise_if_any()
    FORMATS.register(name, Format(name, tuple(suffixes), read, has_columns), definition=read)


def format_of(path: str | Path) -> Format | None:
    """Return the format registered for the suffix of a file; None if there is none."""
    suffix = Path(path).suffix.lower()
    return next((file_format for file_format in FORMATS.search() if suffix in file_format.suffixes), None)


def from_file(path: str | Path, **options: Any) -> Source:
    """Read a file of examples in the format registered for its suffix.

    Args:
        path: File, such as "photos.csv", "news.conll" or "train-v2.0.json".
        **options: Keyword arguments of the reader: `from_csv`, `from_jsonl`, `from_conll`, `from_squad` or your own.

    Returns:
        The source.

    Raises:
        NotFound: If the file does not exist.
        InvalidInput: If no format is registered for the suffix; the message lists the known ones.
        InvalidType: If the reader does not take an option.
    """
    path = existing_file(path)
    file_format = format_of(path)
    if file_format is None:
        suffixes = check.listing((suffix for known in FORMATS.values() for suffix in known.suffixes), limit=40)
        raise InvalidInput(
            f"{path}: no format is registered for the suffix {path.suffix!r}. Known suffixes: {suffixes}. Register "
            f"your own format with {FORMATS.how_to_register}, or use tltk.from_folder for a folder of images."
        )
    _check_options(file_format, path, options)
    return file_format.read(path, **options)


def _check_options(file_format: Format, path: Path, options: dict[str, Any]) -> None:
    """Raise InvalidType if columns are named for a file whose format has none."""
    columns = [name for name in ("input", "label", "label_type", "modality") if name in options]
    known = inspect.signature(file_format.read).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    unknown = [name for name in columns if name not in known]
    if unknown and not takes_all:
        raise InvalidType(
            f"{path} is read in the format {file_format.name!r} by its name, and that has no columns. Received: "
            f"{check.listing(f'`{name}`' for name in unknown)}. Use tltk.from_jsonl for JSON lines or a JSON list of "
            "objects, and tltk.from_csv for a table in a file of another name."
        )
