"""Which examples make a batch, in which order: a pure function of size, seed, epoch and shard."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

_POOL = 50  # batches whose examples are sorted by length together: more would mean less padding, and less randomness
_BUDGET = re.compile(r"([1-9]\d*) tokens")


@dataclass(frozen=True)
class Budget:
    """Most tokens of a batch, padding included: number of examples times the longest of them."""

    tokens: int


Size: TypeAlias = int | Budget


def size_of(batch_size: object) -> Size:
    """Read what a user gave as `batch_size`.

    Args:
        batch_size: a number of examples, or a string such as "2048 tokens".

    Returns:
        The number, or a budget.

    Raises:
        ValueError: if it is neither.

    Example:
        >>> size_of(32), size_of("2048 tokens")
        (32, Budget(tokens=2048))
    """
    if isinstance(batch_size, Budget) or (type(batch_size) is int and batch_size > 0):
        return batch_size
    match = _BUDGET.fullmatch(batch_size) if isinstance(batch_size, str) else None
    if match is None:
        raise ValueError(
            "`batch_size` must be a whole number above 0, or for texts a budget such as '2048 tokens'. "
            f"Received: {batch_size!r}"
        )
    return Budget(int(match[1]))


def examples_a_step(size: Size, length: int) -> int:
    """Return how many examples of one length make a batch."""
    return size if isinstance(size, int) else max(1, size.tokens // length)


class Place(NamedTuple):
    """A part of a batch.

    Args:
        batch: number of the batch in its epoch.
        rows: int64 [k], numbers of the examples.
        ends: whether the batch ends here.
    """

    batch: int
    rows: np.ndarray
    ends: bool


@dataclass(frozen=True)
class Order:
    """The order in which a reader is asked for its examples.

    Args:
        batch_size: examples a batch, or a budget of tokens.
        seed: shuffles, each epoch anew; None keeps the order of the reader.
        epoch: number of the epoch, from 0.
        first: number of the first batch that is wanted; those before it are not read.
        shard: (index, count): of each batch, the rows index, index + count, …; the shards of a batch together are that
            batch.
    """

    batch_size: Size = 32
    seed: int | None = None
    epoch: int = 0
    first: int = 0
    shard: tuple[int, int] = (0, 1)

    def generator(self) -> np.random.Generator | None:
        """Return the random generator of this epoch; None if nothing is shuffled."""
        return None if self.seed is None else np.random.default_rng([self.seed, self.epoch])

    def batches(self, count: int, lengths: np.ndarray | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the number and the rows of each batch.

        Args:
            count: number of examples.
            lengths: int64 [count], padded length of each; with it, a shuffled batch holds neighbours in length.
        """
        index, shards = self.shard
        for number, rows in enumerate(_batches(count, self.generator(), self.batch_size, lengths)):
            if number >= self.first and len(rows) > index:
                yield number, rows[index::shards]

    def places(self, count: int, *, at_once: int | None, lengths: np.ndarray | None = None) -> Iterator[Place]:
        """Yield batches in parts of at most `at_once` examples; None makes each batch one part."""
        for number, rows in self.batches(count, lengths):
            step = at_once or len(rows)
            for start in range(0, len(rows), step):
                yield Place(number, rows[start : start + step], start + step >= len(rows))


def count_batches(count: int, order: Order, lengths: np.ndarray | None = None) -> int:
    """Count the batches of an epoch; by a budget, those of the first one, from which others differ by a few."""
    if isinstance(order.batch_size, int):
        return -(-count // order.batch_size)
    generator = None if order.seed is None else np.random.default_rng([order.seed, 0])
    return sum(1 for _ in _batches(count, generator, order.batch_size, lengths))


def _batches(
    count: int, generator: np.random.Generator | None, batch_size: Size, lengths: np.ndarray | None
) -> Iterator[np.ndarray]:
    if generator is None:
        yield from _cut(np.arange(count), batch_size, lengths)
        return
    numbers = generator.permutation(count)
    if lengths is None:
        yield from _avoid_singleton_batch(_cut(numbers, batch_size, lengths), batch_size, lengths)
        return
    batches: list[np.ndarray] = []
    usual = batch_size if isinstance(batch_size, int) else max(1, int(batch_size.tokens / max(lengths.mean(), 1)))
    for start in range(0, count, usual * _POOL):
        pool = numbers[start : start + usual * _POOL]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += _avoid_singleton_batch(_cut(pool, batch_size, lengths), batch_size, lengths)
    yield from (batches[number] for number in generator.permutation(len(batches)))


def _avoid_singleton_batch(batches: list[np.ndarray], batch_size: Size, lengths: np.ndarray | None) -> list[np.ndarray]:
    """Avoid a final batch of size 1: batch norm would output zeros."""
    if len(batches) < 2 or len(batches[-1]) > 1 or len(batches[-2]) < 3:
        return batches
    pair = np.concatenate([batches[-2][-1:], batches[-1]])
    if isinstance(batch_size, Budget) and lengths is not None and 2 * lengths[pair].max() > batch_size.tokens:
        return batches
    return [*batches[:-2], batches[-2][:-1], pair]


def _cut(numbers: np.ndarray, batch_size: Size, lengths: np.ndarray | None) -> list[np.ndarray]:
    """Cut numbers into batches; an example that is longer than a budget is a batch of its own."""
    if isinstance(batch_size, int):
        return [numbers[start : start + batch_size] for start in range(0, len(numbers), batch_size)]
    if lengths is None:
        raise ValueError("a budget of tokens needs examples that have a length; `batch_size` of images is a number.")
    edges, longest = [0], 0
    for place, length in enumerate(lengths[numbers].tolist()):
        longest = max(longest, length)
        if (place + 1 - edges[-1]) * longest > batch_size.tokens and place > edges[-1]:
            edges.append(place)
            longest = length
    return [numbers[start:stop] for start, stop in zip(edges, [*edges[1:], len(numbers)], strict=True) if stop > start]
