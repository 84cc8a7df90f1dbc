"""Records of what an inspection needs to know about the examples of a source: hashes, sketches and remarks."""

import os
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Remark:
    """Something about some examples that a person should know.

    Args:
        finding: Name of the finding, such as "odd_size".
        severity: "error", "warning" or "note".
        fix: What to do, in one line.
        details: Row of an example → description of the problem.
    """

    finding: str
    severity: str
    fix: str
    details: Mapping[int, str]


class Sketches(Protocol):
    """Small versions of examples, which `Modality.differences` compares."""

    def __getitem__(self, rows: np.ndarray) -> Any:
        """Return the sketches at rows, int64 [k]."""


@dataclass(frozen=True, eq=False)
class Traits:
    """What an inspection keeps of a source; row i of every field belongs to example i.

    Args:
        hashes: Perceptual hash of each example, uint64 [n]: similar examples have hashes that differ in few bits; None
            if the modality has none.
        sketches: Small versions of the examples; None if the modality cannot compare examples.
        undecodable: Row of an example → why it cannot be decoded.
        remarks: What else is worth knowing, see `Remark`.
        digests: Digest of the content of each example, as `Modality.content_digests` computes it; None if that costs
            more than the rest, so that it is computed for likely copies only.
    """

    hashes: np.ndarray | None = None
    sketches: Sketches | None = None
    undecodable: Mapping[int, str] = field(default_factory=dict)
    remarks: Sequence[Remark] = ()
    digests: Sequence[str] | None = None


class StoredSketches:
    """Sketches in a temporary file, which is deleted with this object: memory does not grow with their number.

    Args:
        shape: Shape of one sketch.
        dtype: dtype of its values.
    """

    def __init__(self, shape: tuple[int, ...], dtype: str) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._bytes = int(np.prod(shape)) * self.dtype.itemsize
        self._file = tempfile.TemporaryFile(prefix="tltk-inspect-")  # noqa: SIM115 - open as long as this object
        weakref.finalize(self, self._file.close)

    def write(self, rows: np.ndarray, sketches: np.ndarray) -> None:
        """Store sketches [k, …] at rows, int64 [k]."""
        for row, sketch in zip(rows.tolist(), np.ascontiguousarray(sketches, self.dtype), strict=True):
            self._file.seek(row * self._bytes)
            self._file.write(sketch.tobytes())

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        self._file.flush()
        number = self._file.fileno()
        read = [os.pread(number, self._bytes, int(row) * self._bytes) for row in rows]
        return np.frombuffer(b"".join(read), self.dtype).reshape(len(rows), *self.shape)
