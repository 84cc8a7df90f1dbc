"""What a detector gets wrong, and how much average precision each kind of error costs (TIDE, Bolya et al. 2020)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tltk.tasks.boxes.average_precision import precision_at

KINDS = ("class", "box", "both", "duplicate", "background")  # of predicted boxes; missed objects come on top
_MATCH, _NEAR = 0.5, 0.1  # intersection over union of a right box, and of one that belongs to an object at all


class ImageErrors(NamedTuple):
    """The errors in one image.

    Attributes:
        kinds: int8 [detections]: place in `KINDS`; -1 for right boxes, and for those that do not count.
        objects: int32 [detections]: row of the true box that a poor box, or one of the wrong class, belongs to, or -1.
        missed: bool [true]: objects without a matching box.
    """

    kinds: np.ndarray
    objects: np.ndarray
    missed: np.ndarray


def image_errors(
    overlaps: np.ndarray, classes: np.ndarray, true_classes: np.ndarray, is_right: np.ndarray, partners: np.ndarray
) -> ImageErrors:
    """Tell the kind of error of each predicted box in an image.

    Args:
        overlaps: Intersection over union of predicted boxes and true boxes that count, float64 [detections, true].
        classes: int [detections].
        true_classes: int [true].
        is_right: bool [detections]: whether a box is right, or is not counted.
        partners: int [detections]: row of the true box that a right box matches, or -1.
    """
    same = classes[:, None] == true_classes[None]
    same_overlaps, other_overlaps = (np.where(mask, overlaps, 0.0) for mask in (same, ~same))
    best_same, best_other = same_overlaps.max(1, initial=0), other_overlaps.max(1, initial=0)
    is_poor = (best_same >= _NEAR) & (best_same < _MATCH)
    conditions = [
        is_right,
        is_poor,
        best_other >= _MATCH,
        best_same >= _MATCH,
        np.maximum(best_same, best_other) <= _NEAR,
    ]
    codes = [-1, KINDS.index("box"), KINDS.index("class"), KINDS.index("duplicate"), KINDS.index("background")]
    kinds = np.select(conditions, codes, KINDS.index("both")).astype(np.int8)
    objects = np.full(len(classes), -1, np.int32)
    missed = np.ones(len(true_classes), bool)
    if len(true_classes):
        for kind, values in (("box", same_overlaps), ("class", other_overlaps)):
            rows = kinds == KINDS.index(kind)
            objects[rows] = values[rows].argmax(1)
        missed[objects[objects >= 0]] = False
        missed[partners[partners >= 0]] = False
    return ImageErrors(kinds, objects, missed)


class Detections(NamedTuple):
    """All predicted boxes that count, sorted by descending score.

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


def lost_precision(detections: Detections, counts: Sequence[int], missed: Sequence[int]) -> Mapping[str, float]:
    """Compute how much `ap50` would rise if one kind of error were corrected and all others stayed.

    A box of the wrong class gets the right one, and a poor box is moved, unless another box matches the object:
    those, duplicates and boxes on the background are dropped. Missed objects are not counted any more.

    Args:
        detections: The predicted boxes.
        counts: Objects of each class.
        missed: Missed objects of each class.

    Returns:
        Kind, or "missed", → points of `ap50` in [0, 1].
    """
    before = _mean_precision(detections.classes, detections.is_right, counts)
    lost = {}
    for code, kind in enumerate(KINDS):
        is_kind = detections.kinds == code
        is_corrected = np.zeros(len(is_kind), bool)
        if kind in ("class", "box"):
            rows = np.flatnonzero(is_kind & ~detections.is_taken)
            _, highest = np.unique(detections.objects[rows], return_index=True)  # scores are sorted
            is_corrected[rows[highest]] = True
        kept = ~is_kind | is_corrected
        classes = np.where(is_corrected, detections.true_classes, detections.classes)[kept]
        lost[kind] = _mean_precision(classes, (detections.is_right | is_corrected)[kept], counts) - before
    remaining = [count - gone for count, gone in zip(counts, missed, strict=True)]
    lost["missed"] = _mean_precision(detections.classes, detections.is_right, remaining, of=counts) - before
    return lost


def _mean_precision(
    classes: np.ndarray, is_right: np.ndarray, counts: Sequence[int], of: Sequence[int] | None = None
) -> float:
    """Return the mean average precision of the classes that occur, as `ap50` is computed."""
    occurring = [number for number, count in enumerate(of or counts) if count]
    values = [precision_at(is_right[classes == number], counts[number]) for number in occurring]
    return float(np.mean(values)) if values else 0.0
