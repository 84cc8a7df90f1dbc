"""Draws of elements that balance classes: a pure function of the classes and the random generator of an epoch."""

from dataclasses import dataclass

import numpy as np

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput

SAMPLING = ("oversample", "undersample", "balanced_batches")


@dataclass(frozen=True, eq=False)
class Sampler:
    """Draws the elements of an epoch so that all classes occur equally often.

    Args:
        classes: Class of each element, int64 [count].
        method: "oversample": every element, those of smaller classes repeatedly, until all classes have as many as the
            largest. "undersample": as many elements of each class as the smallest has, others in each epoch.
            "balanced_batches": as many elements as there are, with all classes in turn, so that every batch has nearly
            the same number of each.

    Examples:
        >>> sampler = Sampler(np.array([0, 0, 0, 1]), "oversample")
        >>> sampler.count, sorted(sampler.rows(np.random.default_rng(0)).tolist())
        (6, [0, 1, 2, 3, 3, 3])
    """

    classes: np.ndarray
    method: str

    def __post_init__(self) -> None:
        check.one_of("method", self.method, SAMPLING)
        if not len(self.classes):
            raise InvalidInput("there is no element to draw from.")

    @property
    def count(self) -> int:
        """Number of elements of an epoch."""
        sizes = np.bincount(self.classes)
        sizes = sizes[sizes > 0]
        return {
            "oversample": int(sizes.max()) * len(sizes),
            "undersample": int(sizes.min()) * len(sizes),
            "balanced_batches": len(self.classes),
        }[self.method]

    @property
    def orders_batches(self) -> bool:
        """Whether the order of the rows matters, so that elements must not be sorted by length."""
        return self.method == "balanced_batches"

    def rows(self, generator: np.random.Generator) -> np.ndarray:
        """Draw the elements of an epoch.

        Args:
            generator: Random generator of the epoch; equal ones draw the same.

        Returns:
            Indices of elements in the order of the epoch, int64 [count].
        """
        members = [np.flatnonzero(self.classes == number) for number in np.unique(self.classes)]
        if self.orders_batches:
            return _in_turn(members, self.count, generator)
        each_class = self.count // len(members)
        return generator.permutation(np.concatenate([_draw(rows, each_class, generator) for rows in members]))


def _draw(rows: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Draw rows without replacement; again from all rows whenever none is left."""
    rounds = [generator.permutation(rows) for _ in range(-(-count // len(rows)))]
    return np.concatenate(rounds)[:count] if rounds else rows[:0]


def _in_turn(members: list[np.ndarray], count: int, generator: np.random.Generator) -> np.ndarray:
    """Draw one row of each class, in a random order of the classes, until there are `count`."""
    order = np.concatenate([generator.permutation(len(members)) for _ in range(-(-count // len(members)))])[:count]
    rows = np.empty(count, np.int64)
    for number, candidates in enumerate(members):
        places = np.flatnonzero(order == number)
        rows[places] = _draw(candidates, len(places), generator)
    return rows
