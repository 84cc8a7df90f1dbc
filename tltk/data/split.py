"""Splits of a source into training, validation and test examples."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tltk.data.source import Source
from tltk.data.strata import join_small
from tltk.foundation import checks as check
from tltk.foundation import familiar
from tltk.foundation.errors import InvalidInput

log = logging.getLogger("tltk")


@familiar.arguments
def split(
    source: Source,
    *,
    val: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    groups: Sequence | np.ndarray | None = None,
) -> tuple[Source, Source, Source]:
    """Split a source into training, validation and test examples.

    The split is stratified: each part has the classes in the proportions of the whole; with boxes or masks, each part
    has its share of the images that contain a class. Without classes (regression, multilabel, entities, answers,
    unlabelled), it is random.

    A source that already has parts, such as a folder with `train/` and `test/`, keeps them, and `val` or `test` is
    ignored for a part that exists. A missing part is split off the training part.

    Args:
        source: Labelled or unlabelled source.
        val: Fraction of the examples in [0, 1), or a whole number of examples; 0 gives an empty source.
        test: The same for the examples that the final model is evaluated on.
        seed: Equal seeds give equal splits.
        groups: One value per example. Examples with equal values stay in the same part, such as images of one patient
            or frames of one film, and are not divided by a later cross-validation either. Sizes are then met as closely
            as whole groups allow. None means the groups of the source, such as the recordings that `tltk.windows` cut.

    Returns:
        Sources for training, validation and test, each in the order of `source`. Classes that are absent from a part,
        because they have very few examples, are named in the log.

    Raises:
        InvalidInput: If no training examples are left, a class has too few examples, `groups` has the wrong length, or
            `seed` is out of range.

    Examples:
        >>> from tltk import from_arrays
        >>> digits = from_arrays(np.zeros((20, 8, 8, 3), "uint8"), [0, 1] * 10)
        >>> [len(part) for part in split(digits, val=0.2, test=0.2)]
        [12, 4, 4]
    """
    check.instance_of("source", source, Source, hint="Split a tf.data.Dataset with its own `take` and `skip`.")
    seed = check.seed(seed)
    groups = source.groups if groups is None else groups
    group_ids = None if groups is None else np.asarray(groups)
    if group_ids is not None and group_ids.shape != (len(source),):
        raise InvalidInput(f"`groups` must have {len(source)} values, one per example. Received: {group_ids.shape}")
    source = replace(source, groups=group_ids)
    indices = np.arange(len(source))
    parts = source.parts if source.parts is not None else np.full(len(source), "train")
    train = indices[parts == "train"]
    _check_sizes(len(train), val if "val" not in parts else 0, test if "test" not in parts else 0)
    wanted = {"test": test, "val": val}
    held_out = {name: indices[parts == name] for name in wanted}
    # Both sizes are computed before the test part is split off, so that it does not make the validation part smaller.
    sizes = {name: _count(size, len(train)) for name, size in wanted.items()}
    split_off = [name for name in wanted if not len(held_out[name]) and sizes[name]]
    if split_off and groups is None:
        _check_classes(source, train, {name: sizes[name] for name in split_off})
    for offset, name in enumerate(wanted):
        if not len(held_out[name]) and sizes[name]:
            train, held_out[name] = _split_off(source, train, sizes[name], seed=seed + offset, groups=group_ids)
    if split_off:
        _warn_of_absent(source, {"train": train, **{name: held_out[name] for name in split_off}})
    # Invalid rows of the file belong to no part; the training part carries them, so that they are reported once.
    train_source = replace(source.subset(train), invalid=source.invalid)
    return train_source, source.subset(held_out["val"]), source.subset(held_out["test"])


def _check_sizes(count: int, val: float, test: float) -> None:
    problems = check.Problems()
    for name, size in (("val", val), ("test", test)):
        if not check.is_number(size) or size < 0 or (not check.is_whole(size) and size >= 1):
            problems.add(f"`{name}` must be a fraction in [0, 1) or a whole number of examples. Received: {size!r}")
    problems.raise_if_any()
    if _count(val, count) + _count(test, count) >= count:
        raise InvalidInput(f"`val` ({val}) and `test` ({test}) leave no training examples out of {count}. Reduce them.")


def _count(size: float, total: int) -> int:
    """Return a number of examples for a fraction of `total` or a whole number."""
    return int(size) if check.is_whole(size) else round(float(size) * total)


def _split_off(
    source: Source, indices: np.ndarray, size: int, *, seed: int, groups: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return (remaining indices, `size` held-out indices), both sorted."""
    from sklearn.model_selection import train_test_split

    strata = _strata(source, indices, size)
    if groups is not None:
        return _split_off_groups(indices, size, groups[indices], strata, seed=seed)
    remaining, held_out = train_test_split(indices, test_size=size, random_state=seed, stratify=strata)
    return np.sort(remaining), np.sort(held_out)


def _split_off_groups(
    indices: np.ndarray, size: int, groups: np.ndarray, strata: np.ndarray | None, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.model_selection import GroupShuffleSplit, StratifiedGroupKFold

    group_count = len(np.unique(groups))
    if group_count < 2:
        raise InvalidInput("`groups` must have at least two different values for each part that is split off.")
    folds = round(len(indices) / size)
    if strata is not None and 2 <= folds <= group_count:
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        remaining, held_out = next(iter(splitter.split(indices, strata, groups)))
    else:
        held_out_groups = max(1, round(group_count * size / len(indices)))
        splitter = GroupShuffleSplit(1, test_size=held_out_groups, random_state=seed)
        remaining, held_out = next(iter(splitter.split(indices, groups=groups)))
    return np.sort(indices[remaining]), np.sort(indices[held_out])


def _classes(source: Source, indices: np.ndarray) -> np.ndarray | None:
    classes = None if source.targets is None else source.targets.classes()
    return None if classes is None else classes[indices]


def _strata(source: Source, indices: np.ndarray, size: int) -> np.ndarray | None:
    """Return the strata of these examples, of which `size` are split off; None to split at random."""
    strata = None if source.targets is None else source.targets.strata()
    if strata is None or _classes(source, indices) is not None:  # classes were checked: each has enough examples
        return None if strata is None else strata[indices]
    remaining = len(indices) - size
    # Enough for one example of each stratum in both parts.
    at_least = max(2, -(-len(indices) // max(1, min(size, remaining))))
    return join_small(strata[indices], at_least=at_least, at_most=min(size, remaining))


def _warn_of_absent(source: Source, parts: dict[str, np.ndarray]) -> None:
    """Say which classes have no example in a part."""
    if source.targets is None or source.targets.strata() is None:
        return
    counts = source.counts()
    for part, indices in parts.items():
        part_counts = source.subset(indices).counts() if len(indices) else counts
        absent = [repr(name) for name, count in counts.items() if count and not part_counts[name]]
        if absent:
            names = check.listing(absent)
            log.warning("the %s part has no example of %s: a larger `val` or `test` may help.", part, names)


def _check_classes(source: Source, indices: np.ndarray, sizes: dict[str, int]) -> None:
    """Raise unless each class that occurs can be in the training part and in each part that is split off."""
    classes = _classes(source, indices)
    if classes is None or source.labels is None:
        return
    counts = np.bincount(classes, minlength=len(source.labels))
    names, needed = source.labels.names, 1 + len(sizes)
    too_small = [f"{names[index]!r} has {count}" for index, count in enumerate(counts) if 0 < count < needed]
    problems = check.Problems()
    if too_small:
        zero = " or ".join(f"{name}=0" for name in sizes)
        problems.add(
            f"a stratified split into {needed} parts needs at least {needed} examples of each class: "
            f"{check.listing(too_small)}. Leave these classes out, or pass {zero}"
        )
    if (counts > 0).sum() < 2:
        problems.add(f"at least two classes are needed. Received: {check.listing(source.counts().items())}")
    small_parts = [f"`{name}` with {size}" for name, size in sizes.items() if size < (counts > 0).sum()]
    if not too_small and small_parts:
        problems.add(
            f"a part is too small for {(counts > 0).sum()} classes: {', '.join(small_parts)} examples. Use a larger "
            "`val` or `test`, or 0"
        )
    problems.raise_if_any()
