"""The last steps of a batch in the TensorFlow graph: cast inputs, encode targets, augment."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tltk.pipeline.loader import Batch

Encode = Callable[[Any], Any]  # raw targets of a batch → targets for the loss
AugmentBatch = Callable[[Any, Any, Any, Any, Any], tuple[Any, Any]]


@dataclass(frozen=True)
class Finish:
    """Casts inputs, encodes targets, then augments both together.

    Args:
        dtype: Dtype of the inputs.
        encode: Raw targets of a batch → targets for the loss; None leaves them unchanged.
        augment: Augmentation: (inputs, targets, epoch, number of the batch, rows) → (inputs, targets); None for no
            augmentation.
    """

    dtype: str
    encode: Encode | None = None
    augment: AugmentBatch | None = None

    def __call__(self, batch: Batch) -> tuple[Any, tuple]:
        inputs = tf.cast(batch.values[0], self.dtype)
        targets, weights = batch.targets_and_weights[:1], batch.targets_and_weights[1:]
        if targets and self.encode is not None:
            targets = (self.encode(targets[0]),)
        if self.augment is not None:
            to_augment = targets[0] if targets else tf.zeros([tf.shape(inputs)[0]])
            augmented, moved_targets = self.augment(inputs, to_augment, batch.epoch, batch.number, batch.rows)
            inputs = tf.ensure_shape(augmented, inputs.shape)
            targets = (moved_targets,) if targets else ()
        return inputs, (*targets, *weights)


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
