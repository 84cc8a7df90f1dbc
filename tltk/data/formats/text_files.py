"""Text files of a user's: found, or said what stands near; UTF-8, or said in which line not."""

from pathlib import Path

from tltk.foundation import checks as check


def existing(file: str | Path) -> Path:
    """Return the path of a file that is there.

    Raises:
        FileNotFoundError: with the name of a file beside it that is nearly the same.
        IsADirectoryError: if it is a folder.
    """
    path = Path(file)
    if not path.exists():
        near = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise FileNotFoundError(f"{path} does not exist.{check.did_you_mean(path.name, near)}")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; for pictures in folders there is from_folder.")
    return path


def read_text(path: Path) -> str:
    """Read a file of UTF-8, with or without a byte order mark.

    Raises:
        ValueError: naming the line that is none.
    """
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        held = error.object  # without the byte order mark, as `start` counts
        line = held.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}, line {line}: byte 0x{held[error.start]:02x} is not UTF-8. Save the file as UTF-8."
        ) from error
