"""One reader for each kind of source: pixels in any order, and what could not be read."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np

from tltk.data.formats.tfds import StoredExamples
from tltk.data.source import Source
from tltk.modalities.image.chunks import CHUNK, decode_chunk, in_order, resize_chunk
from tltk.pipeline.batching import Size, positions
from tltk.specs import ImageSpec

_SHUFFLE_BYTES = 64 * 2**20  # of encoded pictures: 30,000 of CIFAR's size, 500 of a megapixel


@dataclass(frozen=True)
class Piece:
    """Some examples, read.

    Args:
        positions: int64 [k], their numbers in the source.
        values: arrays [k, ...]: one of pixels, uint8 or float32 [k, h, w, 3] in 0 … 255, or what was stored of them.
        invalid: number in the source → why it could not be read; these are in neither of the above.
        ends: whether a batch ends with this piece.
    """

    positions: np.ndarray
    values: tuple[np.ndarray, ...]
    invalid: dict[int, str]
    ends: bool


class Reader(Protocol):
    """Reads all examples of a source once."""

    def pieces(self, order: np.random.Generator | None, batch_size: Size) -> Iterator[Piece]:
        """Yield every example once, in pieces of batches: in the source's order, or in one drawn from `order`."""


def reader(source: Source, spec: ImageSpec) -> Reader:
    """Choose the reader for a source of pictures."""
    if source.kind == "tfds":
        return StreamReader(source.items, spec)
    if source.kind == "image_arrays":
        return ArrayReader(source.items, spec)
    return FileReader(source.items, spec)


@dataclass(frozen=True, eq=False)
class FileReader:
    """Reads picture files."""

    paths: Any
    spec: ImageSpec

    def pieces(self, order: np.random.Generator | None, batch_size: Size) -> Iterator[Piece]:
        """See `Reader`."""
        return in_order(self._piece, positions(len(self.paths), order, batch_size))

    def _piece(self, place: tuple[np.ndarray, bool]) -> Piece:
        chosen, ends = place
        return _piece(chosen, *decode_chunk(self.paths[chosen], self.spec, files=True), ends)


@dataclass(frozen=True, eq=False)
class ArrayReader:
    """Reads pixels that are in memory."""

    pixels: np.ndarray
    spec: ImageSpec

    def pieces(self, order: np.random.Generator | None, batch_size: Size) -> Iterator[Piece]:
        """See `Reader`."""
        return in_order(self._piece, positions(len(self.pixels), order, batch_size, 4 * CHUNK))

    def _piece(self, place: tuple[np.ndarray, bool]) -> Piece:
        chosen, ends = place
        return Piece(chosen, (resize_chunk(self.pixels[chosen], self.spec),), {}, ends)


@dataclass(frozen=True, eq=False)
class StreamReader:
    """Reads a TensorFlow Datasets builder in its stored order, shuffled through a buffer of encoded pictures."""

    examples: StoredExamples
    spec: ImageSpec

    def pieces(self, order: np.random.Generator | None, batch_size: Size) -> Iterator[Piece]:
        """See `Reader`."""
        if not isinstance(batch_size, int):
            raise ValueError("a budget of tokens is of texts; `batch_size` of pictures is a number.")
        stream = _each(self.examples) if order is None else _shuffled(_each(self.examples), order)
        return in_order(self._piece, _chunks(stream, batch_size))

    def _piece(self, place: tuple[list[tuple[int, bytes]], bool]) -> Piece:
        chosen, ends = place
        pictures = np.empty(len(chosen), object)
        pictures[:] = [data for _, data in chosen]
        found = decode_chunk(pictures, self.spec, files=False)
        return _piece(np.array([position for position, _ in chosen], np.int64), *found, ends)


def _piece(chosen: np.ndarray, pixels: np.ndarray, invalid: dict[int, str], ends: bool) -> Piece:
    named = {int(chosen[number]): reason for number, reason in invalid.items()}
    return Piece(np.delete(chosen, list(invalid)) if invalid else chosen, (pixels,), named, ends)


def _each(examples: StoredExamples) -> Iterator[tuple[int, bytes]]:
    for numbers, pictures in examples.read():
        yield from zip(numbers.tolist(), pictures, strict=True)


def _shuffled(stream: Iterator[tuple[int, bytes]], order: np.random.Generator) -> Iterator[tuple[int, bytes]]:
    buffer: list[tuple[int, bytes]] = []
    held = 0
    for example in stream:
        buffer.append(example)
        held += len(example[1])
        while held > _SHUFFLE_BYTES:
            chosen = int(order.integers(len(buffer)))
            buffer[chosen], buffer[-1] = buffer[-1], buffer[chosen]
            held -= len(buffer[-1][1])
            yield buffer.pop()
    for chosen in order.permutation(len(buffer)):
        yield buffer[chosen]


def _chunks(stream: Iterator[tuple[int, bytes]], batch_size: int) -> Iterator[tuple[list[tuple[int, bytes]], bool]]:
    while batch := list(islice(stream, batch_size)):
        for start in range(0, len(batch), CHUNK):
            yield batch[start : start + CHUNK], start + CHUNK >= len(batch)


def whole_batches(pieces: Iterator[Piece]) -> Iterator[tuple[np.ndarray, tuple[np.ndarray, ...]] | None]:
    """Join pieces into batches of (positions, values); None for a batch without a readable example."""
    held: list[Piece] = []
    for piece in pieces:
        held += [piece] if len(piece.positions) else []
        if piece.ends:
            yield _concatenated(held) if held else None
            held = []


def _concatenated(pieces: list[Piece]) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    if len(pieces) == 1:
        return pieces[0].positions, pieces[0].values
    columns = zip(*(piece.values for piece in pieces), strict=True)
    return np.concatenate([piece.positions for piece in pieces]), tuple(map(np.concatenate, columns))
