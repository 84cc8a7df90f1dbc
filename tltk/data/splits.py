"""Splits: seeded, stratified, and never through a group."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tltk import _check as check
from tltk.data.sources import PARTS, Source


def split(
    source: Source, *, val: float = 0.15, test: float = 0.15, seed: int = 0, groups: Sequence[Any] | None = None
) -> tuple[Source, Source, Source]:
    """Divide a source into training, validation and test examples.

    Classes keep their shares in each part. A source that came divided (train/, val/, test/) stays so; if it has no
    validation part, that is cut out of its training part, by `val`; if it has no test part, so is that, by `test`.

    Args:
        source: labelled, for classes stratified by them.
        val: share of the examples to judge epochs by, in [0, 1), or a whole number of examples.
        test: share of the examples to judge the result by, likewise; 0 gives an empty part.
        seed: equal seeds give equal splits.
        groups: one value an example; examples of one group (a patient, a film) all go into the same part.

    Returns:
        Training, validation and test sources; together they are the whole, and no example is in two.

    Raises:
        ValueError: if a class has too few examples to be in each part, all such classes named, or nothing is
            left to train on.

    Example:
        >>> from tltk.data.sources import from_arrays
        >>> source = from_arrays(np.zeros((20, 8, 8, 3), "uint8"), np.arange(20) % 2)
        >>> [len(part) for part in split(source, val=0.2, test=0.2)]
        [12, 4, 4]
    """
    check.kind_of("source", source, Source, hint="A tf.data.Dataset is divided by its own take and skip.")
    if groups is not None and len(groups) != len(source):
        raise ValueError(f"`groups` must have one value an example. Received: {len(groups)} for {len(source)} examples")
    place = np.zeros(len(source), int) if source.parts is None else _given_parts(source)
    for number, (name, wanted) in enumerate((("test", test), ("val", val))):
        where = PARTS.index(name)
        if (place == where).any() or not wanted:
            continue
        open_ = np.flatnonzero(place == 0)
        count = _count(name, wanted, len(source) if source.parts is None else len(open_))
        chosen = _groups(open_, groups, count, seed + number) if groups is not None else None
        place[_stratified(source, open_, count, seed + number) if chosen is None else chosen] = where
    if not (place == 0).any():
        raise ValueError(f"nothing is left to train on: val={val} and test={test} take all {len(source)} examples.")
    train, validation, testing = (source.subset(np.flatnonzero(place == number)) for number in range(3))
    _check_classes(train)
    return train, validation, testing


def _given_parts(source: Source) -> np.ndarray:
    return np.array([PARTS.index(part) for part in source.parts])  # type: ignore[union-attr]


def _count(name: str, wanted: float, total: int) -> int:
    if isinstance(wanted, int) and not isinstance(wanted, bool) and wanted >= 1:
        check.within(name, wanted, low=1, high=total)
        return wanted
    check.within(name, wanted, low=0, high=1, open_high=True)
    return max(1, round(wanted * total))


def _stratified(source: Source, open_: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Choose `count` of the open positions, every class in its share."""
    generator = np.random.default_rng(seed)
    labels = source.labels
    if labels is None or source.targets is None or labels.kind != "single":
        return generator.permutation(open_)[:count]
    targets = source.targets[open_]
    sizes = np.bincount(targets, minlength=len(labels))
    few = [f"{labels.names[c]} ({n})" for c, n in enumerate(sizes) if 0 < n < 2]
    if few:
        raise ValueError(
            f"these classes have too few pictures to be divided: {check.listing(few)}. Each part needs one of each "
            "class; add pictures, or leave the class out."
        )
    shares = _round_to(sizes * count / len(open_), count, sizes)
    chosen = [generator.permutation(open_[targets == number])[:share] for number, share in enumerate(shares)]
    return np.concatenate(chosen)


def _round_to(exact: np.ndarray, count: int, sizes: np.ndarray) -> np.ndarray:
    """Round shares so that they add up to `count`, largest remainders first, at least one and never all of a class."""
    low = np.clip(np.floor(exact).astype(int), np.minimum(sizes, 1), np.maximum(sizes - 1, 0))
    for number in np.argsort(low - exact, kind="stable"):
        if low.sum() >= count:
            break
        low[number] = min(low[number] + 1, max(sizes[number] - 1, 0))
    return low


def _groups(open_: np.ndarray, groups: Sequence[Any], count: int, seed: int) -> np.ndarray:
    """Choose whole groups until `count` examples are reached."""
    values = np.array([str(group) for group in groups], object)[open_]
    names = np.random.default_rng(seed).permutation(np.unique(values.astype(str)))
    if len(names) < 2:
        raise ValueError(f"`groups` must hold at least two different values to be divided. Received: {check.listing(names)}")
    chosen: list[str] = []
    reached = 0
    for name in names[:-1]:  # one group is always left
        if reached >= count:
            break
        chosen.append(name)
        reached += int((values == name).sum())
    return open_[np.isin(values.astype(str), chosen)]


def _check_classes(train: Source) -> None:
    if train.labels is None or train.targets is None or train.labels.kind != "single":
        return
    counts = train.class_counts()
    empty = [name for name, count in zip(train.labels.names, counts, strict=True) if not count]
    if empty:
        raise ValueError(f"no training example is left of: {check.listing(empty)}. Take less for val and test.")
