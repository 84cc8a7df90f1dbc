"""Augmentations that blend two images of a batch and their targets: mixup and cutmix."""

import numpy as np
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


def mixup(alpha: float = 0.2) -> Augmentation:
    """Blend each image, or sound, and its target with another example of the batch (Zhang et al. 2018).

    Args:
        alpha: Parameter of Beta(alpha, alpha), from which a weight is drawn for each image; above 0.

    Returns:
        The augmentation. It needs targets encoded as float vectors [b, k].

    Raises:
        InvalidInput: If `alpha` is not above 0.

    Examples:
        >>> mixup(0.4).to_config()
        {'name': 'mixup', 'alpha': 0.4}
    """
    check.positive(alpha=alpha)
    return Augmentation("mixup", (("alpha", alpha),))


def cutmix(alpha: float = 1.0) -> Augmentation:
    """Paste a rectangle of another image of the batch into each image; blend targets by area (Yun et al. 2019).

    Args:
        alpha: Parameter of Beta(alpha, alpha), from which the fraction of area that each image keeps is drawn; above 0.

    Returns:
        The augmentation. It needs targets encoded as float vectors [b, k].

    Raises:
        InvalidInput: If `alpha` is not above 0.

    Examples:
        >>> cutmix().name
        'cutmix'
    """
    check.positive(alpha=alpha)
    return Augmentation("cutmix", (("alpha", alpha),))


def _mixup(alpha: float) -> Transform:
    def transform(images: tf.Tensor, targets: Targets, seed: tf.Tensor) -> tuple[tf.Tensor, Targets]:
        _check_targets("mixup", targets)
        partners, weights = _partners(images, seed), beta(images, seed, alpha)
        weight = tf.reshape(weights, [-1] + [1] * (images.shape.rank - 1))
        mixed = weight * images + (1 - weight) * tf.gather(images, partners)
        return mixed, _blend_targets(targets, partners, weights)

    return transform


def _cutmix(alpha: float) -> Transform:
    def transform(images: tf.Tensor, targets: Targets, seed: tf.Tensor) -> tuple[tf.Tensor, Targets]:
        _check_targets("cutmix", targets)
        partners, weights = _partners(images, seed), beta(images, seed, alpha)
        side = tf.sqrt(1 - weights)  # side length of the rectangle, relative to the image
        rows, columns = (_interval(images, seed, side, axis=axis) for axis in (1, 2))
        pasted = rows[:, :, None] & columns[:, None, :]  # bool [b, h, w]
        mixed = tf.where(pasted[..., None], tf.gather(images, partners), images)
        kept = 1 - tf.reduce_mean(tf.cast(pasted, tf.float32), [1, 2])  # measured, as the edge may cut the rectangle
        return mixed, _blend_targets(targets, partners, kept)

    return transform


def beta(images: tf.Tensor, seed: tf.Tensor, alpha: float) -> tf.Tensor:
    """Draw one number from Beta(alpha, alpha) for each image.

    The number is G1 / (G1 + G2) for two Gamma(alpha) variables, computed from their logarithms: for a small alpha, both
    variables underflow in float32. The logarithm of Gamma(alpha) is distributed like that of Gamma(alpha + 1) plus
    log(U) / alpha, U uniform (Marsaglia and Tsang 2000).

    Args:
        images: Tensor [b, …]; only its length is used.
        seed: int64 [2].
        alpha: Parameter of the distribution, above 0.

    Returns:
        float32 [b].
    """

    def log_gamma(draw: int) -> tf.Tensor:
        gamma = tf.random.stateless_gamma([tf.shape(images)[0]], fold_in(seed, draw), alpha + 1.0)
        tiny = float(np.finfo(np.float32).tiny)
        uniform = uniform_per_example(images, seed, draw=draw, low=tiny, high=1.0)
        return tf.math.log(gamma) + tf.math.log(uniform) / alpha

    return tf.sigmoid(log_gamma(0) - log_gamma(1))


def _partners(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draw a permutation of the batch: int32 [b]."""
    return tf.argsort(uniform_per_example(images, seed, draw=2, low=0.0, high=1.0))


def _interval(images: tf.Tensor, seed: tf.Tensor, side: tf.Tensor, *, axis: int) -> tf.Tensor:
    """Return which rows or columns the rectangle covers, with a uniformly drawn centre: bool [b, size]."""
    size = tf.shape(images)[axis]
    length = tf.cast(side * tf.cast(size, tf.float32), tf.int32)[:, None]
    centre = tf.cast(
        uniform_per_example(images, seed, draw=2 + axis, low=0.0, high=1.0) * tf.cast(size, tf.float32), tf.int32
    )
    start = centre[:, None] - length // 2
    indices = tf.range(size)
    return (indices >= start) & (indices < start + length)


def _blend_targets(targets: tf.Tensor, partners: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    weight = tf.cast(weights[:, None], targets.dtype)
    return weight * targets + (1 - weight) * tf.gather(targets, partners)


def _check_targets(name: str, targets: Targets) -> None:
    if isinstance(targets, dict):
        received = f"a dict of {check.listing(map(repr, targets)) or 'nothing'}"
    elif targets.dtype.is_floating and targets.shape.rank == 2:
        return
    else:
        received = f"{targets.dtype.name} of rank {targets.shape.rank}"
    raise InvalidInput(
        f"{name} blends targets, which must be encoded as float vectors [b, k]: boxes, masks and class indices "
        f"cannot be blended. Received: {received}. Use another augmentation, or pass `encode`."
    )


register_augmentation("mixup", mixup, build=_mixup, mixes=True, modality="any")
register_augmentation("cutmix", cutmix, build=_cutmix, mixes=True)
