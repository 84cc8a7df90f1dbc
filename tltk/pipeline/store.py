"""Records of equal size, in memory or in one file: filled once, resumed after a crash, shared between processes."""

import errno
import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from tltk.foundation import files
from tltk.foundation.hardware import free_memory

log = logging.getLogger("tltk")

_MEMORY_SHARE = 0.8  # of what is free: the model needs some too
_FLUSH_SECONDS = 5.0  # the work that a killed fill loses at most

Values = tuple[np.ndarray, ...]
Write = Callable[[np.ndarray, Values, dict[int, str]], None]
Fill = Callable[[np.ndarray, Write], None]


@dataclass(frozen=True)
class Layout:
    """What one record holds: tensors of fixed shapes, one after the other.

    Args:
        shapes: of each tensor, without the batch.
        dtypes: of each tensor, a NumPy name or "bfloat16".
    """

    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]

    @property
    def numpy_dtypes(self) -> tuple[np.dtype, ...]:
        """The dtypes as NumPy knows them; ml_dtypes brings bfloat16."""
        return tuple(_dtype(name) for name in self.dtypes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Bytes of each tensor."""
        pairs = zip(self.shapes, self.numpy_dtypes, strict=True)
        return tuple(int(np.prod(shape)) * dtype.itemsize for shape, dtype in pairs)

    @property
    def record_bytes(self) -> int:
        """Bytes of one record."""
        return sum(self.sizes)

    def describe(self) -> str:
        """Say what a record is in a few words, such as "1280 float32"."""
        pairs = zip(self.shapes, self.dtypes, strict=True)
        return " + ".join(f"{'×'.join(map(str, shape)) or '1'} {dtype}" for shape, dtype in pairs)


@dataclass(frozen=True, eq=False)
class Records:
    """A filled store.

    Args:
        layout: what one record holds.
        count: records in all, the invalid ones counted in.
        invalid: record number → why there is nothing at its place.
        place: the tensors, each [count, ...], or the path of the file.
    """

    layout: Layout
    count: int
    invalid: dict[int, str]
    place: Values | Path

    def read(self, rows: np.ndarray) -> Values:
        """Read records, in any order, from any thread.

        Args:
            rows: int64 [k], none of them invalid.

        Returns:
            One array [k, ...] for each tensor.
        """
        if isinstance(self.place, tuple):
            return tuple(tensor[rows] for tensor in self.place)
        size = self.layout.record_bytes
        raw = np.empty((len(rows), size), np.uint8)
        with open(self.place, "rb", buffering=0) as store:  # noqa: PTH123
            # Read, not mapped: mapped pages count as this process's memory, and grow with the data.
            for index, row in enumerate(rows):
                store.seek(int(row) * size)
                store.readinto(memoryview(raw[index]))
        return _split(raw, self.layout)


def in_memory(layout: Layout, count: int, fill: Fill, *, what: str) -> Records:
    """Fill a store in memory.

    Args:
        layout: what one record holds.
        count: how many.
        fill: takes the numbers that are missing and `write(rows, values, invalid)`; calls it until all are there.
        what: noun for messages, such as "decoded pictures".

    Returns:
        The records.

    Raises:
        MemoryError: if they do not fit into the memory that is free; both sizes are named.
    """
    needed, free = count * layout.record_bytes, free_memory()
    if needed > free * _MEMORY_SHARE:
        raise MemoryError(
            f'cache="memory" needs {needed / 1e9:.2f} GB for {count:,} {what} ({layout.describe()}); '
            f'{free / 1e9:.2f} GB are free. Pass cache="disk", a folder, or smaller pictures.'
        )
    pairs = zip(layout.shapes, layout.numpy_dtypes, strict=True)
    tensors = tuple(np.empty((count, *shape), dtype) for shape, dtype in pairs)
    known: dict[int, str] = {}

    def write(rows: np.ndarray, values: Values, invalid: dict[int, str]) -> None:
        if len(rows):
            for tensor, value in zip(tensors, values, strict=True):
                tensor[rows] = value
        known.update(invalid)

    fill(np.arange(count), write)
    return Records(layout, count, known, tensors)


def on_disk(store: Path, layout: Layout, count: int, fill: Fill, *, what: str) -> Records:
    """Fill a store on disk, or go on where a killed process stopped, or take what is there.

    A second process that wants the same store waits for the first one, and then reads what it wrote.

    Args:
        store: folder of this store alone; its name says all that its content depends on.
        layout: what one record holds.
        count: how many.
        fill: see `in_memory`.
        what: noun for messages.

    Returns:
        The records.

    Raises:
        OSError: if the disk has no room (both sizes are named), fills up, or cannot be written.
    """
    found = _complete(store, layout, count)
    if found is not None:
        return found
    files.make_folder(store)
    with _locked(store, what):
        found = _complete(store, layout, count)
        if found is None:
            found = _filled(store, layout, count, fill, what)
    return found


class _Progress:
    """The file of a store that is being filled, and which records are in it."""

    def __init__(self, store: Path, layout: Layout, count: int) -> None:
        self.data, self.marks = store / "records.bin", store / "done.json"
        self.layout = layout
        self.done = np.zeros(count, bool)
        self.invalid: dict[int, str] = {}
        whole = self.data.exists() and self.data.stat().st_size == count * layout.record_bytes
        if whole and self.marks.exists():  # a file that was cut would be read as zeros
            marks = json.loads(self.marks.read_text())
            packed = np.frombuffer(bytes.fromhex(marks["done"]), np.uint8)
            self.done = np.unpackbits(packed, count=count).astype(bool)
            self.invalid = {int(row): reason for row, reason in marks["invalid"].items()}
        self.file = self.data.open("r+b" if self.data.exists() else "w+b")
        self.file.truncate(count * layout.record_bytes)
        self.flushed = time.monotonic()

    def write(self, rows: np.ndarray, values: Values, invalid: dict[int, str]) -> None:
        if len(rows):
            raw = _joined(values, self.layout)
            for start, stop in _runs(rows):
                self.file.seek(int(rows[start]) * self.layout.record_bytes)
                self.file.write(raw[start:stop].data)
        self.done[rows] = True
        self.done[list(invalid)] = True
        self.invalid.update(invalid)
        if time.monotonic() - self.flushed > _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Bring the records to disk first, then the note that they are there."""
        self.file.flush()
        os.fsync(self.file.fileno())
        files.write_json(self.marks, {"done": np.packbits(self.done).tobytes().hex(), "invalid": self.invalid})
        self.flushed = time.monotonic()


def _filled(store: Path, layout: Layout, count: int, fill: Fill, what: str) -> Records:
    (store / "index.json").unlink(missing_ok=True)  # of a file that was cut: until all is there, nothing is
    progress = _Progress(store, layout, count)
    with progress.file:
        missing = np.flatnonzero(~progress.done)
        files.make_folder(store, needs=len(missing) * layout.record_bytes)
        if 0 < len(missing) < count:
            log.info("%s: going on with the %d of %d that are missing", what, len(missing), count)
        _fill(store, progress, missing, fill, what)
    files.write_json(store / "index.json", {**asdict(layout), "count": count, "invalid": progress.invalid})
    progress.marks.unlink()
    return Records(layout, count, progress.invalid, progress.data)


def _fill(store: Path, progress: _Progress, missing: np.ndarray, fill: Fill, what: str) -> None:
    try:
        try:
            fill(missing, progress.write)
        finally:
            progress.flush()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        for part in (progress.data, progress.marks):  # half a store on a full disk helps nobody
            part.unlink(missing_ok=True)  # the lock stays: somebody may wait for it
        raise OSError(error.errno, f"cannot keep {what}: {error.strerror}", str(store)) from error


def _complete(store: Path, layout: Layout, count: int) -> Records | None:
    """Return the records of a finished store; None if it is not there, not finished, or its file was cut."""
    index, data = store / "index.json", store / "records.bin"
    if not index.exists() or not data.exists() or data.stat().st_size != count * layout.record_bytes:
        return None
    invalid = json.loads(index.read_text())["invalid"]
    return Records(layout, count, {int(row): reason for row, reason in invalid.items()}, data)


def _locked(store: Path, what: str) -> AbstractContextManager:
    lock = FileLock(store / "lock")
    try:
        return lock.acquire(timeout=0.1)
    except Timeout:
        log.info("%s: another process is writing them; waiting for it", what)
        return lock.acquire()


def _runs(rows: np.ndarray) -> list[tuple[int, int]]:
    """Cut row numbers into runs of consecutive ones: (first, one past the last) places."""
    cuts = np.flatnonzero(np.diff(rows) != 1) + 1
    edges = [0, *cuts.tolist(), len(rows)]
    return list(pairwise(edges))


def _joined(values: Values, layout: Layout) -> np.ndarray:
    parts = [
        np.ascontiguousarray(value, dtype).reshape(len(value), -1).view(np.uint8)
        for value, dtype in zip(values, layout.numpy_dtypes, strict=True)
    ]
    return np.ascontiguousarray(np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0])


def _split(raw: np.ndarray, layout: Layout) -> Values:
    found, start = [], 0
    for shape, dtype, size in zip(layout.shapes, layout.numpy_dtypes, layout.sizes, strict=True):
        part = np.ascontiguousarray(raw[:, start : start + size])
        found.append(part.view(dtype).reshape(len(raw), *shape))
        start += size
    return tuple(found)


def _dtype(name: str) -> Any:
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)
