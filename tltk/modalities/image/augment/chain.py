"""Apply several augmentations in order, to images of any range of values."""

from typing import Any

import tensorflow as tf

from tltk.modalities.augmentation import Targets, Transform, fold_in
from tltk.modalities.image.augment.boxes_and_masks import check_targets
from tltk.modalities.image.augment.color import clip_to_pixels
from tltk.modalities.image.augment.from_keras import as_augmentations
from tltk.specs.image import PIXEL_RANGE


def chain(augmentations: Any, *, value_range: tuple[float, float] | None = PIXEL_RANGE) -> Transform:
    """Build one graph function that applies augmentations in order, each with a seed of its own.

    Args:
        augmentations: One or several, as in a recipe, see `as_augmentations`.
        value_range: Lowest and highest value of the inputs. Another range than 0..255 is mapped to 0..255 for the
            augmentations, and back; values outside are clipped. None neither maps nor clips, for inputs other than
            images.

    Returns:
        (images float32 [b, h, w, c] in `value_range`, targets, seed int64 [2]) → (images, targets). A pure function:
        equal arguments give equal results, in eager mode and in a graph.

    Raises:
        InvalidInput: If targets are neither numbers, vectors nor a dict, since pixels could move and a mask could not.

    Examples:
        >>> from tltk.augment import flip
        >>> images, targets = tf.zeros([2, 8, 8, 3]), tf.eye(2)
        >>> changed, _ = chain((flip(),))(images, targets, tf.constant([0, 1], tf.int64))
        >>> changed.shape
        TensorShape([2, 8, 8, 3])
    """
    transforms = [augmentation.build() for augmentation in as_augmentations(augmentations)]

    def apply(images: tf.Tensor, targets: Targets, seed: tf.Tensor) -> tuple[tf.Tensor, Targets]:
        check_targets(targets)
        images, targets = tf.nest.map_structure(tf.convert_to_tensor, (images, targets))
        images = images if value_range is None else _to_pixels(images, value_range)
        for number, transform in enumerate(transforms):
            images, targets = transform(images, targets, fold_in(seed, number))
        return images if value_range is None else _from_pixels(clip_to_pixels(images), value_range), targets

    return apply


def mixes(augmentations: Any) -> bool:
    """Return whether any of the augmentations blends different examples of a batch, as mixup and cutmix do.

    Args:
        augmentations: One or several, as in a recipe, see `as_augmentations`.

    Examples:
        >>> from tltk.augment import flip, mixup
        >>> mixes((flip(), mixup()))
        True
    """
    return any(augmentation.mixes for augmentation in as_augmentations(augmentations))


def _to_pixels(images: tf.Tensor, value_range: tuple[float, float]) -> tf.Tensor:
    """Map values of a range to 0..255."""
    low, high = value_range
    return images if value_range == PIXEL_RANGE else (images - low) * (255 / (high - low))


def _from_pixels(images: tf.Tensor, value_range: tuple[float, float]) -> tf.Tensor:
    """Map 0..255 to values of a range."""
    low, high = value_range
    return images if value_range == PIXEL_RANGE else images * ((high - low) / 255) + low
