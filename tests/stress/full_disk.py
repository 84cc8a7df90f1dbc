"""A disk that fills up: a small filesystem of its own, for tests of what is left behind when there is no space.

`small_disk` needs root, because it mounts a tmpfs; tests that cannot have one are skipped with the reason.

    with small_disk(megabytes=4) as disk:
        save(disk / "old")
        before = contents(disk)
        fill(disk, leave=100_000)
        with pytest.raises(FileError, match="no space left"):
            save(disk / "old")
        remove_filler(disk)
        assert contents(disk) == before
"""

import contextlib
import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest

_FILLER = "filler.bin"
_Usage = namedtuple("_Usage", "total used free")


@contextlib.contextmanager
def small_disk(*, megabytes: float) -> Iterator[Path]:
    """Mount a small filesystem, and remove it at the end; skip the test where that is not possible.

    Args:
        megabytes: Its size.

    Yields:
        Its folder, which is empty.
    """
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("a small filesystem can only be mounted by root on Linux")
    folder = tempfile.mkdtemp(prefix="tltk-small-disk-")
    command = ["mount", "-t", "tmpfs", "-o", f"size={int(megabytes * 1024)}k", "tmpfs", folder]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        Path(folder).rmdir()
        pytest.skip(f"no small filesystem can be mounted here: {mounted.stderr.strip()}")
    try:
        yield Path(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        Path(folder).rmdir()


def fill(disk: Path, *, leave: int = 0) -> None:
    """Fill a disk with a file, up to `leave` free bytes (rounded to pages)."""
    with (disk / _FILLER).open("ab", buffering=0) as file:
        while (free := shutil.disk_usage(disk).free) > leave:
            try:
                file.write(bytes(min(free - leave, 2**20)))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                return


def remove_filler(disk: Path) -> None:
    """Remove the file of `fill`."""
    (disk / _FILLER).unlink()


def contents(folder: Path) -> dict[str, str]:
    """Return the path, below a folder, and SHA-256 of every file but that of `fill`."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != _FILLER
    }


def promise_space(patch: pytest.MonkeyPatch) -> None:
    """Let every check of free space pass, so that a write fails in the middle."""
    patch.setattr(shutil, "disk_usage", lambda _: _Usage(2**50, 0, 2**50))
