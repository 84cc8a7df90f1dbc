"""A reader of stored elements, and the cache of decoded elements."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from tltk.pipeline import store
from tltk.pipeline.batching import BatchPart, Order
from tltk.pipeline.parallel import in_order
from tltk.pipeline.readers import BatchReader, PartialBatch, Reader

_AT_ONCE = 32  # records a thread reads in one call


@dataclass(frozen=True, eq=False)
class StoredReader:
    """Reads stored elements in the same batches as the reader they were computed from.

    Args:
        records: Records of the elements, in their order. With several copies per element (copy 0 of all elements, then
            copy 1 …), epoch e reads copy e modulo the number of copies.
        count: Number of elements, including invalid ones.
        example_ids: See `Reader`.
        lengths: See `Reader`.
    """

    records: store.Records
    count: int
    example_ids: np.ndarray | None = None
    lengths: np.ndarray | None = None

    @property
    def element_spec(self) -> tuple[tf.TensorSpec, ...]:
        """Shapes [None, …] and dtypes of the tensors of a record."""
        pairs = zip(self.records.layout.shapes, self.records.layout.dtypes, strict=True)
        return tuple(tf.TensorSpec([None, *shape], tf.as_dtype(dtype)) for shape, dtype in pairs)

    def partial_batches(self, order: Order) -> Iterator[PartialBatch]:
        """See `Reader`; elements that were invalid when they were stored are reported again."""
        copies = max(self.records.count // max(self.count, 1), 1)
        offset = order.epoch % copies * self.count  # first record of the copy that this epoch reads

        def read(part: BatchPart) -> PartialBatch:
            invalid = {
                int(row): self.records.invalid[int(row) + offset]
                for row in part.rows
                if row + offset in self.records.invalid
            }
            rows = part.rows[[int(row) not in invalid for row in part.rows]] if invalid else part.rows
            return PartialBatch(part.batch, rows, self.records.read(rows + offset), invalid, part.ends)

        return in_order(read, order.parts(self.count, at_once=_AT_ONCE, lengths=self.lengths))


def decoded(reader: Reader, *, storage: str | Path) -> BatchReader:
    """Decode all elements once, store them, and return a reader of the store.

    Args:
        reader: Reader whose elements all have the same shape.
        storage: "off", "memory", or a folder for files of decoded elements.

    Returns:
        A reader of the store; `reader` itself with "off", or if its elements are already decoded.

    Raises:
        OutOfMemory: If the decoded elements exceed the free memory; the message has both sizes.
        FileError: If they exceed the free disk space, or the folder is not writable.
    """
    if storage == "off" or reader.is_decoded:
        return reader
    shapes = tuple(tuple(spec.shape.as_list()[1:]) for spec in reader.element_spec)
    layout = store.Layout(shapes, tuple(spec.dtype.name for spec in reader.element_spec))

    def fill(missing: np.ndarray, write: store.Write) -> None:
        for partial_batch in reader.subset(missing).partial_batches(Order(_AT_ONCE)):
            invalid = {int(missing[row]): reason for row, reason in partial_batch.invalid.items()}
            write(missing[partial_batch.rows], partial_batch.values, invalid)

    if storage == "memory":
        records = store.in_memory(layout, reader.count, fill, noun="decoded examples")
    else:
        folder = Path(storage) / digest("decoded", reader.fingerprint())
        records = store.on_disk(folder, layout, reader.count, fill, noun="decoded examples")
    return StoredReader(records, reader.count, reader.example_ids, reader.lengths)


def digest(*parts: object) -> str:
    """Return a hash of parts, 32 hexadecimal digits; used as the name of a store."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
