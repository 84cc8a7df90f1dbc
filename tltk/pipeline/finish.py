"""The last steps of a batch in the TensorFlow graph: cast inputs, augment, encode targets."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tltk.pipeline.loader import Batch

Encode = Callable[[Any], Any]  # raw targets of a batch → targets for the loss
_WEIGHT = "sample_weight"  # entry of the targets in which weights are augmented with boxes and masks
AugmentBatch = Callable[[Any, Any, Any, Any, Any], tuple[Any, Any]]


@dataclass(frozen=True)
class Finish:
    """Casts inputs, encodes targets, then augments both together.

    Targets that are a dict, such as {"boxes": …}, move with the pixels: they are augmented first, and encoded then.

    Args:
        dtype: Dtype of the inputs.
        encode: Raw targets of a batch → targets for the loss; None leaves them unchanged.
        augment: Augmentation: (inputs, targets, epoch, number of the batch, rows) → (inputs, targets); None for no
            augmentation.
        mixes: Whether the augmentation blends targets of different examples, so that their weights take part.
    """

    dtype: str
    encode: Encode | None = None
    augment: AugmentBatch | None = None
    mixes: bool = False

    def __call__(self, batch: Batch) -> tuple[Any, tuple]:
        inputs = tf.cast(batch.values[0], self.dtype)
        targets, weights = batch.targets_and_weights[:1], batch.targets_and_weights[1:]
        encode_last = bool(targets) and isinstance(targets[0], dict)
        if targets and self.encode is not None and not encode_last:
            targets = (self.encode(targets[0]),)
        if self.augment is not None:
            to_augment = targets[0] if targets else tf.zeros([tf.shape(inputs)[0]])
            blends_weights = self.mixes and weights and _is_blendable(to_augment)
            to_augment = _weighted(to_augment, weights[0]) if blends_weights else to_augment
            travels_along = bool(self.mixes and weights and isinstance(to_augment, dict))
            to_augment = {**to_augment, _WEIGHT: weights[0]} if travels_along else to_augment
            augmented, moved_targets = self.augment(inputs, to_augment, batch.epoch, batch.number, batch.rows)
            inputs = tf.ensure_shape(augmented, inputs.shape)
            if blends_weights:
                moved_targets, blended_weights = _unweighted(moved_targets)
                weights = (blended_weights,)
            if travels_along:
                moved_targets = dict(moved_targets)
                weights = (moved_targets.pop(_WEIGHT),)
            targets = (moved_targets,) if targets else ()
        if self.encode is not None and encode_last:
            targets = (self.encode(targets[0]),)
        return inputs, (*targets, *weights)


def _is_blendable(targets: Any) -> bool:
    """Return whether targets are float vectors [batch, k]; an augmentation that blends refuses all others."""
    return isinstance(targets, tf.Tensor) and targets.dtype.is_floating and targets.shape.rank == 2


def _weighted(targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Multiply targets by their weights, and append the weights as a column: both are then blended alike.

    With the blended loss a · w1 · loss(t1) + (1 - a) · w2 · loss(t2), an example counts in proportion to its weight.
    """
    column = tf.cast(weights, targets.dtype)[:, None]
    return tf.concat([targets * column, column], axis=-1)


def _unweighted(blended: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Split what an augmentation made of `_weighted` into targets [batch, k] and weights [batch]."""
    return tf.math.divide_no_nan(blended[:, :-1], blended[:, -1:]), blended[:, -1]


@dataclass(frozen=True, eq=False)
class ClassWeighted:
    """Adds the weight of each example's class to the batches of other last steps.

    Args:
        finish: The other steps; their targets are rows of probabilities, float32 [batch, classes].
        weights: Weight of each class, float32 [classes]. Targets that mixup or cutmix blended weigh in proportion.
    """

    finish: Callable[[Batch], tuple[Any, tuple]]
    weights: np.ndarray

    def __call__(self, batch: Batch) -> tuple[Any, tuple]:
        inputs, (targets, *sample_weights) = self.finish(batch)
        weights = tf.linalg.matvec(targets, tf.constant(self.weights, targets.dtype))
        for sample_weight in sample_weights:
            weights *= tf.cast(sample_weight, weights.dtype)
        return inputs, (targets, weights)
