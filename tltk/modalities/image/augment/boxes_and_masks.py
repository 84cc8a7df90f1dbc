"""Apply the affine map of an image to its boxes and masks."""

from typing import Any

import tensorflow as tf

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.modalities.augmentation import Targets

NO_OBJECT = -1  # label of a row of boxes without an object
IGNORE = 255  # mask value of pixels that the original image does not cover
# Fraction of a box that must stay in the image (`overlap_thresh` of crops in the TensorFlow Object Detection API).
MIN_VISIBLE = 0.3
TRUNCATED = ("drop", "ignore")
_MASKS = 'Pass masks as {"masks": …}, so that they move with their images.'


def move_targets(
    targets: Targets,
    matrices: tf.Tensor,
    images: tf.Tensor,
    *,
    min_visibility: float = MIN_VISIBLE,
    truncated: str = "drop",
) -> Targets:
    """Move boxes and masks with their images.

    A box becomes the axis-aligned bounding box of its moved corners, clipped to the image. If too little of its area is
    left, its row is marked as empty: label -1, box 0, 0, 0, 0. The order of rows does not change. A mask is sampled at
    the nearest pixel, and has the value 255 ("ignore") outside the original image.

    Args:
        targets: Numbers [b] and vectors [b, k] are returned unchanged. A dict may hold "boxes" float [b, n, 4] (y_min,
            x_min, y_max, x_max in pixels; an image of height h spans 0 to h) with their "labels" int [b, n] (-1: no
            object), and "masks" int [b, h, w]. Other entries must have at most two axes, and are returned unchanged.
        matrices: float32 [b, 2, 3]; see `warp`.
        images: [b, h, w, c]; only their size is used.
        min_visibility: Smallest fraction of the area of a box that must be left in the image, in [0, 1].
        truncated: How boxes with a smaller visible part are handled: "drop" marks the row as empty; "ignore" keeps
            the visible part and sets "ignored" bool [b, n], which the targets must have. Boxes outside the image
            are always dropped.

    Returns:
        Targets with the same structure, shapes and dtypes.

    Raises:
        InvalidInput: If an entry of the dict has an unexpected shape or dtype, or a mask is not in a dict.
    """
    check_targets(targets)
    if not isinstance(targets, dict):
        return targets
    check_entries(targets, images, truncated=truncated)
    moved = dict(targets)
    if "boxes" in targets:
        height, width = (tf.cast(tf.shape(images)[axis], tf.float32) for axis in (1, 2))
        bounds = tf.stack([0.0, 0.0, height, width])
        options: dict[str, Any] = {"min_visibility": min_visibility, "truncated": truncated}
        moved |= move_boxes(targets, matrices, bounds, **options)
    if "masks" in targets:
        moved["masks"] = move_masks(targets["masks"], matrices)
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
        raise InvalidInput(f"`targets` must be [b] or [b, k]. Received: {described(targets)}. {_MASKS}")


def projective(matrices: tf.Tensor) -> tf.Tensor:
    """Convert matrices [b, 2, 3] to the format of `ImageProjectiveTransformV3`, float32 [b, 8]."""
    return tf.pad(tf.reshape(matrices, [-1, 6]), [[0, 0], [0, 2]])


def move_boxes(
    targets: dict[str, tf.Tensor], matrices: tf.Tensor, bounds: tf.Tensor, *, min_visibility: float, truncated: str
) -> dict[str, tf.Tensor]:
    """Move boxes, and clip them to a rectangle.

    Args:
        targets: "boxes", "labels" and, if `truncated` is "ignore", "ignored"; checked by `check_entries`.
        matrices: float32 [b, 2, 3]; see `warp`.
        bounds: float32 [4] or [b, 1, 4], the rectangle: y_min, x_min, y_max, x_max.
        min_visibility: See `move_targets`.
        truncated: See `move_targets`.

    Returns:
        The entries that change.
    """
    xx, xy, yx, yy, x_shift, y_shift = _inverse(matrices)
    boxes, labels = targets["boxes"], targets["labels"]
    y_min, x_min, y_max, x_max = tf.unstack(tf.cast(boxes, tf.float32), axis=-1)  # [b, n] each
    x_low, x_high = _range(xx, x_min, x_max, xy, y_min, y_max, x_shift)
    y_low, y_high = _range(yx, x_min, x_max, yy, y_min, y_max, y_shift)
    unclipped = tf.stack([y_low, x_low, y_high, x_high], -1)  # [b, n, 4]
    low, high = bounds[..., :2], bounds[..., 2:]
    clipped = tf.clip_by_value(unclipped, tf.concat([low, low], -1), tf.concat([high, high], -1))
    visible_area = area(clipped)
    is_left = (labels >= 0) & (visible_area > 0)
    is_visible = is_left & (visible_area >= min_visibility * area(unclipped))
    kept = is_left if truncated == "ignore" else is_visible
    entries = {
        "boxes": tf.cast(tf.where(kept[..., None], clipped, 0.0), boxes.dtype),
        "labels": tf.where(kept, labels, tf.cast(NO_OBJECT, labels.dtype)),
    }
    if truncated == "ignore":
        entries["ignored"] = targets["ignored"] | (kept & ~is_visible)
    return entries


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


def area(boxes: tf.Tensor) -> tf.Tensor:
    """Return the areas of boxes [..., 4]."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def move_masks(masks: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
    """Sample masks [b, h, w] at the nearest pixels, 255 outside of them; see `move_targets`."""
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(masks, tf.int32)[..., None],
        transforms=projective(matrices),
        output_shape=tf.shape(masks)[1:],
        fill_value=float(IGNORE),
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )
    return tf.ensure_shape(tf.cast(moved[..., 0], masks.dtype), masks.shape)


def check_entries(targets: dict[str, tf.Tensor], images: tf.Tensor, *, truncated: str = "drop") -> None:
    """Raise unless the entries of a dict can be moved with images; see `move_targets`.

    Raises:
        InvalidInput: All problems are listed.
    """
    problems = check.Problems()
    for key, value in targets.items():
        if isinstance(value, tf.RaggedTensor):
            problems.add(f"`targets[{key!r}]` is ragged: pad labels with .to_tensor(-1), and boxes with .to_tensor()")
        elif key not in ("boxes", "labels", "masks") and (value.shape.rank is None or value.shape.rank > 2):
            problems.add(
                f'`targets[{key!r}]` cannot be moved with the image: only "boxes" and "masks" can. '
                f"Received: {described(value)}"
            )
    problems.raise_if_any()
    if "boxes" in targets:
        _check_boxes(problems, targets["boxes"], targets.get("labels"))
        if truncated == "ignore" and "ignored" not in targets:
            problems.add('truncated="ignore" needs `targets["ignored"]` bool [b, n]')
    if "masks" in targets:
        _check_masks(problems, targets["masks"], images)
    problems.raise_if_any()


def _check_boxes(problems: check.Problems, boxes: tf.Tensor, labels: tf.Tensor | None) -> None:
    if not boxes.dtype.is_floating or boxes.shape.rank != 3 or boxes.shape[2] != 4:
        problems.add(f'`targets["boxes"]` must be float32 [b, n, 4]. Received: {described(boxes)}')
    if labels is None:
        problems.add('`targets["boxes"]` needs `targets["labels"]` int [b, n], -1 for rows without an object')
    elif not labels.dtype.is_integer or labels.dtype.is_unsigned or labels.shape.rank != 2:
        problems.add(f'`targets["labels"]` must be int32 or int64 [b, n]. Received: {described(labels)}')


def _check_masks(problems: check.Problems, masks: tf.Tensor, images: tf.Tensor) -> None:
    holds_ignore = masks.dtype.is_integer and masks.dtype.max >= IGNORE
    if not holds_ignore or not masks.shape.is_compatible_with(images.shape[:3]):
        problems.add(
            f'`targets["masks"]` must be uint8 or int32 [b, h, w], of the size of the images ({described(images)}). '
            f"Received: {described(masks)}"
        )


def described(targets: Targets) -> str:
    """Return dtype and shape of a tensor, or the names in a dict, for messages."""
    if isinstance(targets, dict):
        return f"a dict of {check.listing(map(repr, targets)) or 'nothing'}"
    return f"{targets.dtype.name} {targets.shape}"
