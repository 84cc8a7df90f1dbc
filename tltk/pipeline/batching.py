"""Which examples make a batch: so many of them, or so many tokens."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from tltk.modalities.image.chunks import CHUNK

_POOL = 50  # batches whose examples are sorted by length together: more would be less padding, and less chance
_BUDGET = re.compile(r"([1-9]\d*) tokens")


@dataclass(frozen=True)
class Budget:
    """Most tokens of a batch, padding included: examples times the longest of them."""

    tokens: int


Size: TypeAlias = int | Budget


def size_of(batch_size: object) -> Size:
    """Read what a user gave as `batch_size`.

    Args:
        batch_size: a whole number of examples, or a text such as "2048 tokens".

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
    found = _BUDGET.fullmatch(batch_size) if isinstance(batch_size, str) else None
    if found is None:
        raise ValueError(
            "`batch_size` must be a whole number above 0, or of texts a budget such as '2048 tokens'. "
            f"Received: {batch_size!r}"
        )
    return Budget(int(found[1]))


def examples_a_step(size: Size, width: int) -> int:
    """Say how many examples of one width make a step."""
    return size if isinstance(size, int) else max(1, size.tokens // width)


def positions(
    count: int,
    order: np.random.Generator | None,
    batch_size: Size,
    size: int | None = CHUNK,
    *,
    lengths: np.ndarray | None = None,
) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield the numbers below `count` in pieces of batches, and whether a batch ends there.

    Args:
        count: of examples.
        order: shuffles them; None keeps their order.
        batch_size: examples a batch, or tokens.
        size: examples a piece, at most; None makes each batch one piece.
        lengths: of the examples; with it, a shuffled batch holds neighbours in length.
    """
    for batch in _batches(count, order, batch_size, lengths):
        step = size or len(batch)
        for inner in range(0, len(batch), step):
            yield batch[inner : inner + step], inner + step >= len(batch)


def count_batches(count: int, batch_size: Size, lengths: np.ndarray | None, *, seed: int | None) -> int:
    """Count the batches of an epoch; by a budget, those of the first one, which others differ from by a few."""
    if isinstance(batch_size, int):
        return -(-count // batch_size)
    order = None if seed is None else np.random.default_rng([seed, 0])
    return sum(1 for _ in _batches(count, order, batch_size, lengths))


def _batches(
    count: int, order: np.random.Generator | None, batch_size: Size, lengths: np.ndarray | None
) -> Iterator[np.ndarray]:
    numbers = np.arange(count) if order is None else order.permutation(count)
    if order is None:
        yield from _cut(numbers, batch_size, lengths)
        return
    if lengths is None:
        yield from _in_company(_cut(numbers, batch_size, lengths), batch_size, lengths)
        return
    found: list[np.ndarray] = []
    usual = batch_size if isinstance(batch_size, int) else max(1, int(batch_size.tokens / max(lengths.mean(), 1)))
    for start in range(0, count, usual * _POOL):
        pool = numbers[start : start + usual * _POOL]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        found += _in_company(_cut(pool, batch_size, lengths), batch_size, lengths)
    yield from (found[chosen] for chosen in order.permutation(len(found)))


def _in_company(found: list[np.ndarray], batch_size: Size, lengths: np.ndarray | None) -> list[np.ndarray]:
    """Give a last batch of one example, which a batch norm would make zeros of, one more of the batch before it."""
    if len(found) < 2 or len(found[-1]) > 1 or len(found[-2]) < 3:
        return found
    pair = np.concatenate([found[-2][-1:], found[-1]])
    if isinstance(batch_size, Budget) and lengths is not None and 2 * lengths[pair].max() > batch_size.tokens:
        return found
    return [*found[:-2], found[-2][:-1], pair]


def _cut(numbers: np.ndarray, batch_size: Size, lengths: np.ndarray | None) -> list[np.ndarray]:
    """Cut numbers into batches; one that is longer than a budget is a batch of its own."""
    if isinstance(batch_size, int):
        return [numbers[start : start + batch_size] for start in range(0, len(numbers), batch_size)]
    if lengths is None:
        raise ValueError("a budget of tokens is of texts; `batch_size` of pictures is a number.")
    edges, longest = [0], 0
    for place, length in enumerate(lengths[numbers].tolist()):
        longest = max(longest, length)
        if (place + 1 - edges[-1]) * longest > batch_size.tokens and place > edges[-1]:
            edges.append(place)
            longest = length
    return [numbers[start:stop] for start, stop in zip(edges, [*edges[1:], len(numbers)], strict=True) if stop > start]
