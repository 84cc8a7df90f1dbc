"""What a detector gets wrong, and how much average precision each kind of error costs (TIDE, Bolya et al. 2020)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tltk.tasks.boxes.average_precision import precision_at

KINDS = ("class", "box", "both", "duplicate", "background")  # of found boxes; a missed object is a kind of its own
_FOUND, _NEAR = 0.5, 0.1  # intersection over union from which a box is found, and from which it belongs to an object


class ImageErrors(NamedTuple):
    """The errors in one image.

    Attributes:
        kinds: int8 [found]: place in `KINDS`; -1 for right boxes, and for those that do not count.
        objects: int32 [found]: row of the true box that a poor box, or one of the wrong class, belongs to; else -1.
        missed: bool [true]: objects that no box belongs to.
    """

    kinds: np.ndarray
    objects: np.ndarray
    missed: np.ndarray


def image_errors(
    overlaps: np.ndarray, classes: np.ndarray, true_classes: np.ndarray, is_right: np.ndarray, partners: np.ndarray
) -> ImageErrors:
    """Tell the kind of error of each found box in an image.

    Args:
        overlaps: Intersection over union of found and true boxes that are to be found, float64 [found, true].
        classes: int [found].
        true_classes: int [true].
        is_right: bool [found]: whether a box is right, or is not counted.
        partners: int [found]: row of the true box that a right one matches; -1 for none.
    """
    same = classes[:, None] == true_classes[None]
    own, other = (np.where(mask, overlaps, 0.0) for mask in (same, ~same))
    best_own, best_other = own.max(1, initial=0), other.max(1, initial=0)
    is_poor = (best_own >= _NEAR) & (best_own < _FOUND)
    conditions = [
        is_right,
        is_poor,
        best_other >= _FOUND,
        best_own >= _FOUND,
        np.maximum(best_own, best_other) <= _NEAR,
    ]
    codes = [-1, KINDS.index("box"), KINDS.index("class"), KINDS.index("duplicate"), KINDS.index("background")]
    kinds = np.select(conditions, codes, KINDS.index("both")).astype(np.int8)
    objects = np.full(len(classes), -1, np.int32)
    missed = np.ones(len(true_classes), bool)
    if len(true_classes):
        for kind, values in (("box", own), ("class", other)):
            rows = kinds == KINDS.index(kind)
            objects[rows] = values[rows].argmax(1)
        missed[objects[objects >= 0]] = False
        missed[partners[partners >= 0]] = False
    return ImageErrors(kinds, objects, missed)


class FoundBoxes(NamedTuple):
    """All found boxes that count, in the order of falling scores.

    Attributes:
        classes: int [n].
        is_right: bool [n].
        kinds: int8 [n], see `ImageErrors`.
        objects: int64 [n], number of the true box that a box of the wrong class or with a poor box belongs to; else -1.
        true_classes: int [n], class of that true box; else -1.
        is_taken: bool [n], whether a right box matches that true box.
    """

    classes: np.ndarray
    is_right: np.ndarray
    kinds: np.ndarray
    objects: np.ndarray
    true_classes: np.ndarray
    is_taken: np.ndarray


def lost_precision(found: FoundBoxes, counts: Sequence[int], missed: Sequence[int]) -> Mapping[str, float]:
    """Compute how much `ap50` would rise if one kind of error were corrected and all others stayed.

    A box of the wrong class gets the right one, and a poor box is moved, unless another box has found the object:
    those, duplicates and boxes on the background are dropped. Missed objects are not counted any more.

    Args:
        found: The found boxes.
        counts: Objects of each class.
        missed: Missed objects of each class.

    Returns:
        Kind, or "missed", → points of `ap50` in [0, 1].
    """
    before = _mean_precision(found.classes, found.is_right, counts)
    lost = {}
    for code, kind in enumerate(KINDS):
        is_kind = found.kinds == code
        is_corrected = np.zeros(len(is_kind), bool)
        if kind in ("class", "box"):
            rows = np.flatnonzero(is_kind & ~found.is_taken)
            is_corrected[rows[np.unique(found.objects[rows], return_index=True)[1]]] = True  # the surest of each object
        kept = ~is_kind | is_corrected
        classes = np.where(is_corrected, found.true_classes, found.classes)[kept]
        lost[kind] = _mean_precision(classes, (found.is_right | is_corrected)[kept], counts) - before
    remaining = [count - gone for count, gone in zip(counts, missed, strict=True)]
    lost["missed"] = _mean_precision(found.classes, found.is_right, remaining, of=counts) - before
    return lost


def _mean_precision(
    classes: np.ndarray, is_right: np.ndarray, counts: Sequence[int], of: Sequence[int] | None = None
) -> float:
    """Return the mean average precision of the classes that occur, as `ap50` is computed."""
    occurring = [number for number, count in enumerate(of or counts) if count]
    values = [precision_at(is_right[classes == number], counts[number]) for number in occurring]
    return float(np.mean(values)) if values else 0.0
