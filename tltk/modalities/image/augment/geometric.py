"""Augmentations that move pixels, and boxes and masks with them: flip, crop_resize, rotate."""

import math
from typing import Any

import tensorflow as tf

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.modalities.augmentation import (
    Augmentation,
    Targets,
    Transform,
    fold_in,
    register_augmentation,
    uniform_per_example,
)
from tltk.modalities.image.augment.boxes_and_masks import MIN_VISIBLE, move_targets, projective

FILL_MODES = ("reflect", "nearest", "wrap", "constant")


def flip(*, horizontal: bool = True, vertical: bool = False) -> Augmentation:
    """Mirror each image with probability 1/2.

    Do not use it if left and right have a meaning, as in images of text or digits.

    Args:
        horizontal: Swap left and right.
        vertical: Swap top and bottom; for images without an orientation, such as textures or tissue.

    Returns:
        The augmentation.

    Raises:
        InvalidInput: If neither direction is chosen.

    Examples:
        >>> flip(vertical=True).to_config()
        {'name': 'flip', 'horizontal': True, 'vertical': True}
    """
    if not horizontal and not vertical:
        raise InvalidInput("flip() needs `horizontal` or `vertical`. Received: neither")
    return Augmentation("flip", (("horizontal", horizontal), ("vertical", vertical)))


def crop_resize(*, scale: tuple[float, float] = (0.5, 1.0), ratio: tuple[float, float] = (0.75, 4 / 3)) -> Augmentation:
    """Cut out a random window of each image and resize it to the full size (Szegedy et al. 2015, section 6).

    Args:
        scale: Smallest and largest area of the window, as a fraction of the image's.
        ratio: Smallest and largest width over height of the window, relative to the image's own.

    Returns:
        The augmentation.

    Raises:
        InvalidInput: If a range is not (low, high) with 0 < low <= high, or `scale` exceeds 1.

    Examples:
        >>> crop_resize(scale=(0.8, 1.0)).name
        'crop_resize'
    """
    problems = check.Problems()
    for name, value, maximum, limits in (
        ("scale", scale, 1.0, "0 < low <= high <= 1"),
        ("ratio", ratio, math.inf, "0 < low <= high"),
    ):
        if len(value) != 2 or not all(map(check.is_number, value)) or not 0 < value[0] <= value[1] <= maximum:
            problems.add(f"`{name}` must be (low, high) with {limits}. Received: {value!r}")
    problems.raise_if_any()
    return Augmentation("crop_resize", (("scale", tuple(scale)), ("ratio", tuple(ratio))))


def rotate(degrees: float = 15.0) -> Augmentation:
    """Rotate each image about its centre by a random angle; the corners are filled by reflection.

    Args:
        degrees: Largest angle in either direction, in (0, 180].

    Returns:
        The augmentation.

    Raises:
        InvalidInput: If `degrees` is out of range.

    Examples:
        >>> rotate(10).to_config()
        {'name': 'rotate', 'degrees': 10}
    """
    check.positive(degrees=degrees)
    check.within("degrees", degrees, low=0, high=180)
    return Augmentation("rotate", (("degrees", degrees),))


def warp(
    images: tf.Tensor,
    targets: Targets,
    matrices: tf.Tensor,
    *,
    fill_mode: str = "reflect",
    min_visibility: float = MIN_VISIBLE,
    truncated: str = "drop",
) -> tuple[tf.Tensor, Targets]:
    """Apply an affine map to each image, and to its boxes and masks.

    Use it as the building block of your own geometric augmentations. Pixels are interpolated bilinearly.

    Args:
        images: float32 [b, h, w, c].
        targets: See `move_targets`.
        matrices: float32 [b, 2, 3]: pixel (x, y, 1) of the result → pixel (x, y) of the original, where (0, 0) is the
            centre of the top left pixel.
        fill_mode: How pixels outside the original image are filled: "reflect", "nearest", "wrap" or "constant" (black).
        min_visibility: See `move_targets`.
        truncated: See `move_targets`.

    Returns:
        (images, targets) with the same shapes and dtypes.

    Raises:
        InvalidInput: If `fill_mode` is unknown, or an entry of `targets` has an unexpected shape or dtype.

    Examples:
        >>> images = tf.reshape(tf.range(3.0), [1, 1, 3, 1])
        >>> one_to_the_left = tf.constant([[[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]])
        >>> moved, _ = warp(images, {}, one_to_the_left, fill_mode="constant")
        >>> moved[0, 0, :, 0].numpy().tolist()
        [1.0, 2.0, 0.0]
    """
    check.one_of("fill_mode", fill_mode, FILL_MODES)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=projective(matrices),
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode=fill_mode.upper(),
    )
    options: dict[str, Any] = {"min_visibility": min_visibility, "truncated": truncated}
    return tf.ensure_shape(moved, images.shape), move_targets(targets, matrices, images, **options)


def rotation(angles: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Return matrices for `warp` that rotate images counter-clockwise about their centre.

    Args:
        angles: float32 [b], in radians.
        images: [b, h, w, c]; only their size is used.

    Returns:
        float32 [b, 2, 3].
    """
    cosine, sine = tf.cos(angles), tf.sin(angles)
    return _about_centre(cosine, -sine, sine, cosine, images)


def shear(x_factors: tf.Tensor, y_factors: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Return matrices for `warp` that shear images about their centre.

    Args:
        x_factors: float32 [b]: columns to shift for each row below the centre.
        y_factors: float32 [b]: rows to shift for each column right of the centre.
        images: [b, h, w, c]; only their size is used.

    Returns:
        float32 [b, 2, 3].
    """
    ones = tf.ones_like(x_factors)
    return _about_centre(ones, x_factors, y_factors, ones, images)


def translation(x_shifts: tf.Tensor, y_shifts: tf.Tensor) -> tf.Tensor:
    """Return matrices float32 [b, 2, 3] for `warp` that move images right and down by [b] pixels."""
    ones, zeros = tf.ones_like(x_shifts), tf.zeros_like(x_shifts)
    return _matrices([ones, zeros, -x_shifts, zeros, ones, -y_shifts])


def image_size(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return height and width as float32 scalars."""
    shape = tf.cast(tf.shape(images), tf.float32)
    return shape[1], shape[2]


def _about_centre(xx: tf.Tensor, xy: tf.Tensor, yx: tf.Tensor, yy: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Return the linear maps [[xx, xy], [yx, yy]] with the centre of the image as their fixed point."""
    height, width = image_size(images)
    x, y = (width - 1) / 2, (height - 1) / 2
    return _matrices([xx, xy, x - xx * x - xy * y, yx, yy, y - yx * x - yy * y])


def _matrices(entries: list[tf.Tensor]) -> tf.Tensor:
    """Stack six tensors [b], row by row, to [b, 2, 3]."""
    return tf.reshape(tf.stack(entries, 1), [-1, 2, 3])


def _flip(horizontal: bool, vertical: bool) -> Transform:
    def transform(images: tf.Tensor, targets: Targets, seed: tf.Tensor) -> tuple[tf.Tensor, Targets]:
        zeros = tf.zeros([tf.shape(images)[0]])
        x_sign, x_shift, y_sign, y_shift = zeros + 1, zeros, zeros + 1, zeros
        if horizontal:
            images, x_sign, x_shift = _mirror_half(images, seed, axis=2)
        if vertical:
            images, y_sign, y_shift = _mirror_half(images, seed, axis=1)
        matrices = _matrices([x_sign, zeros, x_shift, zeros, y_sign, y_shift])
        return images, move_targets(targets, matrices, images)

    return transform


def _mirror_half(images: tf.Tensor, seed: tf.Tensor, *, axis: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Mirror each image with probability 1/2; return the images, and sign and shift [b] of their affine maps.

    `keras.layers.RandomFlip` takes four times as long, with a cast and a cond for each axis.
    """
    mirrored = uniform_per_example(images, seed, draw=axis, low=0.0, high=1.0) < 0.5
    last = tf.cast(tf.shape(images)[axis], tf.float32) - 1
    images = tf.where(mirrored[:, None, None, None], tf.reverse(images, [axis]), images)
    return images, tf.where(mirrored, -1.0, 1.0), tf.where(mirrored, last, 0.0)


def _crop_resize(scale: tuple[float, float], ratio: tuple[float, float]) -> Transform:
    # Keras' RandomCrop uses one window for the whole batch and does not resize. `crop_and_resize` uses a window per
    # image and maps the first and last pixel of the window to the first and last pixel of the result.
    def transform(images: tf.Tensor, targets: Targets, seed: tf.Tensor) -> tuple[tf.Tensor, Targets]:
        shape = tf.shape(images)
        seeds = [fold_in(seed, number) for number in range(3)]
        area = tf.random.stateless_uniform([shape[0]], seeds[0], scale[0], scale[1])
        aspect = tf.exp(tf.random.stateless_uniform([shape[0]], seeds[1], tf.math.log(ratio[0]), tf.math.log(ratio[1])))
        height, width = tf.minimum(tf.sqrt(area / aspect), 1.0), tf.minimum(tf.sqrt(area * aspect), 1.0)
        offsets = tf.random.stateless_uniform([2, shape[0]], seeds[2])
        top, left = offsets[0] * (1 - height), offsets[1] * (1 - width)
        windows = tf.stack([top, left, top + height, left + width], 1)
        cropped = tf.image.crop_and_resize(images, windows, tf.range(shape[0]), shape[1:3])
        rows, columns = image_size(images)
        zeros = tf.zeros_like(top)
        matrices = _matrices([width, zeros, left * (columns - 1), zeros, height, top * (rows - 1)])
        return cropped, move_targets(targets, matrices, images)

    return transform


def _rotate(degrees: float) -> Transform:
    largest = math.radians(degrees)

    def transform(images: tf.Tensor, targets: Targets, seed: tf.Tensor) -> tuple[tf.Tensor, Targets]:
        angles = uniform_per_example(images, seed, draw=0, low=-largest, high=largest)
        return warp(images, targets, rotation(angles, images))

    return transform


register_augmentation("flip", flip, build=_flip)
register_augmentation("crop_resize", crop_resize, build=_crop_resize)
register_augmentation("rotate", rotate, build=_rotate)
