"""The protocol of a reader: decoded elements of one source by number, in any order, and what could not be read."""

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
    """A part of a batch, read.

    Args:
        batch: number of the batch in its epoch.
        rows: int64 [k], numbers of the elements.
        values: arrays [k, …], such as the pixels of images, or the stored features of each element.
        invalid: number of an element → why it could not be read; these are in neither of the above.
        ends: whether the batch ends with this piece.
    """

    batch: int
    rows: np.ndarray
    values: tuple[np.ndarray, ...]
    invalid: dict[int, str]
    ends: bool


class BatchReader(Protocol):
    """Reads the elements of a source, as a loader needs it: what a model takes as one row of a batch.

    An element is an example, or a part of one, such as a window of a long text.
    """

    @property
    def count(self) -> int:
        """Number of elements."""

    @property
    def example_ids(self) -> np.ndarray | None:
        """Number of the example of each element, int64 [count]; None where element i is example i."""

    @property
    def lengths(self) -> np.ndarray | None:
        """Length that each element is padded to, int64 [count]; None where all elements have one shape."""

    @property
    def element_spec(self) -> tuple[tf.TensorSpec, ...]:
        """What the values of a batch are: shapes [None, …] and dtypes."""

    def pieces(self, order: Order) -> Iterator[Piece]:
        """Yield every element once, in pieces of batches."""


class Reader(BatchReader, Protocol):
    """Reads and decodes the elements of a source; what `Modality.reader` returns."""

    @property
    def is_decoded(self) -> bool:
        """Whether the values are in memory as they are read, so that keeping them again would gain nothing."""

    def subset(self, rows: np.ndarray) -> "Reader":
        """Return a reader of some of the elements, in the order of `rows`, int64 [k]."""

    def padded(self, length: int) -> "Reader":
        """Return a reader whose elements are all padded to one length; itself where all have one shape."""

    def fingerprint(self) -> str:
        """Return a string that differs whenever a value that is read may differ."""


@dataclass(frozen=True, eq=False)
class ArrayReader:
    """Reads elements that are in memory as one array.

    Args:
        values: [n, …], of the shape and dtype that a model takes.
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
        for place in order.places(self.count, at_once=None):
            yield Piece(place.batch, place.rows, (self.values[place.rows],), {}, place.ends)

    def subset(self, rows: np.ndarray) -> "ArrayReader":
        """Return a reader of some elements."""
        return ArrayReader(self.values[rows])

    def padded(self, length: int) -> "ArrayReader":
        """Return the reader itself: the elements have one shape."""
        return self

    def fingerprint(self) -> str:
        """Hash the values."""
        header = repr((self.values.dtype, self.values.shape)).encode()
        return hashlib.sha256(header + np.ascontiguousarray(self.values).tobytes()).hexdigest()


def whole_batches(pieces: Iterator[Piece]) -> Iterator[tuple[int, np.ndarray, tuple[np.ndarray, ...]]]:
    """Join pieces into batches of (number, rows, values); batches without a readable element are skipped."""
    parts: list[Piece] = []
    for piece in pieces:
        parts += [piece] if len(piece.rows) else []
        if piece.ends:
            if parts:
                yield piece.batch, *_joined(parts)
            parts = []


def _joined(pieces: list[Piece]) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    if len(pieces) == 1:
        return pieces[0].rows, pieces[0].values
    columns = zip(*(piece.values for piece in pieces), strict=True)
    return np.concatenate([piece.rows for piece in pieces]), tuple(map(np.concatenate, columns))


def element_targets(targets: Targets | None, reader: BatchReader) -> Targets | None:
    """Return the targets of a reader's elements: those of their examples."""
    return targets if targets is None or reader.example_ids is None else targets.take(reader.example_ids)
