"""Quick checks of the data before a fit, without decoding anything; `tltk.inspect` checks more."""

import logging

import numpy as np

from tltk.data.fingerprints import fingerprints
from tltk.data.source import Source
from tltk.foundation import checks as check

log = logging.getLogger("tltk")

_UNEVEN = 10  # times as many examples
_MAX_BYTES = 2**30  # of an array that is hashed, which takes a second
_SHOWN = 3
_MORE = "tltk.inspect lists them"


def tell(train: object, val: object, *, is_balanced: bool = False) -> None:
    """Warn of equal examples in training and validation, of equal ones in two classes, and of uneven classes.

    Args:
        train: Training examples; only a `Source` is checked.
        val: Validation examples, or None.
        is_balanced: Whether something is done about uneven classes, so that they need no warning.
    """
    if isinstance(train, Source):
        for note in notes(train, val if isinstance(val, Source) else None, is_balanced=is_balanced):
            log.warning("%s.", note)


def notes(train: Source, val: Source | None, *, is_balanced: bool = False) -> list[str]:
    """Return warnings to read before training, one sentence each.

    Args:
        train: Training examples.
        val: Validation examples, or None.
        is_balanced: See `tell`.

    Examples:
        >>> from tltk import from_arrays
        >>> notes(from_arrays(["a fine day", "rain"], [0, 1]), from_arrays(["rain"], [1], labels=["0", "1"]))
        ['1 of 1 validation examples are in training too (example 0): its score is too good; tltk.inspect lists them']
    """
    sentences = []
    absent = [repr(name) for name, count in train.counts().items() if not count]
    if absent:
        sentences.append(f"classes without training examples: {check.listing(absent)}; the model cannot learn them")
    sentences += group_notes(train)
    counts = {name: count for name, count in train.counts().items() if count}
    if counts and not is_balanced and max(counts.values()) >= _UNEVEN * min(counts.values()):
        most, least = (choose(counts, key=lambda name: counts[name]) for choose in (max, min))
        has_one_class = train.targets.classes() is not None  # of boxes or several labels, several
        advice = 'accuracy says little about the latter, and balance="auto" may help'
        advice = advice if has_one_class else "look at the scores of each"
        noun = "examples " if has_one_class else ""
        sentences.append(
            f"classes are uneven: {counts[most]:,} {noun}of {most}, {counts[least]:,} of {least}; {advice}"
        )
    prints = _prints(train)
    if prints is None:
        return sentences
    sentences += _in_two_classes(train, prints)
    other_prints = None if val is None else _prints(val)
    if val is not None and other_prints is not None:
        training_prints = set(prints) - {""}
        rows = [row for row, value in enumerate(other_prints) if value in training_prints]
        names = check.listing((val.id_of(row) for row in rows), limit=_SHOWN)
        if rows:
            sentences.append(
                f"{len(rows):,} of {len(val):,} validation examples are in training too ({names}): its score is too "
                f"good; {_MORE}"
            )
    return sentences


def group_notes(source: Source) -> list[str]:
    """Return a warning of classes whose examples are all in one group, which no cross-validation can judge."""
    classes = None if source.targets is None else source.targets.classes()
    if classes is None or source.groups is None or source.labels is None:
        return []
    pairs = np.unique(np.stack([np.asarray(classes), np.unique(source.groups, return_inverse=True)[1]]), axis=1)
    counts = np.bincount(pairs[0], minlength=len(source.labels.names))
    names = [repr(source.labels.names[number]) for number in np.flatnonzero(counts == 1)]
    if not names:
        return []
    return [f"classes whose examples are all one group: {check.listing(names)}; no cross-validation can judge them"]


def _in_two_classes(train: Source, prints: list[str]) -> list[str]:
    """Find equal examples with different classes."""
    targets = None if train.targets is None else train.targets.classes()
    if targets is None:
        return []
    classes: dict[str, int] = {}
    rows = []
    for row, (value, label) in enumerate(zip(prints, np.asarray(targets).tolist(), strict=True)):
        if value and classes.setdefault(value, label) != label:
            rows.append(row)
    names = check.listing((train.id_of(row) for row in rows), limit=_SHOWN)
    return [f"{len(rows):,} examples have an identical copy in another class ({names}); {_MORE}"] if rows else []


def _prints(source: Source) -> list[str] | None:
    """Return the fingerprints of a source; None if that would take long."""
    return None if getattr(source.examples, "nbytes", 0) > _MAX_BYTES else fingerprints(source)
