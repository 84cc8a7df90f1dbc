"""Letterboxing: where an image of another aspect ratio lies in the input of a network, and back (resize="pad")."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tltk.specs import ImageSpec


def fitted_size(size: Any, spec: ImageSpec) -> tf.Tensor:
    """Return the size that images are resized to before bars are added.

    Args:
        size: int [..., 2], height and width of the original.
        spec: Size of the input.

    Returns:
        int32 [..., 2], at most the size of the input, and at least 1.

    Examples:
        >>> fitted_size([100, 200], ImageSpec(64, 64, resize="pad")).numpy().tolist()
        [32, 64]
    """
    size, target = tf.cast(size, tf.float32), tf.constant([spec.height, spec.width])
    scale = tf.reduce_min(tf.cast(target, tf.float32) / size, -1, keepdims=True)
    return tf.clip_by_value(tf.cast(tf.round(size * scale), tf.int32), 1, target)


def bars(fitted: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Return the height of the bar above and the width of the bar on the left of images, int32 [..., 2]."""
    return (tf.constant([spec.height, spec.width]) - fitted) // 2


def boxes_to_input(boxes: Any, sizes: Any, spec: ImageSpec) -> tf.Tensor:
    """Move boxes from the pixels of the original images to those of the input.

    Args:
        boxes: float32 [b, n, 4].
        sizes: int [b, 2], height and width of the originals.
        spec: Size of the input.

    Returns:
        float32 [b, n, 4].
    """
    scale, offset = _scale_and_offset(sizes, spec)
    return tf.convert_to_tensor(boxes) * scale[:, None] + offset[:, None]


def boxes_to_original(boxes: tf.Tensor, sizes: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    """Move boxes from the pixels of the input to those of the original images, and clip them to the images.

    Args:
        boxes: float32 [b, n, 4].
        sizes: int [b, 2], height and width of the originals.
        spec: Size of the input.

    Returns:
        float32 [b, n, 4].
    """
    scale, offset = _scale_and_offset(sizes, spec)
    original = (boxes - offset[:, None]) / scale[:, None]
    limits = tf.cast(tf.tile(sizes, [1, 2]), tf.float32)[:, None]
    return tf.clip_by_value(original, 0.0, limits)


def mask_to_input(mask: np.ndarray, spec: ImageSpec, *, fill: int) -> np.ndarray:
    """Resize a mask to the input by taking the nearest pixels, and add bars.

    Args:
        mask: uint8 [h, w].
        spec: Size of the input.
        fill: Value of the bars.

    Returns:
        uint8 [height, width].
    """
    fitted = fitted_size(mask.shape, spec)
    (rows, columns), (top, left) = fitted.numpy().tolist(), bars(fitted, spec).numpy().tolist()
    row, column = (
        np.minimum((np.arange(count) + 0.5) * size / count, size - 1).astype(int)
        for count, size in zip((rows, columns), mask.shape, strict=True)
    )
    padded = np.full((spec.height, spec.width), fill, mask.dtype)
    padded[top : top + rows, left : left + columns] = mask[row[:, None], column]
    return padded


def level_sizes(input_size: Sequence[int], strides: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return rows and columns of levels whose features are padded to whole strides, the finest first."""
    height, width = input_size
    return tuple((-(-height // stride), -(-width // stride)) for stride in strides)


def _scale_and_offset(sizes: Any, spec: ImageSpec) -> tuple[tf.Tensor, tf.Tensor]:
    """Return factors and offsets from original to input, float32 [b, 4]."""
    sizes = tf.convert_to_tensor(sizes)
    fitted = fitted_size(sizes, spec)
    scale = tf.cast(fitted, tf.float32) / tf.cast(sizes, tf.float32)
    return tf.tile(scale, [1, 2]), tf.cast(tf.tile(bars(fitted, spec), [1, 2]), tf.float32)
