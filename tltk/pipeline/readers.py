"""The protocol of readers, which yield the decoded elements of a source in any order, and the reader of arrays."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import tensorflow as tf

from tltk.data.targets import Targets
from tltk.pipeline.batching import Order


@dataclass(frozen=True)
class PartialBatch:
    """A part of a batch that has been read.

    Args:
        batch: Number of the batch in its epoch.
        rows: Indices of the elements, int64 [k].
        values: Arrays [k, …], such as the pixels of images or stored features.
        invalid: Index of an element → why it could not be read; these elements are not in `rows` and `values`.
        ends: Whether this is the last part of the batch.
    """

    batch: int
    rows: np.ndarray
    values: tuple[np.ndarray, ...]
    invalid: dict[int, str]
    ends: bool


class BatchReader(Protocol):
    """Reads the elements of a source in the batches that a loader asks for.

    An element is one row of a batch: an example, or a part of one, such as a window of a long text.
    """

    @property
    def count(self) -> int:
        """Number of elements."""

    @property
    def example_ids(self) -> np.ndarray | None:
        """Index of the example of each element, int64 [count]; None if element i is example i."""

    @property
    def lengths(self) -> np.ndarray | None:
        """Length that each element is padded to, int64 [count]; None if all elements have the same shape."""

    @property
    def element_spec(self) -> tuple[tf.TensorSpec, ...]:
        """Shapes [None, …] and dtypes of the values of a batch."""

    def partial_batches(self, order: Order) -> Iterator[PartialBatch]:
        """Yield every element once, in partial batches of the batches of `order`."""


class Reader(BatchReader, Protocol):
    """Reads and decodes the elements of a source; returned by `Modality.reader`."""

    @property
    def is_decoded(self) -> bool:
        """Whether the values are already decoded in memory, so that caching them would be useless."""

    def subset(self, rows: np.ndarray) -> "Reader":
        """Return a reader of the elements at `rows`, int64 [k], in that order."""

    def padded(self, length: int) -> "Reader":
        """Return a reader that pads all elements to one length; the reader itself if all have the same shape."""

    def fingerprint(self) -> str:
        """Return a string that changes if any value may have changed; used as a cache key."""


@dataclass(frozen=True, eq=False)
class ArrayReader:
    """Reads elements from one array in memory.

    Args:
        values: Elements [n, …], with the shape and dtype of the model's input.
    """

    values: np.ndarray

    example_ids = None
    lengths = None
    is_decoded = True

    @property
    def count(self) -> int:
        """Number of elements."""
        return len(self.values)

    @property
    def element_spec(self) -> tuple[tf.TensorSpec, ...]:
        """Shape and dtype of a batch."""
        return (tf.TensorSpec([None, *self.values.shape[1:]], tf.as_dtype(self.values.dtype)),)

    def partial_batches(self, order: Order) -> Iterator[PartialBatch]:
        """See `Reader`."""
        for part in order.parts(self.count, at_once=None):
            yield PartialBatch(part.batch, part.rows, (self.values[part.rows],), {}, part.ends)

    def subset(self, rows: np.ndarray) -> "ArrayReader":
        """Return a reader of the elements at `rows`, int64 [k]."""
        return ArrayReader(self.values[rows])

    def padded(self, length: int) -> "ArrayReader":
        """Return the reader itself, since all elements have the same shape."""
        return self

    def fingerprint(self) -> str:
        """Return the SHA-256 of dtype, shape and values."""
        header = repr((self.values.dtype, self.values.shape)).encode()
        return hashlib.sha256(header + np.ascontiguousarray(self.values).tobytes()).hexdigest()


def join_batches(partial_batches: Iterator[PartialBatch]) -> Iterator[tuple[int, np.ndarray, tuple[np.ndarray, ...]]]:
    """Join partial batches into batches of (number, rows, values); batches without a readable element are skipped."""
    parts: list[PartialBatch] = []
    for partial_batch in partial_batches:
        parts += [partial_batch] if len(partial_batch.rows) else []
        if partial_batch.ends:
            if parts:
                yield partial_batch.batch, *_join(parts)
            parts = []


def _join(partial_batches: list[PartialBatch]) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    if len(partial_batches) == 1:
        return partial_batches[0].rows, partial_batches[0].values
    columns = zip(*(partial_batch.values for partial_batch in partial_batches), strict=True)
    return np.concatenate([partial_batch.rows for partial_batch in partial_batches]), tuple(
        map(np.concatenate, columns)
    )


def element_targets(targets: Targets | None, reader: BatchReader) -> Targets | None:
    """Return the target of each element of a reader: that of its example."""
    return targets if targets is None or reader.example_ids is None else targets.take(reader.example_ids)
