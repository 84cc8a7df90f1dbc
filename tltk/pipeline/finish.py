"""The last steps of a batch, in the graph: dtype of the inputs, encoded targets, augmentation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tltk.pipeline.loader import Batch

Encode = Callable[[Any], Any]
Change = Callable[[Any, Any, Any, Any, Any], tuple[Any, Any]]


@dataclass(frozen=True)
class Finish:
    """Casts inputs, encodes targets, and augments both together.

    Args:
        dtype: of the inputs.
        encode: raw targets of a batch → what the loss takes; None leaves them as they are.
        change: (inputs, targets, epoch, number of the batch, rows) → (inputs, targets); None changes nothing.
    """

    dtype: str
    encode: Encode | None = None
    change: Change | None = None

    def __call__(self, batch: Batch) -> tuple[Any, tuple]:
        inputs, rest = tf.cast(batch.values[0], self.dtype), batch.rest
        if rest and self.encode is not None:
            rest = (self.encode(rest[0]), *rest[1:])
        if self.change is not None:
            targets = rest[0] if rest else tf.zeros([tf.shape(inputs)[0]])
            changed, targets = self.change(inputs, targets, batch.epoch, batch.number, batch.rows)
            inputs, rest = tf.ensure_shape(changed, inputs.shape), (targets, *rest[1:]) if rest else ()
        return inputs, rest
