"""Matches the predicted boxes of an image with the true boxes, as COCO's evaluation does."""

from typing import NamedTuple

import numpy as np

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # intersection over union from which boxes match
_AREAS = np.array([[0, 1e10], [0, 32**2], [32**2, 96**2], [96**2, 1e10]])  # pixels: all, small, medium, large
AREA_NAMES = ("all", "small", "medium", "large")


_PLACES = np.uint64(1) << np.arange(len(AREA_NAMES) * len(THRESHOLDS), dtype=np.uint64).reshape(len(AREA_NAMES), -1)


class Matches(NamedTuple):
    """The matches of one class in one image, for each range of areas and each threshold.

    Attributes:
        is_matched: bool [areas, thresholds, detections]: whether a predicted box matches a true box.
        is_ignored: bool [areas, thresholds, detections]: whether it counts neither as right nor as wrong.
        counts: int64 [areas], number of true boxes that count.
        partners: int64 [detections], true box that a predicted box matches at the lowest threshold and any size, or -1.
    """

    is_matched: np.ndarray
    is_ignored: np.ndarray
    counts: np.ndarray
    partners: np.ndarray


def overlaps_of(detections: np.ndarray, truth: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    """Compute the intersection over union of boxes; with ignored boxes, divide by the area of the predicted box.

    Args:
        detections: Predicted boxes, float64 [n, 4].
        truth: True boxes, float64 [k, 4].
        ignored: bool [k].

    Returns:
        float64 [n, k].
    """
    low = np.maximum(detections[:, None, :2], truth[None, :, :2])
    high = np.minimum(detections[:, None, 2:], truth[None, :, 2:])
    intersection = np.maximum(high - low, 0).prod(-1)
    areas, true_areas = (np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(-1) for boxes in (detections, truth))
    union = np.where(ignored, areas[:, None], areas[:, None] + true_areas - intersection)
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def match(overlaps: np.ndarray, areas: np.ndarray, true_areas: np.ndarray, ignored: np.ndarray) -> Matches:
    """Match the predicted boxes of a class with the true boxes, highest score first.

    A predicted box takes the free true box that it overlaps most, if the overlap reaches the threshold; true boxes that
    count come before ignored ones. Ignored boxes can be taken several times. True boxes outside a range of areas are
    ignored in it, and so are unmatched predicted boxes outside it. As `COCOeval.evaluateImg` of pycocotools.

    Args:
        overlaps: float64 [n, k], see `overlaps_of`; rows sorted by descending score.
        areas: float64 [n], in pixels.
        true_areas: float64 [k], in pixels: that of the object, which may be smaller than its box.
        ignored: bool [k].
    """
    low, high = _AREAS[:, :1], _AREAS[:, 1:]
    is_ignored = ignored | (true_areas < low) | (true_areas > high)  # [areas, k]
    is_outside = (areas < low) | (areas > high)  # [areas, n]
    area_count, threshold_count, (count, true_count) = len(_AREAS), len(THRESHOLDS), overlaps.shape
    matched = np.zeros((area_count, threshold_count, count), bool)
    matched_ignored = np.zeros((area_count, threshold_count, count), bool)
    partners = np.full(count, -1)
    limits = np.minimum(THRESHOLDS, 1 - 1e-10)[:, None]
    is_free = np.ones((area_count, threshold_count, true_count), bool)
    preference = 2.0 * ~is_ignored[:, None]
    area_rows, threshold_rows = np.meshgrid(np.arange(area_count), np.arange(threshold_count), indexing="ij")
    for row in np.flatnonzero(overlaps.max(1, initial=0) >= limits[0, 0]) if true_count else ():
        values = np.where(is_free & (overlaps[row] >= limits), overlaps[row] + preference, -1.0)
        best = true_count - 1 - values[..., ::-1].argmax(-1)  # the last of equal ones
        is_match = values.max(-1) >= 0
        matched[..., row] = is_match
        matched_ignored[..., row] = is_match & is_ignored[area_rows, best]
        taken = is_match & ~ignored[best]
        is_free[area_rows[taken], threshold_rows[taken], best[taken]] = False
        partners[row] = best[0, 0] if is_match[0, 0] else -1
    left_out = matched_ignored | (~matched & is_outside[:, None])
    return Matches(matched, left_out, (~is_ignored).sum(1), partners)


def pack(flags: np.ndarray) -> np.ndarray:
    """Pack flags of all areas and thresholds, bool [areas, thresholds, n], into the bits of uint64 [n]."""
    return np.where(flags, _PLACES[..., None], np.uint64(0)).sum((0, 1), dtype=np.uint64)


def unpack(bits: np.ndarray, area: int, threshold: int) -> np.ndarray:
    """Return the flags of one area and one threshold, bool [n].

    Examples:
        >>> flags = np.zeros((4, 10, 2), bool)
        >>> flags[3, 9, 1] = True
        >>> unpack(pack(flags), 3, 9), unpack(pack(flags), 3, 8)
        (array([False,  True]), array([False, False]))
    """
    return (bits & _PLACES[area, threshold]) > 0
