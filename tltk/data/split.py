"""Cut a source into training, validation and test examples: seeded, stratified, groups kept whole."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tltk.data.source import Source
from tltk.foundation import checks as check


def split(
    source: Source,
    *,
    val: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    groups: Sequence | np.ndarray | None = None,
) -> tuple[Source, Source, Source]:
    """Cut a source into three, each with the classes in the proportions of the whole.

    A source that came in parts keeps them: its test and validation parts are given back as they are, whatever `test`
    says. A part that is missing is cut from the training part: validation by `val`, a share of the training part.
    A missing test part is cut in the same way, by `test`.

    Args:
        source: labelled or not; without classes (numbers, several labels, no labels) the cut is random.
        val: share of the examples, or a whole number of examples; 0 gives an empty source.
        test: the same, for the examples that judge the final model.
        seed: equal seeds give equal cuts.
        groups: one value an example; examples of equal value never stand on two sides (pictures of one patient,
            frames of one film). Shares are then met as nearly as whole groups allow.

    Returns:
        Sources for training, validation and test, each in the order of `source`.

    Raises:
        ValueError: if the shares leave nothing to learn from, a class has too few examples, or `groups` has another
            length.

    Example:
        >>> from tltk import from_arrays
        >>> digits = from_arrays(np.zeros((20, 8, 8, 3), "uint8"), [0, 1] * 10)
        >>> [len(part) for part in split(digits, val=0.2, test=0.2)]
        [12, 4, 4]
    """
    check.kind_of("source", source, Source, hint="A tf.data.Dataset is split with its own take and skip.")
    keys = None if groups is None else np.asarray(groups)
    if keys is not None and keys.shape != (len(source),):
        raise ValueError(f"`groups` must hold {len(source)} values, one an example. Received: {keys.shape}")
    everything = np.arange(len(source))
    parts = source.parts if source.parts is not None else np.full(len(source), "train")
    train = everything[parts == "train"]
    _check_shares(len(train), val if "val" not in parts else 0, test if "test" not in parts else 0)
    counts = {"test": test, "val": val}
    chosen = {name: everything[parts == name] for name in counts}
    # Shares are of all that is cut up: the test part goes first, so validation's share must not shrink with it.
    sizes = {name: _count(share, len(train)) for name, share in counts.items()}
    for number, name in enumerate(counts):
        if not len(chosen[name]) and sizes[name]:
            train, chosen[name] = _cut(source, train, sizes[name], seed=seed + number, groups=keys)
    # What was invalid in the file belongs to no part; the training part reports it, once.
    kept = replace(source.subset(train), invalid=source.invalid)
    return kept, source.subset(chosen["val"]), source.subset(chosen["test"])


def _check_shares(count: int, val: float, test: float) -> None:
    problems = check.Problems()
    for name, share in (("val", val), ("test", test)):
        whole = isinstance(share, int | np.integer) and not isinstance(share, bool)
        if not check.is_number(share) or share < 0 or (not whole and share >= 1):
            problems.add(f"`{name}` must be a share in [0, 1) or a whole number of examples. Received: {share!r}")
    problems.raise_if_any()
    if _count(val, count) + _count(test, count) >= count:
        raise ValueError(f"`val` ({val}) and `test` ({test}) leave none of {count} examples to learn from.")


def _count(share: float, total: int) -> int:
    return int(share) if isinstance(share, int | np.integer) else round(share * total)


def _cut(
    source: Source, pool: np.ndarray, size: int, *, seed: int, groups: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Take `size` examples out of `pool`; both results are sorted."""
    from sklearn.model_selection import train_test_split

    classes = _classes(source, pool)
    if groups is not None:
        return _cut_groups(pool, size, groups[pool], classes, seed=seed)
    if classes is not None:
        _check_classes(source, classes, size)
    kept, taken = train_test_split(pool, test_size=size, random_state=seed, stratify=classes)
    return np.sort(kept), np.sort(taken)


def _cut_groups(
    pool: np.ndarray, size: int, groups: np.ndarray, classes: np.ndarray | None, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.model_selection import GroupShuffleSplit, StratifiedGroupKFold

    found = len(np.unique(groups))
    if found < 2:
        raise ValueError("`groups` must hold at least two different values for each part that is cut off.")
    folds = round(len(pool) / size)
    if classes is not None and 2 <= folds <= found:
        cutter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        kept, taken = next(iter(cutter.split(pool, classes, groups)))
    else:
        share = GroupShuffleSplit(1, test_size=max(1, round(found * size / len(pool))), random_state=seed)
        kept, taken = next(iter(share.split(pool, groups=groups)))
    return np.sort(pool[kept]), np.sort(pool[taken])


def _classes(source: Source, pool: np.ndarray) -> np.ndarray | None:
    strata = None if source.targets is None else source.targets.strata()
    return None if strata is None else strata[pool]


def _check_classes(source: Source, classes: np.ndarray, size: int) -> None:
    names = source.labels.names if source.labels else ()
    counts = np.bincount(classes, minlength=len(names))
    few = [f"{names[index]!r} has {counts[index]}" for index in range(len(names)) if counts[index] < 2]
    problems = check.Problems()
    if few:
        problems.add(f"every class needs at least 2 examples to be split: {check.listing(few)}")
    if (counts > 0).sum() < 2:
        problems.add(f"at least two classes are needed. Received: {check.listing(source.counts().items())}")
    if not few and size < len(names):
        problems.add(f"a part of {size} examples cannot hold each of {len(names)} classes: make `val` or `test` larger")
    problems.raise_if_any()
