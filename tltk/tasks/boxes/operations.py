"""Overlaps of boxes, in a graph or eagerly."""

from typing import Any

import keras

_EPSILON = 1e-7  # areas of empty boxes


def area(boxes: Any) -> Any:
    """Compute the area of boxes.

    Args:
        boxes: float [..., 4].

    Returns:
        float [...]; 0 for boxes whose edges are in the wrong order.

    Examples:
        >>> area([[0.0, 0.0, 2.0, 3.0]]).numpy().tolist()
        [6.0]
    """
    ops = keras.ops
    boxes = ops.convert_to_tensor(boxes)
    sides = ops.maximum(boxes[..., 2:] - boxes[..., :2], 0.0)
    return sides[..., 0] * sides[..., 1]


def iou(boxes: Any, others: Any) -> Any:
    """Compute the intersection over union of boxes with boxes of the same or a broadcastable shape.

    Args:
        boxes: float [..., 4].
        others: float [..., 4].

    Returns:
        float [...], in [0, 1]; 0 if both are empty.

    Examples:
        >>> round(float(iou([0.0, 0.0, 2.0, 2.0], [0.0, 1.0, 2.0, 3.0])), 4)
        0.3333
    """
    intersection, union = _intersection_and_union(boxes, others)
    return intersection / keras.ops.maximum(union, _EPSILON)


def pairwise_iou(boxes: Any, others: Any) -> Any:
    """Compute the intersection over union of every box with every other one.

    Args:
        boxes: float [..., n, 4].
        others: float [..., k, 4].

    Returns:
        float [..., n, k].
    """
    ops = keras.ops
    return iou(ops.expand_dims(boxes, -2), ops.expand_dims(others, -3))


def giou(boxes: Any, others: Any) -> Any:
    """Compute the generalized intersection over union (Rezatofighi et al. 2019), which also orders disjoint boxes.

    Args:
        boxes: float [..., 4].
        others: float [..., 4].

    Returns:
        float [...], in (-1, 1]: the intersection over union minus the share of the smallest enclosing box that neither
        of the two covers.

    Examples:
        >>> round(float(giou([0.0, 0.0, 1.0, 1.0], [0.0, 2.0, 1.0, 3.0])), 4)
        -0.3333
    """
    ops = keras.ops
    boxes, others = ops.convert_to_tensor(boxes), ops.convert_to_tensor(others)
    intersection, union = _intersection_and_union(boxes, others)
    low, high = ops.minimum(boxes[..., :2], others[..., :2]), ops.maximum(boxes[..., 2:], others[..., 2:])
    enclosing = ops.maximum(area(ops.concatenate([low, high], axis=-1)), _EPSILON)
    return intersection / ops.maximum(union, _EPSILON) - (enclosing - union) / enclosing


def _intersection_and_union(boxes: Any, others: Any) -> tuple[Any, Any]:
    ops = keras.ops
    boxes, others = ops.convert_to_tensor(boxes), ops.convert_to_tensor(others)
    low, high = ops.maximum(boxes[..., :2], others[..., :2]), ops.minimum(boxes[..., 2:], others[..., 2:])
    intersection = area(ops.concatenate([low, high], axis=-1))
    return intersection, area(boxes) + area(others) - intersection
