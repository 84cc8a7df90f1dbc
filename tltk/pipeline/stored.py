"""Stored elements: what was read or computed once, read again in the batches of the first reader."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from tltk.pipeline import store
from tltk.pipeline.batching import Order, Place
from tltk.pipeline.parallel import in_order
from tltk.pipeline.readers import BatchReader, Piece, Reader

_AT_ONCE = 32  # records a thread reads in one call


@dataclass(frozen=True, eq=False)
class StoredReader:
    """Reads what was stored of each element of a reader, in the batches that the reader would have made.

    Args:
        records: of the elements, in their order; of several copies of each, copy after copy: epoch e reads copy
            e modulo their number.
        count: elements, the invalid ones included.
        example_ids: see `Reader`.
        lengths: see `Reader`.
    """

    records: store.Records
    count: int
    example_ids: np.ndarray | None = None
    lengths: np.ndarray | None = None

    @property
    def element_spec(self) -> tuple[tf.TensorSpec, ...]:
        """The tensors of a record, [batch, …] each."""
        pairs = zip(self.records.layout.shapes, self.records.layout.dtypes, strict=True)
        return tuple(tf.TensorSpec([None, *shape], tf.as_dtype(dtype)) for shape, dtype in pairs)

    def pieces(self, order: Order) -> Iterator[Piece]:
        """See `Reader`; what could not be read is reported at its place again."""
        first = order.epoch % max(self.records.count // max(self.count, 1), 1) * self.count

        def piece(place: Place) -> Piece:
            lost = {
                int(row): self.records.invalid[int(row) + first]
                for row in place.rows
                if row + first in self.records.invalid
            }
            rows = place.rows[[int(row) not in lost for row in place.rows]] if lost else place.rows
            return Piece(place.batch, rows, self.records.read(rows + first), lost, place.ends)

        return in_order(piece, order.places(self.count, at_once=_AT_ONCE, lengths=self.lengths))


def decoded(reader: Reader, *, where: str | Path) -> BatchReader:
    """Decode everything once and return a reader of the result.

    Args:
        reader: of elements that all have one shape.
        where: "off", "memory", or a folder for files of decoded elements.

    Returns:
        The reader itself with "off", or where its elements are decoded already.

    Raises:
        MemoryError: if the decoded elements do not fit into the memory that is free; both sizes are named.
        OSError: if they do not fit onto the disk, or the folder cannot be written.
    """
    if where == "off" or reader.is_decoded:
        return reader
    shapes = tuple(tuple(spec.shape.as_list()[1:]) for spec in reader.element_spec)
    layout = store.Layout(shapes, tuple(spec.dtype.name for spec in reader.element_spec))

    def fill(missing: np.ndarray, write: store.Write) -> None:
        for piece in reader.subset(missing).pieces(Order(_AT_ONCE)):
            invalid = {int(missing[number]): reason for number, reason in piece.invalid.items()}
            write(missing[piece.rows], piece.values, invalid)

    if where == "memory":
        records = store.in_memory(layout, reader.count, fill, what="decoded examples")
    else:
        folder = Path(where) / digest("decoded", reader.fingerprint())
        records = store.on_disk(folder, layout, reader.count, fill, what="decoded examples")
    return StoredReader(records, reader.count, reader.example_ids, reader.lengths)


def digest(*parts: object) -> str:
    """Return 32 hexadecimal digits that differ when any part does."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
