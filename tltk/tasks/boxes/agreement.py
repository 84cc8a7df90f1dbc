"""Compares the objects that two models, such as a model and its export, detect."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tltk.tasks.boxes.objects import DetectedObject
from tltk.tasks.boxes.operations import pairwise_iou

_SAME = 0.9  # intersection over union of two boxes of the same object
_SAME_EXACTLY = 0.999
_SAME_EDGES = 0.01  # pixels; a thin box overlaps itself by less if rounding moves an edge
_NEAR_LIMIT = 0.01  # scores this near to the limit may fall on its other side


def boxes_difference(answer: Mapping[str, Any], other: Mapping[str, Any], *, tolerance: float, min_score: float) -> str:
    """Compare the decoded objects of one image.

    Objects are matched by class and place, since the order of nearly equal scores is arbitrary, and so is whether an
    object just at the lowest score is returned.

    Args:
        answer: "boxes", "scores", "labels" and "count" of the image.
        other: The same of another model.
        tolerance: Largest difference of scores.
        min_score: Score above which objects are returned.

    Returns:
        The first difference, "" if there is none.
    """
    for name in ("boxes", "scores", "labels", "count"):
        if other.get(name) is None:
            return f"`{name}` is missing"
    one, two = _decoded(answer), _decoded(other)
    for objects, others, where in ((one, two, "the other"), (two, one, "the first")):
        lowest = min_score if len(objects.scores) < len(answer["scores"]) else float(objects.scores.min(initial=1))
        match = _matches(objects, others, _SAME_EXACTLY, max_shift=_SAME_EDGES)
        for label, score, place in zip(objects.labels, objects.scores, match, strict=True):
            if place < 0 and score >= lowest + _NEAR_LIMIT:
                return f"`boxes`: {label!r} with the score {score:.4f} is not among those of {where}"
            if place >= 0 and abs(score - others.scores[place]) > tolerance:
                return f"`scores` differs by {abs(score - others.scores[place]):.1e}"
    return ""


def changed_boxes(objects: Sequence[DetectedObject], others: Sequence[DetectedObject], threshold: float) -> bool:
    """Tell whether an object above a score is detected by only one of two models.

    Args:
        objects: Objects of an image.
        others: Objects that another model detects in it.
        threshold: Score from which objects count; the other model may give a lower one.

    Examples:
        >>> cat = DetectedObject("cat", 0.9, 0, 0, 10, 10)
        >>> changed_boxes([cat], [cat._replace(score=0.2)], 0.5), changed_boxes([cat], [], 0.5)
        (False, True)
    """
    one, two = _columns(objects), _columns(others)
    for side, other in ((one, two), (two, one)):
        match = _matches(side, other, _SAME)
        if any(score >= threshold and place < 0 for score, place in zip(side.scores, match, strict=True)):
            return True
    return False


class _Columns(NamedTuple):
    labels: np.ndarray  # object [n]
    scores: np.ndarray  # float32 [n]
    boxes: np.ndarray  # float32 [n, 4]


def _decoded(answer: Mapping[str, Any]) -> _Columns:
    count = int(answer["count"])
    labels, scores, boxes = (np.asarray(answer[name])[:count] for name in ("labels", "scores", "boxes"))
    return _Columns(labels.astype(object), scores, boxes)


def _columns(objects: Sequence[DetectedObject]) -> _Columns:
    boxes = np.array([detection.box for detection in objects], np.float32).reshape(-1, 4)
    labels, scores = ([detection.label for detection in objects], [detection.score for detection in objects])
    return _Columns(np.array(labels, object), np.array(scores, np.float32), boxes)


def _matches(objects: _Columns, others: _Columns, min_iou: float, *, max_shift: float = 0.0) -> np.ndarray:
    """Return the index of the best overlapping object of the same class for each object, or -1.

    Boxes whose edges are at most `max_shift` pixels apart count as equal, however small they are.
    """
    if not len(objects.labels) or not len(others.labels):
        return np.full(len(objects.labels), -1)
    overlaps = np.asarray(pairwise_iou(objects.boxes, others.boxes))
    shifts = np.abs(objects.boxes[:, None] - others.boxes[None]).max(-1)
    overlaps = np.where(shifts <= max_shift, 1.0, overlaps)
    overlaps = np.where(objects.labels[:, None] == others.labels[None], overlaps, -1)
    return np.where(overlaps.max(1) >= min_iou, overlaps.argmax(1), -1)
