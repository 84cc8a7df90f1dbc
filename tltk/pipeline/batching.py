"""Batches and their order: a pure function of batch size, seed, epoch and shard."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.pipeline.sampling import Sampler

_POOL = 50  # batches whose examples are sorted by length together; more means less padding, but less randomness
_BUDGET = re.compile(r"([1-9]\d*) tokens")


@dataclass(frozen=True)
class Budget:
    """Maximum number of tokens of a batch, padding included: number of examples times the longest length."""

    tokens: int


Size: TypeAlias = int | Budget


def parse_batch_size(batch_size: Any) -> Size:
    """Convert a `batch_size` argument to a number of examples or a budget of tokens.

    Args:
        batch_size: Number of examples, a string such as "2048 tokens", or a `Budget`.

    Returns:
        The number, or a budget.

    Raises:
        InvalidInput: If it is anything else.

    Examples:
        >>> parse_batch_size(32), parse_batch_size("2048 tokens")
        (32, Budget(tokens=2048))
    """
    if isinstance(batch_size, Budget):
        return batch_size
    if check.is_whole(batch_size) and batch_size > 0:
        return int(batch_size)
    match = _BUDGET.fullmatch(batch_size) if isinstance(batch_size, str) else None
    if match is None:
        raise InvalidInput(
            "`batch_size` must be a whole number above 0, or for texts a budget such as '2048 tokens'. "
            f"Received: {batch_size!r}"
        )
    return Budget(int(match[1]))


def budget_without_lengths(budget: Budget) -> str:
    """Return the error message for a budget of tokens where all examples have one shape, as images do."""
    return (
        "`batch_size` must be a number of examples here: a budget of tokens needs examples that differ in length, such "
        f"as texts. Received: '{budget.tokens} tokens'"
    )


def examples_per_batch(size: Size, length: int) -> int:
    """Return the number of examples of a batch.

    Args:
        size: Number of examples, or a budget of tokens.
        length: Length of every example, in tokens; used with a budget.
    """
    return size if isinstance(size, int) else max(1, size.tokens // length)


class BatchPart(NamedTuple):
    """A part of a batch to be read.

    Attributes:
        batch: Number of the batch in its epoch.
        rows: Indices of the examples, int64 [k].
        ends: Whether this is the last part of the batch.
    """

    batch: int
    rows: np.ndarray
    ends: bool


@dataclass(frozen=True)
class Order:
    """The order in which a reader yields its examples.

    Args:
        batch_size: Examples per batch, or a budget of tokens.
        seed: Seed for a new order in each epoch; None keeps the order of the reader.
        epoch: Number of the epoch, from 0.
        first: Number of the first batch to read; earlier ones are skipped.
        shard: (index, count). The shard has the rows index, index + count, … of each batch, so that all shards together
            have the whole batch.
        sampler: Draws the examples of a shuffled epoch; None takes every example once.
    """

    batch_size: Size = 32
    seed: int | None = None
    epoch: int = 0
    first: int = 0
    shard: tuple[int, int] = (0, 1)
    sampler: Sampler | None = None

    def __post_init__(self) -> None:
        problem = shard_problem(self.shard)
        if problem:
            raise InvalidInput(problem)

    def generator(self) -> np.random.Generator | None:
        """Return the random generator of this epoch; None without shuffling."""
        return None if self.seed is None else np.random.default_rng([self.seed, self.epoch])

    def batches(self, count: int, lengths: np.ndarray | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the number and the rows of each batch.

        Args:
            count: Number of examples.
            lengths: Padded length of each example, int64 [count]; if given, shuffled batches contain examples of
                similar length.
        """
        index, shards = self.shard
        for number, rows in enumerate(_batches(count, self.generator(), self.batch_size, lengths, self.sampler)):
            if number >= self.first and len(rows) > index:
                yield number, rows[index::shards]

    def parts(self, count: int, *, at_once: int | None, lengths: np.ndarray | None = None) -> Iterator[BatchPart]:
        """Yield batches in parts of at most `at_once` examples; None yields each batch as one part."""
        for number, rows in self.batches(count, lengths):
            step = at_once or len(rows)
            for start in range(0, len(rows), step):
                yield BatchPart(number, rows[start : start + step], start + step >= len(rows))


def shard_problem(shard: object) -> str:
    """Return what is wrong with a `shard` argument; "" if nothing is."""
    if isinstance(shard, tuple) and len(shard) == 2 and all(type(value) is int for value in shard):
        index, count = shard
        if 0 <= index < count:
            return ""
    return (
        "`shard` must be a tuple (index, count) of whole numbers, with an index from 0 to count - 1. "
        f"Received: {shard!r}"
    )


class EpochSize(NamedTuple):
    """Size of an epoch.

    Args:
        batches: Number of batches.
        elements: Number of elements in all batches together.
    """

    batches: int
    elements: int


def epoch_size(count: int, order: Order, lengths: np.ndarray | None = None) -> EpochSize:
    """Count the batches of an epoch and their elements, for one shard.

    With a budget, the batches of the first epoch are counted, as other epochs differ slightly.

    Args:
        count: Number of elements of all shards.
        order: Order of the epoch.
        lengths: See `Order.batches`.
    """
    if isinstance(order.batch_size, int) and order.shard == (0, 1):
        count = count if order.sampler is None else order.sampler.count
        return EpochSize(-(-count // order.batch_size), count)
    sizes = [len(rows) for _, rows in replace(order, epoch=0, first=0).batches(count, lengths)]
    return EpochSize(len(sizes), sum(sizes))


def _batches(
    count: int,
    generator: np.random.Generator | None,
    batch_size: Size,
    lengths: np.ndarray | None,
    sampler: Sampler | None,
) -> Iterator[np.ndarray]:
    if generator is None:
        yield from _cut(np.arange(count), batch_size, lengths)
        return
    rows = generator.permutation(count) if sampler is None else sampler.rows(generator)
    if lengths is None or (sampler is not None and sampler.orders_batches):
        yield from _avoid_singleton_batch(_cut(rows, batch_size, lengths), batch_size, lengths)
        return
    batches: list[np.ndarray] = []
    typical_size = (
        batch_size if isinstance(batch_size, int) else max(1, int(batch_size.tokens / max(lengths.mean(), 1)))
    )
    for start in range(0, len(rows), typical_size * _POOL):
        pool = rows[start : start + typical_size * _POOL]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += _avoid_singleton_batch(_cut(pool, batch_size, lengths), batch_size, lengths)
    yield from (batches[index] for index in generator.permutation(len(batches)))


def _avoid_singleton_batch(batches: list[np.ndarray], batch_size: Size, lengths: np.ndarray | None) -> list[np.ndarray]:
    """Avoid a final batch of size 1: batch norm would output zeros."""
    if len(batches) < 2 or len(batches[-1]) > 1 or len(batches[-2]) < 3:
        return batches
    pair = np.concatenate([batches[-2][-1:], batches[-1]])
    if isinstance(batch_size, Budget) and lengths is not None and 2 * lengths[pair].max() > batch_size.tokens:
        return batches
    return [*batches[:-2], batches[-2][:-1], pair]


def _cut(rows: np.ndarray, batch_size: Size, lengths: np.ndarray | None) -> list[np.ndarray]:
    """Cut rows into batches; an example longer than the budget is a batch by itself."""
    if isinstance(batch_size, int):
        return [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    if lengths is None:
        raise InvalidInput(budget_without_lengths(batch_size))
    starts, longest = [0], 0
    for position, length in enumerate(lengths[rows].tolist()):
        longest = max(longest, length)
        if (position + 1 - starts[-1]) * longest > batch_size.tokens and position > starts[-1]:
            starts.append(position)
            longest = length
    return [rows[start:end] for start, end in zip(starts, [*starts[1:], len(rows)], strict=True) if end > start]
