"""The contrastive objective: a backbone that puts examples of one class near each other, before any head learns."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import keras

from tltk.heads import builder as heads
from tltk.models.assemble import TransferModel
from tltk.specs import ImageSpec, LabelSpec, TextSpec

_NEVER = -1e9


@keras.saving.register_keras_serializable(package="tltk")
class ContrastiveLoss(keras.losses.Loss):
    """Supervised contrastive loss (Khosla et al. 2020, equation 2) over all pairs of a batch."""

    def __init__(self, temperature: float, name: str = "contrastive_loss") -> None:
        super().__init__(name=name)
        self.temperature = temperature

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compare 0/1 classes [batch, classes] with features of length 1 [batch, channels]: float32 [batch].

        An example without another of its class in the batch counts nothing.
        """
        ops = keras.ops
        true, features = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        others = 1.0 - ops.eye(ops.shape(features)[0])
        same = ops.cast(ops.matmul(true, ops.transpose(true)) > 0, "float32") * others
        logits = ops.matmul(features, ops.transpose(features)) / self.temperature + (1.0 - others) * _NEVER
        log_share = logits - ops.logsumexp(logits, axis=1, keepdims=True)
        count = ops.sum(same, axis=1)
        losses = -ops.sum(log_share * same, axis=1) / ops.maximum(count, 1.0)
        counted = ops.cast(count > 0, "float32")
        return losses * ops.cast(ops.shape(features)[0], "float32") / ops.maximum(ops.sum(counted), 1.0)

    def get_config(self) -> dict:
        return {"temperature": self.temperature, "name": self.name}


@dataclass(frozen=True)
class Contrast:
    """What a contrastive phase asks of a backbone, in the place of a model's own task."""

    labels: LabelSpec
    head: heads.Head
    encode: Callable[[Any], Any]
    temperature: float
    units: int
    name: str = "contrast"
    monitor: tuple[str, str] = ("loss", "min")
    per_token: ClassVar[bool] = False

    def reads(self, spec: ImageSpec | TextSpec) -> ImageSpec | TextSpec:
        """What the model reads."""
        return spec

    def outputs(
        self, features: keras.KerasTensor, *, mask: keras.KerasTensor | None = None, seed: int = 0
    ) -> keras.KerasTensor:
        """Pooled features of length 1, float32 [batch, channels]."""
        pooling = "avg" if self.head.pooling == "attention" else self.head.pooling
        pooled = keras.ops.cast(heads.pool(features, pooling, mask=mask), "float32")
        return keras.ops.normalize(pooled, axis=-1)

    def loss(self) -> keras.losses.Loss:
        """Supervised contrastive loss."""
        return ContrastiveLoss(self.temperature)

    def metrics(self) -> list[keras.metrics.Metric]:
        """None: the loss says it."""
        return []

    def to_config(self) -> dict:
        """Plain JSON values."""
        return {"name": self.name, "temperature": self.temperature}


def contrasted(model: TransferModel, temperature: float) -> TransferModel:
    """Make the view of a model that a contrastive phase trains: its backbone, without the head, with other outputs.

    Args:
        model: of a task with classes; its layers are shared, so that what learns here is its own backbone.
        temperature: below 1; the lower, the more the nearest wrong neighbours count.

    Returns:
        A model whose outputs are features of length 1.

    Raises:
        ValueError: if the labels are no classes.
    """
    task = model.task
    if task.labels.type not in ("categorical", "multilabel"):
        raise ValueError(f"a contrastive phase needs classes; the labels are of type {task.labels.type!r}.")
    features = model.features()
    contrast = Contrast(task.labels, task.head, task.encode, temperature, int(features.shape[-1]))
    outputs = contrast.outputs(features, mask=model.mask())
    network = keras.Model(model.keras.inputs, outputs, name=f"{model.keras.name}_contrast")
    return replace(model, keras=network, task=contrast)
