"""Writing that leaves either the old file or the new one, never half of one."""

import csv
import errno
import io
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_LOCK = "in-use"  # held inside a temporary folder for as long as its process lives


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file beside its place, flush it to disk, then rename it there.

    Args:
        path: where it shall be; its folder exists.
        write: takes the temporary path, whose ending is that of `path`.

    Raises:
        OSError: naming the path, if the disk is full or cannot be written; the old file is untouched.
    """
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        write(temporary)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        raise _explained(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))


def write_json(path: Path, value: Any) -> None:
    """Write plain JSON values, readable and atomically; numbers of NumPy become plain ones."""
    write_text(path, json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")


def write_csv(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as CSV, atomically; the columns are the keys of all rows in order of appearance."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def plain(value: Any) -> Any:
    """Turn NumPy numbers and arrays, tuples and paths into plain JSON values; what is no number becomes null."""
    import numpy as np  # here, so that `tltk --help` does not wait for it

    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def make_folder(folder: Path, *, needs: int = 0) -> Path:
    """Make a folder and check that a number of bytes fits on its disk.

    Args:
        folder: made with its parents if it does not exist.
        needs: bytes that will be written there.

    Returns:
        The folder.

    Raises:
        OSError: if it cannot be made, is a file, or has less space than `needs`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _explained(error, folder) from error
    free = shutil.disk_usage(folder).free
    if free < needs:
        raise OSError(
            errno.ENOSPC,
            f"no space left: {needs / 1e6:,.0f} MB are needed and {free / 1e6:,.0f} MB are free",
            str(folder),
        )
    return folder


@contextmanager
def temporary_folder(folder: Path, prefix: str) -> Iterator[Path]:
    """Make a temporary folder, gone at the end; after a kill, the next one of the same prefix clears it away.

    Args:
        folder: that it stands in, so that what is made there can be renamed into place.
        prefix: of its name, of one purpose.

    Yields:
        The folder.
    """
    from filelock import FileLock  # here, so that `tltk --help` does not wait for it

    clear_abandoned(folder, prefix)
    try:
        made = Path(tempfile.mkdtemp(dir=folder, prefix=f".new{prefix}"))
    except OSError as error:
        raise _explained(error, folder) from error
    with FileLock(made / _LOCK):  # held before it has the name by which others look for what was left
        made = made.rename(folder / made.name.removeprefix(".new"))
        try:
            yield made
        finally:
            shutil.rmtree(made)


def clear_abandoned(folder: Path, prefix: str) -> None:
    """Remove the temporary folders of processes that were killed; a lock tells those that live."""
    from filelock import FileLock, Timeout

    for lock in folder.glob(f"{prefix}*/{_LOCK}"):
        try:
            with FileLock(lock, timeout=0):
                shutil.rmtree(lock.parent)
        except (Timeout, OSError):  # in use, or of somebody else who may write there and we may not
            continue


def flush(*paths: Path) -> None:
    """Flush files, and folders' own tables of names, to disk: a rename after it never names what is not there yet."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _explained(error: OSError, path: Path) -> OSError:
    if error.errno == errno.ENOSPC:
        return OSError(errno.ENOSPC, "no space left; free some, or choose another folder", str(path))
    return OSError(error.errno, f"cannot write: {error.strerror or error}", str(path))
