"""Reading of text files, with errors that name similar files and lines that are not UTF-8."""

import codecs
from pathlib import Path

from tltk.foundation import checks as check
from tltk.foundation.errors import FileError, InvalidInput, NotFound
from tltk.foundation.paths import local_path

# First bytes of files that are not text → what to do.
_BINARY = {
    b"\x1f\x8b": "is compressed (gzip). Unpack it.",
    b"BZh": "is compressed (bzip2). Unpack it.",
    b"\xfd7zXZ": "is compressed (xz). Unpack it.",
    b"\x28\xb5\x2f\xfd": "is compressed (Zstandard). Unpack it.",
    b"PK\x03\x04": "is a ZIP file or an Excel workbook. Unpack it, or save the sheet as CSV.",
    b"\xd0\xcf\x11\xe0": "is an Excel workbook. Save the sheet as CSV.",
    b"PAR1": "is a Parquet file. Write it as CSV or JSON lines, such as pandas.read_parquet(file).to_csv(…).",
    b"%PDF": "is a PDF. Extract its text.",
}


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
        InvalidInput: If the file has another encoding (the message names the line), is compressed or is a workbook.
    """
    data = path.read_bytes()
    binary = next((advice for signature, advice in _BINARY.items() if data.startswith(signature)), "")
    if binary:
        raise InvalidInput(f"{path} {binary}")
    if data[1:4:2] == b"\0\0" or data[:4:2] == b"\0\0":
        raise InvalidInput(f"{path} seems to be UTF-16 without a byte order mark. Save it as UTF-8.")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{path} begins like UTF-16 but cannot be decoded. Save the file as UTF-8.") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        content = error.object  # without the byte order mark, like the offset `error.start`
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidInput(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8. Save the file as UTF-8."
        ) from error
