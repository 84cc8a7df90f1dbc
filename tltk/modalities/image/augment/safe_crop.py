"""A crop that keeps at least one object of each image that has any."""

import math
from typing import Any

import tensorflow as tf

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.modalities.augmentation import Augmentation, Targets, Transform, register_augmentation, uniform_per_example
from tltk.modalities.image.augment.boxes_and_masks import IGNORE, MIN_VISIBLE, area, described
from tltk.modalities.image.augment.geometric import image_size, warp
from tltk.modalities.image.augment.rescale import check_range, check_visibility


def safe_crop(
    *,
    scale: tuple[float, float] = (0.3, 1.0),
    ratio: tuple[float, float] = (0.75, 4 / 3),
    min_visibility: float = MIN_VISIBLE,
    truncated: str = "drop",
) -> Augmentation:
    """Cut out a random window that contains an object, and resize it to the full size.

    A window of random size and shape is placed at random around one object of the image, all of which it contains: it
    is enlarged if the object is larger. The object is drawn among those that count, or, if there are masks and no
    boxes, a class above 0 (the background) among those in the mask, and one of its pixels. In an image without an
    object the window lies anywhere. Boxes of other objects are cut off at its edges.

    Args:
        scale: Smallest and largest area of the window, as a fraction of the image's.
        ratio: Smallest and largest width over height of the window, relative to the image's own.
        min_visibility: Smallest fraction of the area of a box that must be left in the image, in [0, 1].
        truncated: How boxes with a smaller visible part are handled: "drop" or "ignore", see `move_targets`.

    Returns:
        The augmentation. It needs targets with boxes or masks; `crop_resize` is for others.

    Raises:
        InvalidInput: If a value is out of range; all problems are listed.

    Examples:
        >>> safe_crop(scale=(0.5, 1.0), truncated="ignore").name
        'safe_crop'
    """
    problems = check.Problems()
    check_range(problems, "scale", scale, maximum=1)
    check_range(problems, "ratio", ratio)
    check_visibility(problems, min_visibility, truncated)
    problems.raise_if_any()
    ranges = (("scale", tuple(map(float, scale))), ("ratio", tuple(map(float, ratio))))
    options = ("min_visibility", float(min_visibility)), ("truncated", truncated)
    return Augmentation("safe_crop", (*ranges, *options))


def _safe_crop(
    scale: tuple[float, float], ratio: tuple[float, float], min_visibility: float, truncated: str
) -> Transform:
    def transform(images: tf.Tensor, targets: Targets, seed: tf.Tensor) -> tuple[tf.Tensor, Targets]:
        def draw(number: int, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
            return uniform_per_example(images, seed, draw=number, low=low, high=high)

        size = tf.stack(image_size(images))
        window_area, aspect = draw(0, *scale), tf.exp(draw(1, math.log(ratio[0]), math.log(ratio[1])))
        sides = tf.minimum(tf.sqrt(tf.stack([window_area / aspect, window_area * aspect], 1)), 1.0) * size
        low, high = _object(targets, size, draw(2), draw(3))
        sides = tf.maximum(sides, high - low)  # [b, 2]
        earliest, latest = tf.maximum(high - sides, 0.0), tf.minimum(low, size - sides)
        start = earliest + tf.stack([draw(4), draw(5)], 1) * (latest - earliest)
        options: dict[str, Any] = {"min_visibility": min_visibility, "truncated": truncated}
        return warp(images, targets, _window_matrices(start, sides / size), fill_mode="nearest", **options)

    return transform


def _window_matrices(start: tf.Tensor, zoom: tf.Tensor) -> tf.Tensor:
    """Return matrices for `warp` that enlarge windows to the full size.

    Args:
        start: float32 [b, 2], top and left edge in pixels.
        zoom: float32 [b, 2], height and width as fractions of the image.
    """
    zeros, offset = tf.zeros_like(start[:, 0]), start + 0.5 * zoom - 0.5
    return tf.reshape(tf.stack([zoom[:, 1], zeros, offset[:, 1], zeros, zoom[:, 0], offset[:, 0]], 1), [-1, 2, 3])


def _object(targets: Targets, size: tf.Tensor, first: tf.Tensor, second: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Draw what the window of each image has to contain.

    Args:
        targets: Boxes or masks.
        size: float32 [2], height and width of the images.
        first: float32 [b], random numbers in [0, 1).
        second: The same.

    Returns:
        Top left and bottom right corner, float32 [b, 2] each. Those of an image without an object, (height, width) and
        (0, 0), limit nothing.
    """
    entries = targets if isinstance(targets, dict) else {}
    if "boxes" in entries:
        boxes, has_object = _drawn_box(entries, size, first)
    elif "masks" in entries:
        boxes, has_object = _drawn_pixel(entries["masks"], first, second)
    else:
        raise InvalidInput(
            "safe_crop keeps objects: it needs targets with boxes or masks. For others, use augment.crop_resize(). "
            f"Received: {described(targets)}"
        )
    no_limit = tf.concat([size, tf.zeros(2)], 0)
    boxes = tf.where(has_object[:, None], boxes, no_limit)
    return boxes[:, :2], boxes[:, 2:]


def _drawn_box(targets: dict[str, tf.Tensor], size: tf.Tensor, uniform: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return a box of each image, float32 [b, 4], and whether there is one, bool [b]."""
    limits = tf.concat([size, size], 0)
    boxes = tf.clip_by_value(tf.cast(targets["boxes"], tf.float32), 0.0, limits)
    counts = (targets["labels"] >= 0) & (area(boxes) > 0)
    counts = counts & ~targets["ignored"] if "ignored" in targets else counts
    # A row more, so that there is one; it is never the drawn one if another counts.
    boxes, counts = tf.pad(boxes, [[0, 0], [0, 1], [0, 0]]), tf.pad(counts, [[0, 0], [0, 1]])
    return tf.gather(boxes, _drawn(counts, uniform), batch_dims=1), tf.reduce_any(counts, 1)


def _drawn_pixel(masks: tf.Tensor, first: tf.Tensor, second: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the box of a pixel of each mask, float32 [b, 4], and whether there is one, bool [b].

    A class above 0 is drawn first, so that rare classes are kept as often as others.
    """
    height, width = tf.shape(masks)[1], tf.shape(masks)[2]
    pixels = tf.reshape(tf.cast(masks, tf.int32), [-1, height * width])
    present = tf.math.bincount(pixels, minlength=IGNORE, maxlength=IGNORE, axis=-1, binary_output=True) > 0
    present &= tf.range(IGNORE) > 0
    drawn_class = tf.cast(_drawn(present, first), tf.int32)
    place = _drawn(pixels == drawn_class[:, None], second)
    corner = tf.cast(tf.stack([place // width, place % width], 1), tf.float32)
    return tf.concat([corner, corner + 1], 1), tf.reduce_any(present, 1)


def _drawn(candidates: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """Return the column of one true entry of each row, int32 [b]; 0 in a row without any.

    It depends on the true entries alone, not on how many columns a batch was padded to.

    Args:
        candidates: bool [b, n], n at least 1.
        uniform: float32 [b], random numbers in [0, 1).
    """
    numbers = tf.cumsum(tf.cast(candidates, tf.int32), 1)
    count = tf.cast(numbers[:, -1], tf.float32)
    wanted = tf.minimum(tf.cast(uniform * count, tf.int32), numbers[:, -1] - 1) + 1
    return tf.argmax(candidates & (numbers == wanted[:, None]), 1, output_type=tf.int32)


register_augmentation("safe_crop", safe_crop, build=_safe_crop, reads_targets=True)
