"""Decoded pictures, kept in memory or on disk, so that each file is decoded once and not once an epoch."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tltk import files
from tltk.data.decode import DECODER_VERSION
from tltk.data.examples import Source
from tltk.data.readers import ArrayReader, Piece, Reader, positions
from tltk.data.reading import in_order
from tltk.specs import InputSpec

_MEMORY_SHARE = 0.8  # of what is free: the model needs some too
_in_memory: "weakref.WeakKeyDictionary[Source, dict[InputSpec, StoredPixels]]" = weakref.WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class StoredPixels:
    """Reads pixels decoded before, from memory or from one file of equally long records.

    Args:
        pixels: uint8 [n, h, w, 3] in memory, or the path of the file.
        spec: what they were decoded to.
        good: int64 [m], numbers in the source; record i of the store is example good[i].
        total: examples of the source, the unreadable ones counted in.
        bad: number in the source → why it could not be read.
    """

    pixels: Any
    spec: InputSpec
    good: np.ndarray
    total: int
    bad: dict[int, str]

    def pieces(self, order: np.random.Generator | None, batch_size: int) -> Iterator[Piece]:
        """Yield what the first `Reader` would have: the bad examples at their places, reported again."""
        record = np.full(self.total, -1, np.int64)
        record[self.good] = np.arange(len(self.good))

        def piece(place: tuple[np.ndarray, bool]) -> Piece:
            chosen, ends = place
            held = chosen[record[chosen] >= 0]
            lost = {int(number): self.bad[int(number)] for number in chosen if record[number] < 0}
            return Piece(held, self._read(record[held]), lost, ends)

        return in_order(piece, positions(self.total, order, batch_size, 32))

    def _read(self, records: np.ndarray) -> np.ndarray:
        if isinstance(self.pixels, np.ndarray):
            return self.pixels[records]
        found = np.empty((len(records), *self.spec.shape), np.uint8)
        size = int(np.prod(self.spec.shape))
        with open(self.pixels, "rb", buffering=0) as store:  # noqa: PTH123
            # Read, not mapped: mapped pages would count as this process's memory and grow with the data.
            for place, record in enumerate(records):
                store.seek(int(record) * size)
                store.readinto(memoryview(found[place]).cast("B"))
        return found


def cached(source: Source, plain: Reader, spec: InputSpec, *, where: str | Path) -> Reader:
    """Decode everything once and return a reader of the result.

    Args:
        source: what `plain` reads.
        plain: decodes.
        spec: what it decodes to.
        where: "off", "memory", or a folder for files of decoded pictures.

    Returns:
        `plain` itself with "off", or where the pictures are pixels of the right size already.

    Raises:
        MemoryError: if the decoded pictures do not fit into the memory that is free; both sizes are named.
        OSError: if they do not fit onto the disk, or the folder cannot be written.
    """
    if where == "off" or (isinstance(plain, ArrayReader) and plain.pixels.shape[1:] == spec.shape):
        return plain
    if where != "memory":
        return _on_disk(source, plain, spec, folder=Path(where))
    made = _in_memory.setdefault(source, {})
    if spec not in made:  # phases of one training share it
        made[spec] = _into_memory(len(source), plain, spec)
    return made[spec]


def _into_memory(total: int, plain: Reader, spec: InputSpec) -> StoredPixels:
    needed, free = total * int(np.prod(spec.shape)), _free_memory()
    if needed > free * _MEMORY_SHARE:
        raise MemoryError(
            f'cache="memory" needs {needed / 1e9:.2f} GB for {total:,} pictures of {spec.height} × {spec.width}; '
            f"{free / 1e9:.2f} GB are free. Pass a folder as `cache`, or smaller pictures."
        )
    pixels = np.empty((total, *spec.shape), np.uint8)
    good, bad = _fill(plain, lambda piece, start: pixels.__setitem__(slice(start, start + len(piece)), piece))
    return StoredPixels(pixels[: len(good)], spec, good, total, bad)


def _fill(plain: Reader, write: Any) -> tuple[np.ndarray, dict[int, str]]:
    good: list[np.ndarray] = [np.zeros(0, np.int64)]
    bad: dict[int, str] = {}
    count = 0
    for piece in plain.pieces(None, 32):
        if len(piece.positions):
            write(piece.pixels, count)
        count += len(piece.positions)
        good.append(piece.positions)
        bad.update(piece.bad)
    return np.concatenate(good), bad


def _free_memory() -> int:
    """Return the bytes that can be had without swapping."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        rows = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return int(rows["MemAvailable"].split()[0]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2  # no better figure without psutil


def _on_disk(source: Source, plain: Reader, spec: InputSpec, *, folder: Path) -> StoredPixels:
    store = folder / _key(source, spec)
    if not (store / "index.json").exists():
        files.make_folder(folder, needs=len(source) * int(np.prod(spec.shape)))
        _write(store, len(source), plain, spec)
    index = json.loads((store / "index.json").read_text())
    bad = {int(number): reason for number, reason in index["bad"].items()}
    good = np.delete(np.arange(index["total"]), list(bad)) if index["sorted"] else np.array(index["good"], np.int64)
    return StoredPixels(store / "pixels.bin", spec, good, index["total"], bad)


def _write(store: Path, total: int, plain: Reader, spec: InputSpec) -> None:
    """Write beside, flush, rename: a run that was killed leaves no half of a cache behind."""
    beside = Path(tempfile.mkdtemp(prefix=f".{store.name}.", dir=store.parent))
    try:
        with (beside / "pixels.bin").open("wb") as out:
            good, bad = _fill(plain, lambda piece, _: out.write(np.ascontiguousarray(piece, np.uint8).data))
            out.flush()
            os.fsync(out.fileno())
        in_order_already = bool((np.diff(good) > 0).all())
        index = {"total": total, "shape": spec.shape, "bad": bad, "sorted": in_order_already}
        index["good"] = [] if in_order_already else good.tolist()
        files.write_json(beside / "index.json", index)
        beside.rename(store)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            return  # another process was first, with the same bytes
        raise OSError(error.errno, f"cannot keep decoded pictures: {error.strerror}", str(store)) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _key(source: Source, spec: InputSpec) -> str:
    """Name a cache by all that its pixels depend on: a changed picture or option never reads a stale one."""
    found = hashlib.sha256(repr((DECODER_VERSION, astuple(spec), source.kind, len(source))).encode())
    if source.kind == "image_files":
        for path in source.items:
            state = os.stat(path) if os.path.exists(path) else None  # noqa: PTH110, PTH116
            found.update(repr((str(path), state and (state.st_size, state.st_mtime_ns))).encode())
    elif source.kind == "tfds":
        items = source.items
        found.update(repr((str(items.builder.data_path), items.split, items.input)).encode() + items.indices.tobytes())
    else:
        found.update(np.ascontiguousarray(source.items).tobytes())
    return found.hexdigest()[:32]
