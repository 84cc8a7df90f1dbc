"""The last steps of a batch in the TensorFlow graph: cast inputs, encode targets, augment."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
        inputs, rest = tf.cast(batch.values[0], self.dtype), batch.rest
        if rest and self.encode is not None:
            rest = (self.encode(rest[0]), *rest[1:])
        if self.augment is not None:
            targets = rest[0] if rest else tf.zeros([tf.shape(inputs)[0]])
            augmented, targets = self.augment(inputs, targets, batch.epoch, batch.number, batch.rows)
            inputs, rest = tf.ensure_shape(augmented, inputs.shape), (targets, *rest[1:]) if rest else ()
        return inputs, rest
