"""Stores of fixed-size records in memory or in a file, which can be resumed after a crash and shared by processes."""

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
from tltk.foundation.errors import FileError, OutOfMemory
from tltk.foundation.hardware import free_memory

log = logging.getLogger("tltk")

_MEMORY_FRACTION = 0.8  # of the free memory; the rest is left to the model
_FLUSH_SECONDS = 5.0  # a killed process loses at most this much work

Values = tuple[np.ndarray, ...]
Write = Callable[[np.ndarray, Values, dict[int, str]], None]
Fill = Callable[[np.ndarray, Write], None]


@dataclass(frozen=True)
class Layout:
    """Contents of a record: tensors with fixed shapes, one after the other.

    Args:
        shapes: Shape of each tensor, without the batch axis.
        dtypes: Dtype of each tensor, a NumPy name or "bfloat16".
    """

    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]

    @property
    def numpy_dtypes(self) -> tuple[np.dtype, ...]:
        """NumPy dtypes of the tensors; bfloat16 comes from ml_dtypes."""
        return tuple(_dtype(name) for name in self.dtypes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Size of each tensor in bytes."""
        pairs = zip(self.shapes, self.numpy_dtypes, strict=True)
        return tuple(int(np.prod(shape)) * dtype.itemsize for shape, dtype in pairs)

    @property
    def record_bytes(self) -> int:
        """Size of a record in bytes."""
        return sum(self.sizes)

    def describe(self) -> str:
        """Return the contents of a record in a few words, such as "1280 float32"."""
        pairs = zip(self.shapes, self.dtypes, strict=True)
        return " + ".join(f"{'×'.join(map(str, shape)) or '1'} {dtype}" for shape, dtype in pairs)


@dataclass(frozen=True, eq=False)
class Records:
    """A filled store.

    Args:
        layout: Contents of a record.
        count: Number of records, including invalid ones.
        invalid: Index of a record → why it is missing.
        data: Tensors [count, …], or the path of the file.
    """

    layout: Layout
    count: int
    invalid: dict[int, str]
    data: Values | Path

    def read(self, rows: np.ndarray) -> Values:
        """Read records, in any order, from any thread.

        Args:
            rows: Indices of records, int64 [k]; none may be invalid.

        Returns:
            One array [k, …] per tensor.
        """
        if isinstance(self.data, tuple):
            return tuple(tensor[rows] for tensor in self.data)
        size = self.layout.record_bytes
        raw = np.empty((len(rows), size), np.uint8)
        with open(self.data, "rb", buffering=0) as file:  # noqa: PTH123
            # The file is not memory-mapped: mapped pages would count as memory of this process.
            for index, row in enumerate(rows):
                file.seek(int(row) * size)
                file.readinto(memoryview(raw[index]))
        return _from_bytes(raw, self.layout)


def in_memory(layout: Layout, count: int, fill: Fill, *, noun: str) -> Records:
    """Fill a store in memory.

    Args:
        layout: Contents of a record.
        count: Number of records.
        fill: Function of the missing indices, int64 [k], and of `write(rows, values, invalid)`, which it calls until
            every index is in `rows` or `invalid`.
        noun: Plural noun for messages, such as "decoded examples".

    Returns:
        The records.

    Raises:
        OutOfMemory: If they exceed the free memory; the message has both sizes.
    """
    needed, free = count * layout.record_bytes, free_memory()
    if needed > free * _MEMORY_FRACTION:
        raise OutOfMemory(
            f'cache="memory" needs {needed / 1e9:.2f} GB for {count:,} {noun} ({layout.describe()}); '
            f'{free / 1e9:.2f} GB are free. Pass cache="disk", a folder, or smaller images.'
        )
    pairs = zip(layout.shapes, layout.numpy_dtypes, strict=True)
    tensors = tuple(np.empty((count, *shape), dtype) for shape, dtype in pairs)
    all_invalid: dict[int, str] = {}

    def write(rows: np.ndarray, values: Values, invalid: dict[int, str]) -> None:
        if len(rows):
            for tensor, value in zip(tensors, values, strict=True):
                tensor[rows] = value
        all_invalid.update(invalid)

    fill(np.arange(count), write)
    return Records(layout, count, all_invalid, tensors)


def on_disk(store: Path, layout: Layout, count: int, fill: Fill, *, noun: str) -> Records:
    """Open a finished store on disk, or fill it; a fill that was killed is resumed.

    A second process that needs the same store waits until the first one has filled it.

    Args:
        store: Folder of this store only; its name must identify everything the contents depend on.
        layout: Contents of a record.
        count: Number of records.
        fill: See `in_memory`.
        noun: Plural noun for messages.

    Returns:
        The records.

    Raises:
        FileError: If the disk has too little free space (the message has both sizes), fills up, or is not writable.
    """
    records = _open_finished(store, layout, count)
    if records is not None:
        return records
    files.make_folder(store)
    with _locked(store, noun):
        records = _open_finished(store, layout, count)  # another process may have filled it in the meantime
        if records is None:
            records = _fill_store(store, layout, count, fill, noun)
    return records


class _Progress:
    """The file of a store that is being filled, and the records that are already written."""

    def __init__(self, store: Path, layout: Layout, count: int) -> None:
        self.data, self.marks = store / "records.bin", store / "done.json"
        self.layout = layout
        self.done = np.zeros(count, bool)
        self.invalid: dict[int, str] = {}
        is_complete = self.data.exists() and self.data.stat().st_size == count * layout.record_bytes
        if is_complete and self.marks.exists():  # the records of a truncated file would be read as zeros
            marks = json.loads(self.marks.read_text())
            packed = np.frombuffer(bytes.fromhex(marks["done"]), np.uint8)
            self.done = np.unpackbits(packed, count=count).astype(bool)
            self.invalid = {int(row): reason for row, reason in marks["invalid"].items()}
        self.file = self.data.open("r+b" if self.data.exists() else "w+b")
        self.file.truncate(count * layout.record_bytes)
        self.flushed_at = time.monotonic()

    def write(self, rows: np.ndarray, values: Values, invalid: dict[int, str]) -> None:
        if len(rows):
            raw = _to_bytes(values, self.layout)
            for start, end in _consecutive_runs(rows):
                self.file.seek(int(rows[start]) * self.layout.record_bytes)
                self.file.write(raw[start:end].data)
        self.done[rows] = True
        self.done[list(invalid)] = True
        self.invalid.update(invalid)
        if time.monotonic() - self.flushed_at > _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Flush the records to disk, and only then mark them as written."""
        self.file.flush()
        os.fsync(self.file.fileno())
        files.write_json(self.marks, {"done": np.packbits(self.done).tobytes().hex(), "invalid": self.invalid})
        self.flushed_at = time.monotonic()


def _fill_store(store: Path, layout: Layout, count: int, fill: Fill, noun: str) -> Records:
    (store / "index.json").unlink(missing_ok=True)  # left from a truncated file; written again when all records are
    progress = _Progress(store, layout, count)
    with progress.file:
        missing = np.flatnonzero(~progress.done)
        files.make_folder(store, required_bytes=len(missing) * layout.record_bytes)
        if 0 < len(missing) < count:
            log.info("%s: resuming; %d of %d are missing", noun, len(missing), count)
        _write_missing(store, progress, missing, fill, noun)
    files.write_json(store / "index.json", {**asdict(layout), "count": count, "invalid": progress.invalid})
    progress.marks.unlink()
    return Records(layout, count, progress.invalid, progress.data)


def _write_missing(store: Path, progress: _Progress, missing: np.ndarray, fill: Fill, noun: str) -> None:
    """Call `fill`; on a full disk, delete the written part, since a partial store is useless."""
    try:
        try:
            fill(missing, progress.write)
        finally:
            progress.flush()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        for path in (progress.data, progress.marks):
            path.unlink(missing_ok=True)  # not the lock file: another process may be waiting for it
        raise FileError(error.errno, f"cannot store {noun}: {error.strerror}", str(store)) from error


def _open_finished(store: Path, layout: Layout, count: int) -> Records | None:
    """Return the records of a finished store; None if it is missing, unfinished or truncated."""
    index, data = store / "index.json", store / "records.bin"
    if not index.exists() or not data.exists() or data.stat().st_size != count * layout.record_bytes:
        return None
    invalid = json.loads(index.read_text())["invalid"]
    return Records(layout, count, {int(row): reason for row, reason in invalid.items()}, data)


def _locked(store: Path, noun: str) -> AbstractContextManager:
    lock = FileLock(store / "lock")
    try:
        return lock.acquire(timeout=0.1)
    except Timeout:
        log.info("%s: waiting for another process that is writing them", noun)
        return lock.acquire()


def _consecutive_runs(rows: np.ndarray) -> list[tuple[int, int]]:
    """Return (start, end) positions of the runs of consecutive numbers in `rows`."""
    starts = np.flatnonzero(np.diff(rows) != 1) + 1
    return list(pairwise([0, *starts.tolist(), len(rows)]))


def _to_bytes(values: Values, layout: Layout) -> np.ndarray:
    """Return the records as bytes, uint8 [k, record_bytes]."""
    parts = [
        np.ascontiguousarray(value, dtype).reshape(len(value), -1).view(np.uint8)
        for value, dtype in zip(values, layout.numpy_dtypes, strict=True)
    ]
    return np.ascontiguousarray(np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0])


def _from_bytes(raw: np.ndarray, layout: Layout) -> Values:
    """Return the tensors of records, [k, …] each, from bytes, uint8 [k, record_bytes]."""
    tensors, start = [], 0
    for shape, dtype, size in zip(layout.shapes, layout.numpy_dtypes, layout.sizes, strict=True):
        part = np.ascontiguousarray(raw[:, start : start + size])
        tensors.append(part.view(dtype).reshape(len(raw), *shape))
        start += size
    return tuple(tensors)


def _dtype(name: str) -> Any:
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)
