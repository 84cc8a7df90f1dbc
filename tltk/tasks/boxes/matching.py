"""Matches the boxes that a model finds in an image with the true ones, as COCO's evaluation does."""

from typing import NamedTuple

import numpy as np

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # intersection over union from which a box is found
_AREAS = np.array([[0, 1e10], [0, 32**2], [32**2, 96**2], [96**2, 1e10]])  # pixels: all, small, medium, large
AREA_NAMES = ("all", "small", "medium", "large")


class Matches(NamedTuple):
    """The matches of one class in one image, for each range of areas and each threshold.

    Attributes:
        is_matched: bool [areas, thresholds, found]: whether a found box matches a true one.
        is_ignored: bool [areas, thresholds, found]: whether it counts neither as right nor as wrong.
        counts: int64 [areas], number of true boxes that are to be found.
        partners: int64 [found], the true box that a found one of any size matches at the lowest threshold; -1 for none.
    """

    is_matched: np.ndarray
    is_ignored: np.ndarray
    counts: np.ndarray
    partners: np.ndarray


def overlaps_of(found: np.ndarray, true: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    """Compute the intersection over union of boxes; with ignored boxes, over the area of the found one.

    Args:
        found: float64 [n, 4].
        true: float64 [k, 4].
        ignored: bool [k].

    Returns:
        float64 [n, k].
    """
    low, high = np.maximum(found[:, None, :2], true[None, :, :2]), np.minimum(found[:, None, 2:], true[None, :, 2:])
    intersection = np.maximum(high - low, 0).prod(-1)
    found_area, true_area = (np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(-1) for boxes in (found, true))
    union = np.where(ignored, found_area[:, None], found_area[:, None] + true_area - intersection)
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def match(overlaps: np.ndarray, found_areas: np.ndarray, true_areas: np.ndarray, ignored: np.ndarray) -> Matches:
    """Match the found boxes of a class with the true ones, the surest first.

    A found box takes the free true box that it overlaps most, if by the threshold at least; one that is to be found
    before an ignored one. Ignored boxes can be taken several times. True boxes outside of a range of areas are ignored
    in it, and so are found boxes outside that match nothing. As `COCOeval.evaluateImg` of pycocotools.

    Args:
        overlaps: float64 [n, k], see `overlaps_of`; rows in falling order of scores.
        found_areas: float64 [n], in pixels.
        true_areas: float64 [k], in pixels: that of the object, which may be smaller than its box.
        ignored: bool [k].
    """
    low, high = _AREAS[:, :1], _AREAS[:, 1:]
    is_ignored = ignored | (true_areas < low) | (true_areas > high)  # [areas, k]
    is_outside = (found_areas < low) | (found_areas > high)  # [areas, n]
    areas, thresholds, (count, true_count) = len(_AREAS), len(THRESHOLDS), overlaps.shape
    matched = np.zeros((areas, thresholds, count), bool)
    matched_ignored = np.zeros((areas, thresholds, count), bool)
    partners = np.full(count, -1)
    limits = np.minimum(THRESHOLDS, 1 - 1e-10)[:, None]
    is_free = np.ones((areas, thresholds, true_count), bool)
    preference = 2.0 * ~is_ignored[:, None]
    area_rows, threshold_rows = np.meshgrid(np.arange(areas), np.arange(thresholds), indexing="ij")
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
