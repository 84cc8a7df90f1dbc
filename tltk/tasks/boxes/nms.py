"""Non-maximum suppression, in the graph of `predict` and of exports."""

import tensorflow as tf


def suppress(
    boxes: tf.Tensor, scores: tf.Tensor, *, max_detections: int, min_score: float, max_iou: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Remove overlapping boxes of each class, and keep the boxes with the highest scores.

    Args:
        boxes: float32 [b, n, 4].
        scores: float32 [b, n, classes].
        max_detections: Maximum number of boxes per image, and per class.
        min_score: Boxes with this score or a lower one are dropped.
        max_iou: Boxes that overlap a box of their class with a higher score by more are dropped.

    Returns:
        Boxes float32 [b, max_detections, 4], scores float32 and classes int32 [b, max_detections], the best first, and
        the number of boxes of each image, int32 [b]; the others are zeros.

    Examples:
        >>> boxes = tf.constant([[[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 3.9], [9.0, 9.0, 12.0, 12.0]]])
        >>> scores = tf.constant([[[0.9], [0.8], [0.7]]])
        >>> _, kept, _, counts = suppress(boxes, scores, max_detections=5, min_score=0.1, max_iou=0.5)
        >>> [round(score, 1) for score in kept[0].numpy().tolist()], counts.numpy().tolist()
        ([0.9, 0.7, 0.0, 0.0, 0.0], [2])
    """
    kept = tf.image.combined_non_max_suppression(
        boxes[:, :, None],
        scores,
        max_output_size_per_class=max_detections,
        max_total_size=max_detections,
        iou_threshold=max_iou,
        score_threshold=min_score,
        clip_boxes=False,
    )
    return kept.nmsed_boxes, kept.nmsed_scores, tf.cast(kept.nmsed_classes, tf.int32), kept.valid_detections
