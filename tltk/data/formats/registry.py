"""The registry of file formats that `tltk.from_file` and the command line can read."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
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
        recognizes: Path of a file with one of the suffixes, or of a folder → whether it has this format. None means
            that every file with a suffix has it, unless another format recognizes it, and that no folder has.
        needs: Keyword options of `read`, such as "masks", which select this format if they are given.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[..., Source]
    has_columns: bool = False
    recognizes: Callable[[Path], bool] | None = None
    needs: tuple[str, ...] = ()

    def takes(self, option: str) -> bool:
        """Tell whether `read` has a keyword option."""
        return option in inspect.signature(self.read).parameters


FORMATS: Registry[Format] = Registry(
    "file format",
    "tltk.register_format(name, read, suffixes=…)",
    builtins=(
        "tltk.data.formats.tables",
        "tltk.data.formats.conll",
        "tltk.data.formats.squad",
        "tltk.data.formats.coco",
        "tltk.data.formats.voc",
        "tltk.data.formats.yolo",
        "tltk.data.formats.masks",
    ),
)


def register_format(
    name: str,
    read: Callable[..., Source],
    *,
    suffixes: Sequence[str],
    has_columns: bool = False,
    recognizes: Callable[[Path], bool] | None = None,
    needs: Sequence[str] = (),
) -> None:
    """Register a file format, so that `tltk.from_file` and the command line can read it.

    Args:
        name: Name of the format.
        read: Path and keyword options → source.
        suffixes: File suffixes, such as (".parquet",); none for a format of folders.
        has_columns: Whether `read` takes `input`, `label`, `labels`, `label_type` and `modality`, as `from_csv` does.
        recognizes: Path → whether it has this format, for formats that share a suffix, and for folders; it must not
            read much. None means that every file with a suffix has it, and no folder.
        needs: Keyword options of `read`, such as "masks", which select this format if they are given.

    Raises:
        InvalidInput: If a suffix has no dot or belongs to another format without `recognizes`, or the name is taken.
    """
    problems = check.Problems()
    others = [other for other in FORMATS.registered() if other.name != name and other.recognizes is None]
    taken = {suffix: file_format.name for file_format in others for suffix in file_format.suffixes}
    for suffix in suffixes:
        if not suffix.startswith(".") or suffix != suffix.lower():
            problems.add(f"`suffixes` must start with a dot and be in lower case. Received: {suffix!r}")
        if suffix in taken and recognizes is None:
            problems.add(f"{suffix!r} already belongs to the format {taken[suffix]!r}")
    problems.raise_if_any()
    file_format = Format(name, tuple(suffixes), read, has_columns, recognizes, tuple(needs))
    FORMATS.register(name, file_format, definition=read)


def format_of(path: str | Path, *, options: Sequence[str] = ()) -> Format | None:
    """Return the format of a file or folder; None if no format matches.

    Args:
        path: An existing file, a folder, or a name.
        options: Options that were given; a format that needs some of them, and no others, comes first.

    Returns:
        The format selected by an option, that recognizes the path, or that is registered for its suffix.
    """
    path = Path(path)
    # Installed packages are imported only if no registered format matches.
    return _matching(FORMATS.registered(), path, options) or _matching(FORMATS.values(), path, options)


def _matching(formats: Sequence[Format], path: Path, options: Sequence[str]) -> Format | None:
    suffix, is_folder, exists = path.suffix.lower(), path.is_dir(), path.exists()
    by_option = [entry for entry in formats if entry.needs and set(entry.needs) <= set(options)]
    candidates = [entry for entry in formats if not entry.needs and (is_folder or suffix in entry.suffixes)]
    recognized = (entry for entry in candidates if entry.recognizes and exists and entry.recognizes(path))
    by_suffix = (entry for entry in candidates if entry.recognizes is None and not is_folder)
    return next(chain(by_option, recognized, by_suffix), None)


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
        suffixes = check.listing((suffix for entry in FORMATS.values() for suffix in entry.suffixes), limit=40)
        raise InvalidInput(
            f"{path}: no format is registered for the suffix {path.suffix!r}. Known suffixes: {suffixes}. Register "
            f"your own format with {FORMATS.how_to_register}, or use tltk.from_folder for a folder of images."
        )
    _check_options(file_format, path, options)
    return file_format.read(path, **options)


def _check_options(file_format: Format, path: Path, options: dict[str, Any]) -> None:
    """Raise InvalidType if columns are named for a file whose format has none."""
    columns = [name for name in ("input", "label", "label_type", "modality") if name in options]
    parameters = inspect.signature(file_format.read).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    unknown = [name for name in columns if name not in parameters]
    if unknown and not takes_all:
        raise InvalidType(
            f"{path} is read in the format {file_format.name!r} by its name, and that has no columns. Received: "
            f"{check.listing(f'`{name}`' for name in unknown)}. Use tltk.from_jsonl for JSON lines or a JSON list of "
            "objects, and tltk.from_csv for a table in a file of another name."
        )
