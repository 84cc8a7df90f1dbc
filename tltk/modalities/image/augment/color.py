"""Augmentations that change colors but move no pixels: color_jitter and its building blocks.

The functions take images float32 [b, h, w, channels] in 0..255, and factors float32 [b], one for each image. Their
formulas are those of Pillow's ImageEnhance and ImageOps, which torchvision follows too. Saturation and hue have a
meaning for RGB only: images of other channels pass unchanged. The alpha of RGBA does not change.
"""

from collections.abc import Callable

import tensorflow as tf

from tltk.foundation import checks as check
from tltk.modalities.augmentation import Augmentation, Targets, Transform, register_augmentation, uniform_per_example
from tltk.modalities.image.channels import RGB, RGBA


def clip_to_pixels(images: tf.Tensor) -> tf.Tensor:
    """Clip pixel values to 0..255."""
    return tf.clip_by_value(images, 0.0, 255.0)


def color_jitter(
    *, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0, hue: float = 0.0
) -> Augmentation:
    """Change brightness, contrast, saturation and hue of each image at random, as torchvision's ColorJitter does.

    The first three are multiplied by a factor drawn from [1 - value, 1 + value]. The changes are applied in this order.

    Args:
        brightness: In [0, 1]; factor 0 would be a black image.
        contrast: In [0, 1]; factor 0 would be the image's mean gray everywhere.
        saturation: In [0, 1]; factor 0 would be a gray image.
        hue: Largest turn of the color wheel, in [0, 0.5]; 0.5 is half of it.

    Returns:
        The augmentation.

    Raises:
        InvalidInput: If a value is out of range, or all are 0.

    Examples:
        >>> color_jitter(brightness=0.1).name
        'color_jitter'
    """
    values = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}
    problems = check.Problems()
    for name, value in values.items():
        maximum = 0.5 if name == "hue" else 1
        if not check.is_number(value) or not 0 <= value <= maximum:
            problems.add(f"`{name}` must be at least 0 and at most {maximum}. Received: {value!r}")
    if not any(values.values()):
        problems.add("color_jitter() needs one of brightness, contrast, saturation, hue above 0")
    problems.raise_if_any()
    return Augmentation("color_jitter", tuple(values.items()))


def _color_jitter(brightness: float, contrast: float, saturation: float, hue: float) -> Transform:
    adjustments = (  # function, number of the random draw, largest change
        (adjust_brightness, 1, brightness),
        (adjust_contrast, 2, contrast),
        (adjust_saturation, 3, saturation),
    )

    def transform(images: tf.Tensor, targets: Targets, seed: tf.Tensor) -> tuple[tf.Tensor, Targets]:
        for adjust, draw, value in adjustments:
            if value:
                factors = uniform_per_example(images, seed, draw=draw, low=1 - value, high=1 + value)
                images = keep_alpha(adjust)(images, factors)
        if hue:
            images = keep_alpha(adjust_hue)(images, uniform_per_example(images, seed, draw=4, low=-hue, high=hue))
        return images, targets

    return transform


def keep_alpha(change: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return a function that changes the first three of four channels; other images are changed as a whole."""

    def change_colors(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
        if images.shape[-1] != RGBA:
            return change(images, factors)
        return tf.concat([change(images[..., :RGB], factors), images[..., RGB:]], axis=-1)

    return change_colors


def adjust_brightness(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Multiply pixel values by a factor: 0 gives black, 1 the original."""
    return clip_to_pixels(images * _broadcastable(factors))


def adjust_contrast(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Blend with the mean gray of each image: factor 0 gives that gray, 1 the original."""
    grey = tf.image.rgb_to_grayscale(images) if images.shape[-1] == RGB else images
    mean = tf.reduce_mean(grey, [1, 2, 3], keepdims=True)
    return _blend(mean, images, factors)


def adjust_saturation(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Blend with the gray image: factor 0 gives the gray image, 1 the original.

    Keras goes through HSV instead, and takes ten times as long.
    """
    return _blend(tf.image.rgb_to_grayscale(images), images, factors) if images.shape[-1] == RGB else images


def adjust_hue(images: tf.Tensor, turns: tf.Tensor) -> tf.Tensor:
    """Turn the hue by a fraction of the color wheel: 1/3 makes red green."""
    if images.shape[-1] != RGB:
        return images
    hue, saturation, value = tf.unstack(tf.image.rgb_to_hsv(images / 255), axis=-1)
    turned = tf.math.floormod(hue + turns[:, None, None], 1.0)
    return tf.image.hsv_to_rgb(tf.stack([turned, saturation, value], -1)) * 255


def adjust_sharpness(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Blend with a smoothed image: factor 0 gives the smoothed image, 1 the original, 2 a sharper one."""
    channels = images.shape[3]
    kernel = tf.constant([[1, 1, 1], [1, 5, 1], [1, 1, 1]], tf.float32) / 13  # Pillow's ImageFilter.SMOOTH
    kernel = tf.tile(kernel[:, :, None, None], [1, 1, channels, 1])
    smooth = tf.nn.depthwise_conv2d(images, kernel, [1, 1, 1, 1], "SAME")
    rows, columns = (_is_inside(tf.shape(images)[axis]) for axis in (1, 2))
    inside = rows[:, None, None] & columns[:, None]  # the border keeps its pixels
    return _blend(tf.where(inside, smooth, images), images, factors)


def solarize(images: tf.Tensor, thresholds: tf.Tensor) -> tf.Tensor:
    """Invert the pixel values at or above a threshold."""
    return tf.where(images >= _broadcastable(thresholds), 255 - images, images)


def posterize(images: tf.Tensor, bits: int) -> tf.Tensor:
    """Keep the `bits` most significant of the 8 bits of each pixel value."""
    step = float(2 ** (8 - bits))
    return tf.floor(images / step) * step


def auto_contrast(images: tf.Tensor) -> tf.Tensor:
    """Stretch each channel of each image to 0..255; a constant channel stays as it is."""
    low, high = (reduce(images, [1, 2], keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max))
    return tf.where(high > low, tf.math.divide_no_nan((images - low) * 255, high - low), images)


def equalize(images: tf.Tensor) -> tf.Tensor:
    """Spread the values of each channel of each image evenly over 0..255; values are rounded to whole numbers first."""
    shape = tf.shape(images)
    channels = tf.range(shape[0] * shape[3])  # index of each channel of each image
    values = tf.cast(tf.round(images), tf.int32) + 256 * tf.reshape(channels, [shape[0], 1, 1, shape[3]])
    counts = tf.math.unsorted_segment_sum(tf.ones_like(values), values, 256 * tf.size(channels))
    table = _equalizing_table(tf.reshape(counts, [-1, 256]))
    return tf.cast(tf.gather(tf.reshape(table, [-1]), values), tf.float32)


def _equalizing_table(counts: tf.Tensor) -> tf.Tensor:
    """Return the new value of each of 256 values, int32 [n, 256], from how often each occurs, as Pillow computes it."""
    values = tf.range(256)
    highest = tf.reduce_max(tf.where(counts > 0, values, 0), 1, keepdims=True)
    highest_count = tf.reduce_sum(tf.where(values == highest, counts, 0), 1, keepdims=True)
    step = (tf.reduce_sum(counts, 1, keepdims=True) - highest_count) // 255
    below = tf.cumsum(counts, 1, exclusive=True)
    table = tf.clip_by_value((below + step // 2) // tf.maximum(step, 1), 0, 255)
    return tf.where(step > 0, table, values)


def _blend(degenerate: tf.Tensor, images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    return clip_to_pixels(degenerate + (images - degenerate) * _broadcastable(factors))


def _broadcastable(factors: tf.Tensor) -> tf.Tensor:
    """Reshape [b] to [b, 1, 1, 1]."""
    return factors[:, None, None, None]


def _is_inside(size: tf.Tensor) -> tf.Tensor:
    """Return which rows or columns have neighbors on both sides: bool [size]."""
    indices = tf.range(size)
    return (indices > 0) & (indices < size - 1)


register_augmentation("color_jitter", color_jitter, build=_color_jitter)
