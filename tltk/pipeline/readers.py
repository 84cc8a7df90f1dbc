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
class Piece:
    """A part of a batch that has been read.

    Args:
        batch: Number of the batch in its epoch.
        rows: Indices of the elements, int64 [k].
        values: Arrays [k, …], such as the pixels of images or stored features.
        invalid: Index of an element → why it could not be read; these elements are not in `rows` and `values`.
        ends: Whether this is the last piece of the batch.
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

    def pieces(self, order: Order) -> Iterator[Piece]:
        """Yield every element once, in pieces of the batches of `order`."""


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

    def pieces(self, order: Order) -> Iterator[Piece]:
        """See `Reader`."""
        for part in order.parts(self.count, at_once=None):
            yield Piece(part.batch, part.rows, (self.values[part.rows],), {}, part.ends)

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


def whole_batches(pieces: Iterator[Piece]) -> Iterator[tuple[int, np.ndarray, tuple[np.ndarray, ...]]]:
    """Join pieces into batches of (number, rows, values); batches without a readable element are skipped."""
    batch_pieces: list[Piece] = []
    for piece in pieces:
        batch_pieces += [piece] if len(piece.rows) else []
        if piece.ends:
            if batch_pieces:
                yield piece.batch, *_join(batch_pieces)
            batch_pieces = []


def _join(pieces: list[Piece]) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    if len(pieces) == 1:
        return pieces[0].rows, pieces[0].values
    columns = zip(*(piece.values for piece in pieces), strict=True)
    return np.concatenate([piece.rows for piece in pieces]), tuple(map(np.concatenate, columns))


def element_targets(targets: Targets | None, reader: BatchReader) -> Targets | None:
    """Return the target of each element of a reader: that of its example."""
    return targets if targets is None or reader.example_ids is None else targets.take(reader.example_ids)
