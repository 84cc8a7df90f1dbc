"""Apply the affine map of an image to its boxes and masks."""

from typing import TypeAlias

import tensorflow as tf

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput

Targets: TypeAlias = tf.Tensor | dict[str, tf.Tensor]

NO_OBJECT = -1  # label of a row of boxes without an object
IGNORE = 255  # mask value of pixels that the original image does not cover
# Fraction of a box that must stay in the image (`overlap_thresh` of crops in the TensorFlow Object Detection API).
MIN_VISIBLE = 0.3
_MASKS = 'Pass masks as {"masks": …}, so that they move with their images.'


def move_targets(targets: Targets, matrices: tf.Tensor, images: tf.Tensor) -> Targets:
    """Move boxes and masks with their images.

    A box becomes the axis-aligned bounding box of its moved corners, clipped to the image. If less than 30 % of its
    area is left, its row is marked as empty: label -1, box 0, 0, 0, 0. The order of rows does not change. A mask is
    sampled at the nearest pixel, and has the value 255 ("ignore") outside the original image.

    Args:
        targets: Numbers [b] and vectors [b, k] are returned unchanged. A dict may hold "boxes" float [b, n, 4] (y_min,
            x_min, y_max, x_max in pixels; an image of height h spans 0 to h) with their "labels" int [b, n] (-1: no
            object), and "masks" int [b, h, w]. Other entries must have at most two axes, and are returned unchanged.
        matrices: float32 [b, 2, 3]; see `warp`.
        images: [b, h, w, c]; only their size is used.

    Returns:
        Targets with the same structure, shapes and dtypes.

    Raises:
        InvalidInput: If an entry of the dict has an unexpected shape or dtype, or a mask is not in a dict.
    """
    check_targets(targets)
    if not isinstance(targets, dict):
        return targets
    _check(targets, images)
    moved = dict(targets)
    if "boxes" in targets:
        moved["boxes"], moved["labels"] = _move_boxes(targets["boxes"], targets["labels"], matrices, images)
    if "masks" in targets:
        moved["masks"] = _move_masks(targets["masks"], matrices)
    return moved


def check_targets(targets: Targets) -> None:
    """Raise if a single tensor could be a mask: it would stay where it is while the pixels of its image move.

    Raises:
        InvalidInput: If a tensor outside of a dict has more than two axes.
    """
    if isinstance(targets, dict):
        return
    rank = tf.TensorShape(targets.shape).rank
    if rank is None:
        tf.debugging.assert_rank_in(targets, (1, 2), f"`targets` must be [b] or [b, k]. {_MASKS}")
    elif rank > 2:
        raise InvalidInput(f"`targets` must be [b] or [b, k]. Received: {_described(targets)}. {_MASKS}")


def projective(matrices: tf.Tensor) -> tf.Tensor:
    """Convert matrices [b, 2, 3] to the format of `ImageProjectiveTransformV3`, float32 [b, 8]."""
    return tf.pad(tf.reshape(matrices, [-1, 6]), [[0, 0], [0, 2]])


def _move_boxes(
    boxes: tf.Tensor, labels: tf.Tensor, matrices: tf.Tensor, images: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    xx, xy, yx, yy, x_shift, y_shift = _inverse(matrices)
    y_min, x_min, y_max, x_max = tf.unstack(tf.cast(boxes, tf.float32), axis=-1)  # [b, n] each
    x_low, x_high = _range(xx, x_min, x_max, xy, y_min, y_max, x_shift)
    y_low, y_high = _range(yx, x_min, x_max, yy, y_min, y_max, y_shift)
    height, width = (tf.cast(tf.shape(images)[axis], tf.float32) for axis in (1, 2))
    unclipped = tf.stack([y_low, x_low, y_high, x_high], -1)  # [b, n, 4]
    clipped = tf.clip_by_value(unclipped, 0.0, tf.stack([height, width, height, width]))
    visible_area = _area(clipped)
    kept = (labels >= 0) & (visible_area > 0) & (visible_area >= MIN_VISIBLE * _area(unclipped))
    moved = tf.where(kept[..., None], clipped, 0.0)
    return tf.cast(moved, boxes.dtype), tf.where(kept, labels, tf.cast(NO_OBJECT, labels.dtype))


def _inverse(matrices: tf.Tensor) -> list[tf.Tensor]:
    """Invert affine maps of pixel indices to maps of box edges: six coefficients [b, 1] of input edge → output edge.

    Pixel i has its centre at i + 0.5 in the coordinates of boxes; the identity leaves boxes exactly as they are.
    """
    xx, xy, x_shift, yx, yy, y_shift = tf.unstack(tf.reshape(matrices, [-1, 6, 1]), axis=1)
    determinant = xx * yy - xy * yx
    inverse = yy / determinant, -xy / determinant, -yx / determinant, xx / determinant
    x_centre, y_centre = x_shift + 0.5, y_shift + 0.5
    return [
        *inverse,
        0.5 - (inverse[0] * x_centre + inverse[1] * y_centre),
        0.5 - (inverse[2] * x_centre + inverse[3] * y_centre),
    ]


def _range(
    x_factor: tf.Tensor,
    x_min: tf.Tensor,
    x_max: tf.Tensor,
    y_factor: tf.Tensor,
    y_min: tf.Tensor,
    y_max: tf.Tensor,
    shift: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the minimum and maximum of a linear function over the corners of each box, [b, n] each."""
    x_terms, y_terms = (x_factor * x_min, x_factor * x_max), (y_factor * y_min, y_factor * y_max)
    return tf.minimum(*x_terms) + tf.minimum(*y_terms) + shift, tf.maximum(*x_terms) + tf.maximum(*y_terms) + shift


def _area(boxes: tf.Tensor) -> tf.Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _move_masks(masks: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(masks, tf.int32)[..., None],
        transforms=projective(matrices),
        output_shape=tf.shape(masks)[1:],
        fill_value=float(IGNORE),
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )
    return tf.ensure_shape(tf.cast(moved[..., 0], masks.dtype), masks.shape)


def _check(targets: dict[str, tf.Tensor], images: tf.Tensor) -> None:
    problems = check.Problems()
    for key, value in targets.items():
        if isinstance(value, tf.RaggedTensor):
            problems.add(f"`targets[{key!r}]` is ragged: pad labels with .to_tensor(-1), and boxes with .to_tensor()")
        elif key not in ("boxes", "labels", "masks") and (value.shape.rank is None or value.shape.rank > 2):
            problems.add(
                f'`targets[{key!r}]` cannot be moved with the image: only "boxes" and "masks" can. '
                f"Received: {_described(value)}"
            )
    problems.raise_if_any()
    if "boxes" in targets:
        _check_boxes(problems, targets["boxes"], targets.get("labels"))
    if "masks" in targets:
        _check_masks(problems, targets["masks"], images)
    problems.raise_if_any()


def _check_boxes(problems: check.Problems, boxes: tf.Tensor, labels: tf.Tensor | None) -> None:
    if not boxes.dtype.is_floating or boxes.shape.rank != 3 or boxes.shape[2] != 4:
        problems.add(f'`targets["boxes"]` must be float32 [b, n, 4]. Received: {_described(boxes)}')
    if labels is None:
        problems.add('`targets["boxes"]` needs `targets["labels"]` int [b, n], -1 for rows without an object')
    elif not labels.dtype.is_integer or labels.dtype.is_unsigned or labels.shape.rank != 2:
        problems.add(f'`targets["labels"]` must be int32 or int64 [b, n]. Received: {_described(labels)}')


def _check_masks(problems: check.Problems, masks: tf.Tensor, images: tf.Tensor) -> None:
    holds_ignore = masks.dtype.is_integer and masks.dtype.max >= IGNORE
    if not holds_ignore or not masks.shape.is_compatible_with(images.shape[:3]):
        problems.add(
            f'`targets["masks"]` must be uint8 or int32 [b, h, w], of the size of the images ({_described(images)}). '
            f"Received: {_described(masks)}"
        )


def _described(tensor: tf.Tensor) -> str:
    return f"{tensor.dtype.name} {tensor.shape}"
