"""Readers of images: files, arrays in memory, and streams of encoded images."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from tltk.data.formats.tfds import StoredExamples
from tltk.foundation.errors import InvalidInput
from tltk.modalities.image.chunks import CHUNK_SIZE, decode_chunk, resize_chunk, stored_dtype
from tltk.modalities.image.decode import DECODER_VERSION
from tltk.pipeline.batching import BatchPart, Order, budget_without_lengths
from tltk.pipeline.parallel import in_order
from tltk.pipeline.readers import PartialBatch, Reader
from tltk.pipeline.streams import shuffled, stream_parts
from tltk.specs import ImageSpec


@dataclass(frozen=True, eq=False)
class _ImageReader(ABC):
    """Base class of image readers: one element per example, all of the same shape.

    Args:
        examples: Images to read; the subclasses document the type.
        spec: Size, resize mode and interpolation.
    """

    examples: Any
    spec: ImageSpec

    example_ids = None
    lengths = None

    @property
    def is_decoded(self) -> bool:
        """Return False: images are encoded, unless a subclass says otherwise."""
        return False

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.examples)

    @property
    def element_spec(self) -> tuple[tf.TensorSpec, ...]:
        """Shape and dtype of a batch: [batch, height, width, channels], uint8 in [0, 255] or uint16 in [0, 65535]."""
        return (tf.TensorSpec([None, *self.spec.shape], stored_dtype(self.spec)),)

    def subset(self, rows: np.ndarray) -> "_ImageReader":
        """Return a reader of the images at `rows`, int64 [k]."""
        return replace(self, examples=self.examples[rows])

    def padded(self, length: int) -> "_ImageReader":
        """Return the reader itself, since all images have the same shape."""
        return self

    @abstractmethod
    def partial_batches(self, order: Order) -> Iterator[PartialBatch]:
        """See `Reader`."""

    @abstractmethod
    def fingerprint(self) -> str:
        """See `Reader`."""

    def _base_digest(self) -> Any:
        """Return a SHA-256 object that depends on all that readers have in common."""
        return hashlib.sha256(repr((type(self).__name__, DECODER_VERSION, self.spec, self.count)).encode())


class FileReader(_ImageReader):
    """Reads image files; `examples` is an object array [n] of paths."""

    def partial_batches(self, order: Order) -> Iterator[PartialBatch]:
        """See `Reader`."""
        return in_order(self._read_part, order.parts(self.count, at_once=CHUNK_SIZE))

    def fingerprint(self) -> str:
        """Return the SHA-256 of the spec and of the paths, sizes and times of the files."""
        digest = self._base_digest()
        for path in self.examples:
            stat = os.stat(path) if os.path.exists(path) else None  # noqa: PTH110, PTH116
            digest.update(repr((str(path), stat and (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))).encode())
        return digest.hexdigest()

    def _read_part(self, part: BatchPart) -> PartialBatch:
        # As bytes: the name of a file need not be UTF-8.
        paths = np.array([os.fsencode(path) for path in self.examples[part.rows]], object)
        pixels, invalid = decode_chunk(paths, self.spec, are_paths=True)
        return _decoded_part(part.batch, part.rows, pixels, invalid, part.ends)


class ArrayReader(_ImageReader):
    """Reads pixels in memory; `examples` is a uint8, uint16 or float32 array [n, h, w, channels]."""

    @property
    def is_decoded(self) -> bool:
        """Return whether the pixels already have the size of the spec."""
        return self.examples.shape[1:3] == self.spec.shape[:2]

    @property
    def element_spec(self) -> tuple[tf.TensorSpec, ...]:
        """Shape and dtype of a batch: as in memory if no resizing is needed; else `stored_dtype`."""
        dtype = tf.as_dtype(self.examples.dtype) if self.is_decoded else stored_dtype(self.spec)
        return (tf.TensorSpec([None, *self.spec.shape], dtype),)

    def partial_batches(self, order: Order) -> Iterator[PartialBatch]:
        """See `Reader`."""
        return in_order(self._read_part, order.parts(self.count, at_once=4 * CHUNK_SIZE))

    def fingerprint(self) -> str:
        """Return the SHA-256 of the spec and the pixels."""
        digest = self._base_digest()
        digest.update(repr((self.examples.dtype, self.examples.shape)).encode())
        digest.update(np.ascontiguousarray(self.examples).tobytes())
        return digest.hexdigest()

    def _read_part(self, part: BatchPart) -> PartialBatch:
        pixels = resize_chunk(self.examples[part.rows], self.spec)
        return PartialBatch(part.batch, part.rows, (pixels,), {}, part.ends)


class StreamReader(_ImageReader):
    """Reads a TensorFlow Datasets builder in its stored order, shuffled through a buffer of encoded images."""

    examples: StoredExamples

    def partial_batches(self, order: Order) -> Iterator[PartialBatch]:
        """See `Reader`; batches before `order.first` are read but not decoded."""
        if not isinstance(order.batch_size, int):
            raise InvalidInput(budget_without_lengths(order.batch_size))
        stream = _numbered_images(self.examples)
        generator = order.generator()
        stream = stream if generator is None else shuffled(stream, generator)
        return in_order(self._read_part, stream_parts(stream, order, order.batch_size, at_once=CHUNK_SIZE))

    def fingerprint(self) -> str:
        """Return the SHA-256 of the spec, the folder of the builder's data, and the split and indices that are read."""
        digest = self._base_digest()
        examples = self.examples
        digest.update(repr((str(examples.builder.data_path), examples.split, examples.input)).encode())
        digest.update(examples.indices.tobytes())
        return digest.hexdigest()

    def _read_part(self, part: tuple[int, list[tuple[int, bytes]], bool]) -> PartialBatch:
        batch, numbered_images, ends = part
        images = np.empty(len(numbered_images), object)
        images[:] = [data for _, data in numbered_images]
        rows = np.array([row for row, _ in numbered_images], np.int64)
        pixels, invalid = decode_chunk(images, self.spec, are_paths=False)
        return _decoded_part(batch, rows, pixels, invalid, ends)


READERS: dict[str, Callable[..., Reader]] = {"files": FileReader, "arrays": ArrayReader, "stream": StreamReader}


def _decoded_part(
    batch: int, rows: np.ndarray, pixels: np.ndarray, invalid: dict[int, str], ends: bool
) -> PartialBatch:
    """Build a partial batch from the result of `decode_chunk`, whose indices count from its start."""
    invalid_rows = {int(rows[index]): reason for index, reason in invalid.items()}
    valid_rows = np.delete(rows, list(invalid)) if invalid else rows
    return PartialBatch(batch, valid_rows, (pixels,), invalid_rows, ends)


def _numbered_images(examples: StoredExamples) -> Iterator[tuple[int, bytes]]:
    """Yield (row, encoded image) in the stored order."""
    for rows, images in examples.read():
        yield from zip(rows.tolist(), images, strict=True)
