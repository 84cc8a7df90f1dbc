"""Reading of text files, with errors that name similar files and lines that are not UTF-8."""

import codecs
from pathlib import Path

from tltk.foundation import checks as check
from tltk.foundation.errors import FileError, InvalidInput, NotFound
from tltk.foundation.paths import local_path


def existing_file(file: str | Path) -> Path:
    """Return the path of an existing file.

    Raises:
        NotFound: If it does not exist; the message suggests a similar name in the same folder.
        FileError: If it is a folder.
    """
    path = local_path(file)
    if not path.exists():
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise NotFound(f"{path} does not exist.{check.did_you_mean(path.name, siblings)}")
    if path.is_dir():
        raise FileError(f"{path} is a folder, not a file. Use tltk.from_folder for images in folders.")
    return path


def read_text(path: Path) -> str:
    """Read a file in UTF-8, with or without a byte order mark, or in UTF-16 with one.

    Raises:
        InvalidInput: If the file has another encoding; the message names the line.
    """
    data = path.read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{path} begins like UTF-16 and is not. Save the file as UTF-8.") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        content = error.object  # without the byte order mark, like the offset `error.start`
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidInput(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8. Save the file as UTF-8."
        ) from error
