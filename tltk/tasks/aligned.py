"""Losses and metrics of the user's own for tasks on tokens, which get all positions of a batch in a row."""

from collections.abc import Callable
from typing import Any, Self

import keras

Align = Callable[[Any, Any], tuple[Any, Any, Any]]  # encoded targets, outputs → both in one shape, and their mask


@keras.saving.register_keras_serializable(package="tltk")
class AlignedLoss(keras.losses.Loss):
    """A loss of positions, averaged over the positions that have a target.

    Args:
        loss: Loss of targets [n] and outputs [n, classes], for all n positions of a batch.
        align: Registered function: targets and outputs of a task → targets, outputs, and a mask [batch, positions] of
            0 and 1, or None if all count.
        name: Name of the loss; default: that of `loss`.
    """

    def __init__(self, loss: keras.losses.Loss, align: Align, name: str | None = None) -> None:
        super().__init__(name=name or loss.name, reduction=loss.reduction)
        self.loss, self.align = loss, align

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each element, float32 [batch]; each position of a batch has the same weight."""
        ops = keras.ops
        true, outputs, mask = self.align(y_true, y_pred)
        losses = self.loss.call(ops.reshape(true, (-1,)), ops.reshape(outputs, (-1, ops.shape(outputs)[-1])))
        losses = ops.reshape(ops.cast(losses, "float32"), ops.shape(true))
        if mask is None:
            return ops.mean(losses, axis=-1)
        count = ops.maximum(ops.sum(mask), 1.0)
        # Keras averages over the batch: scale so that the result is the mean over positions.
        return ops.sum(losses * mask, axis=-1) * ops.cast(ops.shape(mask)[0], "float32") / count

    def get_config(self) -> dict:
        return {**_config(loss=self.loss, align=self.align), "name": self.name}

    @classmethod
    def from_config(cls, config: dict) -> Self:
        """Rebuild the loss from the result of `get_config`."""
        return cls(**_objects(config))


@keras.saving.register_keras_serializable(package="tltk")
class AlignedMetric(keras.metrics.Metric):
    """A metric of positions.

    Args:
        metric: Metric of targets [n] and outputs [n, classes], for all n positions of a batch.
        align: See `AlignedLoss`.
        name: Name of the metric; default: that of `metric`.
    """

    def __init__(self, metric: keras.metrics.Metric, align: Align, name: str | None = None) -> None:
        super().__init__(name=name or metric.name)
        self.metric, self.align = metric, align

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch; `sample_weight` [batch] weighs all positions of an element."""
        ops = keras.ops
        true, outputs, weights = self.align(y_true, y_pred)
        if sample_weight is not None:
            column = ops.reshape(ops.cast(sample_weight, "float32"), (-1, 1))
            weights = column * (ops.ones(ops.shape(true), "float32") if weights is None else weights)
        # In a row: Keras would average over the positions of each element, so that padding would count.
        rows = ops.reshape(true, (-1,)), ops.reshape(outputs, (-1, ops.shape(outputs)[-1]))
        if weights is None:
            self.metric.update_state(*rows)
        else:
            self.metric.update_state(*rows, sample_weight=ops.reshape(weights, (-1,)))

    def result(self) -> Any:
        """Return the result of the metric."""
        return self.metric.result()

    def reset_state(self) -> None:
        """Forget all batches."""
        self.metric.reset_state()

    def get_config(self) -> dict:
        return {**_config(metric=self.metric, align=self.align), "name": self.name}

    @classmethod
    def from_config(cls, config: dict) -> Self:
        """Rebuild the metric from the result of `get_config`."""
        return cls(**_objects(config))


def _config(**objects: Any) -> dict[str, Any]:
    return {name: keras.saving.serialize_keras_object(value) for name, value in objects.items()}


def _objects(config: dict[str, Any]) -> dict[str, Any]:
    return {
        name: keras.saving.deserialize_keras_object(value) if isinstance(value, dict) else value
        for name, value in config.items()
        if name != "dtype"
    }
