"""Scale jitter, and its building block: images that are scaled and placed on a canvas, with boxes and masks."""

from typing import Any

import tensorflow as tf

from tltk.foundation import checks as check
from tltk.modalities.augmentation import Augmentation, Targets, Transform, register_augmentation, uniform_per_example
from tltk.modalities.image.augment.boxes_and_masks import MIN_VISIBLE, TRUNCATED, move_targets


def scale_jitter(
    *, scale_range: tuple[float, float] = (0.5, 2.0), min_visibility: float = MIN_VISIBLE, truncated: str = "drop"
) -> Augmentation:
    """Scale each image by a random factor, then crop or pad it to its size: large-scale jitter (Ghiasi et al. 2021).

    The aspect of objects does not change. A larger image is cropped, a smaller one padded with black, both at a random
    place; masks are 255 in the padding.

    Args:
        scale_range: Smallest and largest factor. The paper uses (0.1, 2.0); small objects vanish at a tenth.
        min_visibility: Smallest fraction of the area of a box that must be left in the image, in [0, 1].
        truncated: How boxes with a smaller visible part are handled: "drop" or "ignore", see `move_targets`.

    Returns:
        The augmentation.

    Raises:
        InvalidInput: If a value is out of range; all problems are listed.

    Examples:
        >>> scale_jitter(scale_range=(0.8, 1.25)).name
        'scale_jitter'
    """
    problems = check.Problems()
    check_range(problems, "scale_range", scale_range)
    check_visibility(problems, min_visibility, truncated)
    problems.raise_if_any()
    options = ("min_visibility", float(min_visibility)), ("truncated", truncated)
    return Augmentation("scale_jitter", (("scale_range", tuple(map(float, scale_range))), *options))


def check_range(problems: check.Problems, name: str, value: Any, *, maximum: float | None = None) -> None:
    """Add a problem unless a value is (low, high) with 0 < low <= high, and high at most `maximum`."""
    is_pair = isinstance(value, list | tuple) and len(value) == 2 and all(map(check.is_number, value))
    limit = "" if maximum is None else f" <= {maximum:g}"
    if not is_pair or not 0 < value[0] <= value[1] or (maximum is not None and value[1] > maximum):
        problems.add(f"`{name}` must be (low, high) with 0 < low <= high{limit}. Received: {value!r}")


def check_visibility(problems: check.Problems, min_visibility: Any, truncated: Any) -> None:
    """Add the problems of the options for objects that are cut off."""
    if not check.is_number(min_visibility) or not 0 <= min_visibility <= 1:
        problems.add(f"`min_visibility` must be at least 0 and at most 1. Received: {min_visibility!r}")
    if truncated not in TRUNCATED:
        suggestion = check.did_you_mean(truncated, TRUNCATED)
        problems.add(f"`truncated` must be 'drop' or 'ignore'. Received: {truncated!r}.{suggestion}")


def placement(scales: tf.Tensor, shifts: tf.Tensor) -> tf.Tensor:
    """Return the matrices of scaled and shifted images, float32 [b, 2, 3], for `move_targets`.

    Args:
        scales: float32 [b].
        shifts: float32 [b, 2]: where the top left corner of the image comes to lie, y and x in pixels.
    """
    zeros, factors = tf.zeros_like(scales), 1 / scales
    offsets = (0.5 - shifts) * factors[:, None] - 0.5  # pixel i has its centre at i + 0.5
    return tf.reshape(tf.stack([factors, zeros, offsets[:, 1], zeros, factors, offsets[:, 0]], 1), [-1, 2, 3])


def placed(images: tf.Tensor, scales: tf.Tensor, shifts: tf.Tensor) -> tf.Tensor:
    """Scale and shift images on a black canvas of their size, antialiased.

    `ImageProjectiveTransformV3` would take as long, without antialiasing.

    Args:
        images: float32 [b, h, w, c].
        scales: float32 [b].
        shifts: float32 [b, 2], see `placement`.

    Returns:
        float32 [b, h, w, c].
    """

    def place(element: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tf.Tensor:
        image, scale, shift = element
        return tf.raw_ops.ScaleAndTranslate(
            images=image[None],
            size=tf.shape(image)[:2],
            scale=tf.stack([scale, scale]),
            translation=shift,
            kernel_type="triangle",
            antialias=True,
        )[0]

    moved = tf.map_fn(place, (images, scales, shifts), fn_output_signature=tf.TensorSpec(images.shape[1:], tf.float32))
    return tf.ensure_shape(moved, images.shape)


def _scale_jitter(scale_range: tuple[float, float], min_visibility: float, truncated: str) -> Transform:
    def transform(images: tf.Tensor, targets: Targets, seed: tf.Tensor) -> tuple[tf.Tensor, Targets]:
        scales = uniform_per_example(images, seed, draw=0, low=scale_range[0], high=scale_range[1])
        places = [uniform_per_example(images, seed, draw=draw, low=0.0, high=1.0) for draw in (1, 2)]
        size = tf.cast(tf.shape(images)[1:3], tf.float32)
        shifts = tf.stack(places, 1) * size * (1 - scales[:, None])  # below 0 for a crop
        options: dict[str, Any] = {"min_visibility": min_visibility, "truncated": truncated}
        return placed(images, scales, shifts), move_targets(targets, placement(scales, shifts), images, **options)

    return transform


register_augmentation("scale_jitter", scale_jitter, build=_scale_jitter)
