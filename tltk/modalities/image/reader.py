"""Readers of images: files, arrays in memory, and streams of encoded images."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import tensorflow as tf

from tltk.data.formats.tfds import StoredExamples
from tltk.modalities.image.chunks import CHUNK, decode_chunk, resize_chunk
from tltk.modalities.image.decode import DECODER_VERSION
from tltk.pipeline.batching import BatchPart, Order, budget_without_lengths
from tltk.pipeline.parallel import in_order
from tltk.pipeline.readers import Piece, Reader
from tltk.specs import ImageSpec

_SHUFFLE_BYTES = 64 * 2**20  # of encoded images: 30,000 of CIFAR's size, 500 of a megapixel


@dataclass(frozen=True, eq=False)
class _ImageReader(ABC):
    """What the readers of images share: one element an example, all of one shape.

    Args:
        examples: what is read, see the subclasses.
        spec: size that images are brought to.
    """

    examples: Any
    spec: ImageSpec

    example_ids = None
    lengths = None

    @property
    def is_decoded(self) -> bool:
        """Files are not."""
        return False

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.examples)

    @property
    def element_spec(self) -> tuple[tf.TensorSpec, ...]:
        """uint8 [batch, height, width, 3] in 0 … 255."""
        return (tf.TensorSpec([None, *self.spec.shape], tf.uint8),)

    def subset(self, rows: np.ndarray) -> "_ImageReader":
        """Return a reader of some images."""
        return replace(self, examples=self.examples[rows])

    def padded(self, length: int) -> "_ImageReader":
        """Return the reader itself: images have one shape."""
        return self

    @abstractmethod
    def pieces(self, order: Order) -> Iterator[Piece]:
        """See `Reader`."""

    @abstractmethod
    def fingerprint(self) -> str:
        """See `Reader`."""

    def _hash(self) -> Any:
        return hashlib.sha256(repr((type(self).__name__, DECODER_VERSION, self.spec, self.count)).encode())


class FileReader(_ImageReader):
    """Reads image files; `examples` are paths."""

    def pieces(self, order: Order) -> Iterator[Piece]:
        """See `Reader`."""
        return in_order(self._piece, order.parts(self.count, at_once=CHUNK))

    def fingerprint(self) -> str:
        """Hash paths, sizes and times of the files."""
        digest = self._hash()
        for path in self.examples:
            state = os.stat(path) if os.path.exists(path) else None  # noqa: PTH110, PTH116
            digest.update(repr((str(path), state and (state.st_size, state.st_mtime_ns, state.st_ctime_ns))).encode())
        return digest.hexdigest()

    def _piece(self, part: BatchPart) -> Piece:
        return _piece(part.batch, part.rows, *decode_chunk(self.examples[part.rows], self.spec, files=True), part.ends)


class ArrayReader(_ImageReader):
    """Reads pixels in memory; `examples` are uint8 or float32 [n, height, width, 1 or 3]."""

    @property
    def is_decoded(self) -> bool:
        """Whether the pixels have the right size already."""
        return self.examples.shape[1:3] == self.spec.shape[:2]

    @property
    def element_spec(self) -> tuple[tf.TensorSpec, ...]:
        """[batch, height, width, 3] in 0 … 255, of the dtype of pixels that need no resizing, else uint8."""
        dtype = self.examples.dtype if self.is_decoded else "uint8"
        return (tf.TensorSpec([None, *self.spec.shape], tf.as_dtype(dtype)),)

    def pieces(self, order: Order) -> Iterator[Piece]:
        """See `Reader`."""
        return in_order(self._piece, order.parts(self.count, at_once=4 * CHUNK))

    def fingerprint(self) -> str:
        """Hash the pixels."""
        digest = self._hash()
        digest.update(repr((self.examples.dtype, self.examples.shape)).encode())
        digest.update(np.ascontiguousarray(self.examples).tobytes())
        return digest.hexdigest()

    def _piece(self, part: BatchPart) -> Piece:
        pixels = resize_chunk(self.examples[part.rows], self.spec)
        return Piece(part.batch, part.rows, (pixels,), {}, part.ends)


class StreamReader(_ImageReader):
    """Reads a TensorFlow Datasets builder in its stored order, shuffled through a buffer of encoded images."""

    examples: StoredExamples

    def pieces(self, order: Order) -> Iterator[Piece]:
        """See `Reader`; batches before `order.first` are read, and not decoded."""
        if not isinstance(order.batch_size, int):
            raise ValueError(budget_without_lengths(order.batch_size))
        stream = _each(self.examples)
        generator = order.generator()
        stream = stream if generator is None else _shuffled(stream, generator)
        return in_order(self._piece, _places(stream, order, order.batch_size))

    def fingerprint(self) -> str:
        """Hash where the builder's data lie and which examples are read."""
        digest = self._hash()
        stored = self.examples
        digest.update(repr((str(stored.builder.data_path), stored.split, stored.input)).encode())
        digest.update(stored.indices.tobytes())
        return digest.hexdigest()

    def _piece(self, part: tuple[int, list[tuple[int, bytes]], bool]) -> Piece:
        batch, numbered_images, ends = part
        images = np.empty(len(numbered_images), object)
        images[:] = [data for _, data in numbered_images]
        rows = np.array([row for row, _ in numbered_images], np.int64)
        return _piece(batch, rows, *decode_chunk(images, self.spec, files=False), ends)


READERS: dict[str, Callable[..., Reader]] = {"files": FileReader, "arrays": ArrayReader, "stream": StreamReader}


def _piece(batch: int, rows: np.ndarray, pixels: np.ndarray, invalid: dict[int, str], ends: bool) -> Piece:
    named = {int(rows[number]): reason for number, reason in invalid.items()}
    return Piece(batch, np.delete(rows, list(invalid)) if invalid else rows, (pixels,), named, ends)


def _each(examples: StoredExamples) -> Iterator[tuple[int, bytes]]:
    for numbers, images in examples.read():
        yield from zip(numbers.tolist(), images, strict=True)


def _shuffled(stream: Iterator[tuple[int, bytes]], generator: np.random.Generator) -> Iterator[tuple[int, bytes]]:
    buffer: list[tuple[int, bytes]] = []
    size = 0
    for example in stream:
        buffer.append(example)
        size += len(example[1])
        while size > _SHUFFLE_BYTES:
            chosen = int(generator.integers(len(buffer)))
            buffer[chosen], buffer[-1] = buffer[-1], buffer[chosen]
            size -= len(buffer[-1][1])
            yield buffer.pop()
    for chosen in generator.permutation(len(buffer)):
        yield buffer[chosen]


def _places(
    stream: Iterator[tuple[int, bytes]], order: Order, batch_size: int
) -> Iterator[tuple[int, list[tuple[int, bytes]], bool]]:
    index, shards = order.shard
    number = 0
    while batch := list(islice(stream, batch_size)):
        chosen = batch[index::shards]
        if number >= order.first and chosen:
            for start in range(0, len(chosen), CHUNK):
                yield number, chosen[start : start + CHUNK], start + CHUNK >= len(chosen)
        number += 1
