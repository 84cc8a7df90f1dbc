"""Atomic writes: after a crash, a file is either the old one or the new one, never half-written."""

import csv
import errno
import io
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tltk.foundation.errors import FileError, InvalidInput

LOCK = "in-use"  # file in a temporary folder, locked as long as the process that made the folder is running


def write_atomically(
    path: Path, write: Callable[[Path], Any], *, final_path: Callable[[Path], Path] | None = None
) -> None:
    """Write a temporary file beside `path`, flush it to disk, then rename it to `path`.

    Args:
        path: Path of the file; its folder must exist.
        write: Function that writes to the temporary path, which has the suffix of `path`.
        final_path: Returns the path to rename it to, given the written file, if it depends on the contents.

    Raises:
        FileError: If the disk is full or not writable; the old file is unchanged.
    """
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(final_path(temporary) if final_path else path)
    except OSError as error:
        raise _with_path(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, atomically; lone surrogates, which UTF-8 cannot encode, become text such as "\\ud83d"."""
    options = {"encoding": "utf-8", "errors": "backslashreplace", "newline": "\n"}
    write_atomically(path, lambda temporary: temporary.write_text(text, **options))


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically; see `as_json_values` for what is converted."""
    write_text(path, json.dumps(as_json_values(value), indent=2, ensure_ascii=False) + "\n")


def write_csv(path: Path, rows: Iterable[dict[str, Any]], *, delimiter: str = ",", columns: Iterable[str] = ()) -> None:
    """Write rows as CSV, atomically.

    Args:
        path: Path of the file.
        rows: Column name → value; the columns are the keys of all rows, in order of appearance.
        delimiter: Character between two cells.
        columns: Columns that come first, whether or not a row has them.
    """
    rows = list(rows)
    names = list(dict.fromkeys((*columns, *(key for row in rows for key in row))))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n", delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV file that `write_csv` has written; none if there is no such file.

    Raises:
        InvalidInput: If the file is damaged: not UTF-8, or a row has more or fewer cells than there are columns.
    """
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows = list(reader)
    except (ValueError, csv.Error) as error:
        raise InvalidInput(f"{path} is damaged: {error}") from error
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise InvalidInput(f"{path} is damaged: row {number} does not have {len(reader.fieldnames or ())} cells")
    return rows


def as_json_values(value: Any) -> Any:
    """Convert NumPy values, tuples and paths to JSON values; NaN and infinities become null."""
    import numpy as np  # here, so that `tltk --help` does not wait for it

    if isinstance(value, dict):
        return {str(key): as_json_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json_values(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return as_json_values(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def make_folder(folder: Path, *, required_bytes: int = 0) -> Path:
    """Create a folder and check that its disk has enough free space.

    Args:
        folder: Created with its parents if it does not exist.
        required_bytes: Number of bytes that will be written there.

    Returns:
        The folder.

    Raises:
        FileError: If it cannot be created, is a file, or its disk has less free space than `required_bytes`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _with_path(error, folder) from error
    free = shutil.disk_usage(folder).free
    if free < required_bytes:
        raise FileError(
            errno.ENOSPC,
            f"no space left: {required_bytes / 1e6:,.0f} MB are needed and {free / 1e6:,.0f} MB are free",
            str(folder),
        )
    return folder


def make_generated_folder(folder: Path, *, pattern: str) -> Path:
    """Create a folder for generated files, and delete those of an earlier call.

    Args:
        folder: Created with its parents if it does not exist.
        pattern: Regular expression that the names of all entries match. Hidden files, such as `.DS_Store`, stay.

    Returns:
        The folder.

    Raises:
        FileError: If it cannot be created or emptied, or holds something else; nothing is deleted then.
    """
    make_folder(folder)
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    others = sorted(entry.name for entry in entries if not re.fullmatch(pattern, entry.name))
    if others:
        raise FileError(
            errno.ENOTEMPTY, f"holds files that were not generated, such as {others[0]}: choose another", str(folder)
        )
    try:
        for entry in entries:
            if not entry.is_dir():
                entry.unlink()
    except OSError as error:
        raise _with_path(error, folder) from error
    return folder


@contextmanager
def temporary_folder(folder: Path, prefix: str) -> Iterator[Path]:
    """Create a temporary folder that is removed at the end.

    If the process is killed, the next temporary folder with the same parent and prefix removes the old one.

    Args:
        folder: Parent folder; on the disk of the final place, so that results can be renamed.
        prefix: Start of its name; use one prefix per purpose.

    Yields:
        The folder.
    """
    from filelock import FileLock  # here, so that `tltk --help` does not wait for it

    clear_abandoned(folder, prefix)
    try:
        temporary = Path(tempfile.mkdtemp(dir=folder, prefix=f".new{prefix}"))
    except OSError as error:
        raise _with_path(error, folder) from error
    with FileLock(temporary / LOCK):  # locked before it gets the name that `clear_abandoned` looks for
        temporary = temporary.rename(folder / temporary.name.removeprefix(".new"))
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary)


def clear_abandoned(folder: Path, prefix: str) -> None:
    """Remove the temporary folders of processes that were killed; those of running processes are locked.

    Args:
        folder: Parent of the temporary folders.
        prefix: Prefix of their names.
    """
    from filelock import FileLock, Timeout

    for lock in folder.glob(f"{prefix}*/{LOCK}"):
        try:
            with FileLock(lock, timeout=0):
                shutil.rmtree(lock.parent)
        except (Timeout, OSError):  # still in use, or owned by a user whose files this process may not remove
            continue


def flush(*paths: Path) -> None:
    """Flush files and directory entries to disk.

    Call this before a rename, so that after a crash the new name never refers to missing data.
    """
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _with_path(error: OSError, path: Path) -> FileError:
    """Return the error with the path, and the way out."""
    if error.errno == errno.ENOSPC:
        return FileError(errno.ENOSPC, "no space left; free some, or choose another folder", str(path))
    reason = f"cannot write: {error.strerror or error}"
    file = next((one for one in (path, *path.parents) if os.path.lexists(one) and not one.is_dir()), None)
    if error.errno in (errno.EEXIST, errno.ENOTDIR) and file is not None:
        name = "it" if file == path else file
        reason = f"cannot write: {name} is a file, and a folder is needed. Choose another path"
    elif error.errno == errno.EISDIR:
        reason = "cannot write: it is a folder, and a file is needed. Choose another path"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        reason = f"{reason}. Choose a folder of your own"
    return FileError(error.errno, reason, str(path))
