"""The cache of decoded pictures: bytes in memory or on disk, under a key that no changed file can reuse."""

import errno
import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from tltk import files, progress
from tltk.data.decode import DECODER_VERSION, decode_image
from tltk.data.sources import Source
from tltk.specs import InputSpec


@dataclass(frozen=True)
class Rows:
    """Pictures in one file on disk, read a row at a time, so that memory does not grow with their number."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype

    def __getitem__(self, row: int) -> np.ndarray:
        count = int(np.prod(self.shape[1:]))
        return np.fromfile(self.path, self.dtype, count, offset=int(row) * count).reshape(self.shape[1:])


def cached(source: Source, spec: InputSpec, where: str | Path) -> Source:
    """Decode every picture once.

    Args:
        source: of files; arrays and streams are refused, they are cached as they are.
        spec: size of the pictures.
        where: "memory", or a folder.

    Returns:
        The same examples as a source of decoded bytes; unreadable ones are left out.

    Raises:
        MemoryError: if they do not fit into what memory is free, with the sizes.
        OSError: if the folder's disk has no room, or cannot be written.
        ValueError: if the source is no source of files.
    """
    if source.kind != "image_files":
        raise ValueError(f"`cache` is for picture files. Received: {source.kind}")
    size = len(source) * spec.height * spec.width * spec.channels
    if where == "memory":
        free = available_memory()
        if size > free:
            raise MemoryError(
                f"{len(source):,} decoded pictures need {size / 1e9:.1f} GB, {free / 1e9:.1f} GB are free. "
                "Use cache=<a folder>, or cache='off'."
            )
        return _over(source, *_decoded(source, spec))
    return _on_disk(source, spec, Path(where), size)


def available_memory() -> int:
    """Return the bytes of memory that can be taken without swapping."""
    info = Path("/proc/meminfo")
    if info.exists():
        line = next(line for line in info.read_text().splitlines() if line.startswith("MemAvailable"))
        return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def key(source: Source, spec: InputSpec) -> str:
    """Hash what the decoded pictures depend on: each file's path, size and time, the spec, and the decoder."""
    digest = hashlib.sha256(json.dumps([asdict(spec), DECODER_VERSION]).encode())
    for path in source.items[source.index]:
        state = os.stat(path)
        digest.update(f"{path}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]


def _on_disk(source: Source, spec: InputSpec, folder: Path, size: int) -> Source:
    place = files.make_folder(folder) / key(source, spec)
    if not place.exists():
        files.make_folder(folder, needs=size)
        scratch = folder / f".{os.getpid()}.{place.name}"
        try:
            files.make_folder(scratch)
            _fill(source, spec, scratch)
            scratch.rename(place)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise OSError(errno.ENOSPC, "no space left for the cache of decoded pictures", str(folder)) from error
            if not place.exists():  # another process may have finished the same cache first
                raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    kept = np.load(place / "kept.npy")
    rows = Rows(place / "pixels.bin", (len(kept), *spec.shape), np.dtype("uint8"))
    return _over(source, rows, kept)


def _fill(source: Source, spec: InputSpec, folder: Path) -> None:
    kept = []
    with (folder / "pixels.bin").open("wb") as file:
        for position, image in _each(source, spec):
            image.tofile(file)
            kept.append(position)
        file.flush()
        os.fsync(file.fileno())
    np.save(folder / "kept.npy", np.array(kept, "int64"))


def _decoded(source: Source, spec: InputSpec) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.empty((len(source), *spec.shape), "uint8")
    kept = []
    for row, (position, image) in enumerate(_each(source, spec)):
        pixels[row] = image
        kept.append(position)
    return pixels, np.array(kept, "int64")


def _each(source: Source, spec: InputSpec):  # type: ignore[no-untyped-def]
    """Yield (position, uint8 picture) of every file that can be decoded, in order."""
    paths = tf.constant(source.items[source.index].astype(str))

    def read(position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = decode_image(tf.io.read_file(tf.gather(paths, position)), spec)
        return position, tf.cast(image, tf.uint8)

    stream = tf.data.Dataset.range(len(source)).map(read, tf.data.AUTOTUNE, deterministic=True).ignore_errors()
    with progress.bar("decoding", len(source)) as advance:
        for position, image in stream.prefetch(tf.data.AUTOTUNE).as_numpy_iterator():
            advance()
            yield int(position), image


def _over(source: Source, pixels: np.ndarray | Rows, kept: np.ndarray) -> Source:
    """Put decoded rows in the place of files; `pixels[r]` is the source's position `kept[r]`."""
    rows = np.full(len(source), -1, "int64")
    rows[kept] = np.arange(len(kept))
    found = source.subset(np.flatnonzero(rows >= 0))
    names = np.array([source.name_of(position) for position in np.flatnonzero(rows >= 0)], object)
    return replace(found, kind="image_arrays", items=pixels, index=rows[rows >= 0], names=names)
