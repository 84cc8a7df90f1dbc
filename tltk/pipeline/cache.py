"""Decoded pictures, kept in memory or on disk, so that each file is decoded once and not once an epoch."""

import hashlib
import os
import weakref
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from tltk.data.source import TEXT_KINDS, Source
from tltk.modalities.image.chunks import in_order
from tltk.modalities.image.decode import DECODER_VERSION
from tltk.modalities.text.encoding import texts_digest
from tltk.pipeline import store
from tltk.pipeline.batching import Size, positions
from tltk.pipeline.readers import ArrayReader, Piece, Reader, reader
from tltk.specs import ImageSpec

_AT_ONCE = 32  # records a thread reads in one call
_Kept: TypeAlias = dict[tuple[ImageSpec, str], store.Records]
_in_memory: "weakref.WeakKeyDictionary[Source, _Kept]" = weakref.WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class StoredReader:
    """Reads what was stored of each example of a source, in the batches that its first reader would have made.

    Args:
        records: of the source's examples, in its order; of several copies of each, copy after copy.
        total: examples of the source, the unreadable ones counted in.
        copy: which copy to read.
        lengths: of texts, by which that reader made its batches.
    """

    records: store.Records
    total: int
    copy: int = 0
    lengths: np.ndarray | None = None

    def pieces(self, order: np.random.Generator | None, batch_size: Size) -> Iterator[Piece]:
        """Yield what the first `Reader` would have: the bad examples at their places, reported again."""
        first = self.copy * self.total

        def piece(place: tuple[np.ndarray, bool]) -> Piece:
            chosen, ends = place
            lost = {
                int(n): self.records.invalid[int(n) + first] for n in chosen if int(n) + first in self.records.invalid
            }
            held = chosen[[int(n) not in lost for n in chosen]] if lost else chosen
            return Piece(held, self.records.read(held + first), lost, ends)

        return in_order(piece, positions(self.total, order, batch_size, _AT_ONCE, lengths=self.lengths))


def cached(source: Source, spec: ImageSpec, *, where: str | Path) -> Reader:
    """Decode everything once and return a reader of the result.

    Args:
        source: of pictures.
        spec: what they are decoded to.
        where: "off", "memory", or a folder for files of decoded pictures.

    Returns:
        The plain reader with "off", or where the pictures are pixels of the right size already.

    Raises:
        MemoryError: if the decoded pictures do not fit into the memory that is free; both sizes are named.
        OSError: if they do not fit onto the disk, or the folder cannot be written.
    """
    plain = reader(source, spec)
    if where == "off" or (isinstance(plain, ArrayReader) and plain.pixels.shape[1:] == spec.shape):
        return plain
    layout = store.Layout((spec.shape,), ("uint8",))
    options = {"what": "decoded pictures"}

    def fill(missing: np.ndarray, write: store.Write) -> None:
        for piece in reader(source.subset(missing), spec).pieces(None, _AT_ONCE):
            invalid = {int(missing[number]): reason for number, reason in piece.invalid.items()}
            write(missing[piece.positions], piece.values, invalid)

    if where != "memory":
        folder = Path(where) / digest("pixels", source_key(source), astuple(spec))
        return StoredReader(store.on_disk(folder, layout, len(source), fill, **options), len(source))
    made, key = _in_memory.setdefault(source, {}), (spec, source_key(source))
    if key not in made:  # phases of one training share it
        made.clear()  # what it was before a file changed, or for another size
        made[key] = store.in_memory(layout, len(source), fill, **options)
    return StoredReader(made[key], len(source))


def source_key(source: Source) -> str:
    """Name a source by all that a model sees of it: paths, sizes and times of files, bytes of arrays, texts."""
    found = hashlib.sha256(repr((DECODER_VERSION, source.kind, len(source))).encode())
    if source.kind == "image_files":
        for path in source.items:
            state = os.stat(path) if os.path.exists(path) else None  # noqa: PTH110, PTH116
            found.update(repr((str(path), state and (state.st_size, state.st_mtime_ns, state.st_ctime_ns))).encode())
    elif source.kind == "tokens":
        found.update(source.items.digest().encode())
    elif source.kind in TEXT_KINDS:
        found.update(texts_digest(source).encode())
    elif source.kind == "tfds":
        items = source.items
        found.update(repr((str(items.builder.data_path), items.split, items.input)).encode() + items.indices.tobytes())
    else:
        found.update(repr((source.items.dtype, source.items.shape)).encode())
        found.update(np.ascontiguousarray(source.items).tobytes())
    return found.hexdigest()


def digest(*parts: object) -> str:
    """Return 32 hexadecimal digits that differ when any part does."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
