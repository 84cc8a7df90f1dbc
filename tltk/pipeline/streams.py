"""Examples that are read in their stored order: numbered, shuffled through a buffer, and cut into parts of batches."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, TypeAlias

import numpy as np

from tltk.pipeline.batching import Order

SHUFFLE_BYTES = (
    64 * 2**20
)  # size of the buffer: 30,000 encoded images of CIFAR's size, 2,000 seconds of 16 bits, 16 kHz
Numbered: TypeAlias = tuple[int, Any]  # row, and what is stored: bytes or an array


def shuffled(stream: Iterator[Numbered], generator: np.random.Generator) -> Iterator[Numbered]:
    """Yield the numbered examples of a stream in a random order, through a buffer of `SHUFFLE_BYTES`."""
    buffer: list[Numbered] = []
    size = 0
    for numbered in stream:
        buffer.append(numbered)
        size += _bytes(numbered)
        while size > SHUFFLE_BYTES:
            position = int(generator.integers(len(buffer)))
            buffer[position], buffer[-1] = buffer[-1], buffer[position]
            size -= _bytes(buffer[-1])
            yield buffer.pop()
    for position in generator.permutation(len(buffer)):
        yield buffer[position]


def stream_parts(
    stream: Iterator[Numbered], order: Order, batch_size: int, *, at_once: int
) -> Iterator[tuple[int, list[Numbered], bool]]:
    """Yield the parts of batches; batches before `order.first` are read and left out.

    Args:
        stream: Row and value of each example.
        order: Which batches are wanted, and the share of this process in each.
        batch_size: Examples per batch.
        at_once: Largest number of examples of a part.

    Yields:
        Number of the batch, numbered examples, and whether the part is the last one of its batch.
    """
    shard, shard_count = order.shard
    number = 0
    while batch := list(islice(stream, batch_size)):
        examples = batch[shard::shard_count]
        if number >= order.first:
            for start in range(0, len(examples), at_once):
                yield number, examples[start : start + at_once], start + at_once >= len(examples)
        number += 1


def _bytes(numbered: Numbered) -> int:
    return memoryview(numbered[1]).nbytes
