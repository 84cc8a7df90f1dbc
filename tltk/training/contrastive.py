"""The contrastive objective: a backbone that puts examples of one class near each other, before any head learns."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import keras

from tltk.foundation import keras_graph as graph
from tltk.heads import builder as heads
from tltk.models.features import endpoints
from tltk.models.transfer_model import TransferModel
from tltk.recipes.recipe import Phase
from tltk.tasks.base import Task, last_features

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
class Contrastive(Task):
    """What a contrastive phase asks of a backbone, in place of the model's own task.

    Args:
        task: of the model; its targets are those of the phase.
        temperature: of the loss.
    """

    name: ClassVar[str] = "contrastive"

    task: Task
    temperature: float

    def outputs(
        self, features: dict[str, keras.KerasTensor], *, mask: keras.KerasTensor | None = None, seed: int = 0
    ) -> keras.KerasTensor:
        """Pooled features of length 1, float32 [batch, channels]."""
        pooling = self.task.head.pooling if self.task.head is not None else "avg"
        pooling = "avg" if pooling == "attention" else pooling
        pooled = keras.ops.cast(heads.pool(last_features(features), pooling, mask=mask), "float32")
        return keras.ops.normalize(pooled, axis=-1)

    def encode(self, targets: Any) -> Any:
        """0/1 classes, as the task encodes them."""
        return self.task.encode(targets)

    def loss(self) -> keras.losses.Loss:
        """Supervised contrastive loss."""
        return ContrastiveLoss(self.temperature)


def phase_model(model: TransferModel, phase: Phase) -> TransferModel:
    """Return the model that a phase trains: the model itself, or for a contrastive phase its backbone without the head.

    Args:
        model: Its task has classes if the phase is contrastive. Its layers are shared: training trains its backbone.
        phase: With `contrastive_temperature` or without; the lower the temperature, the more the nearest examples of
            other classes count.

    Returns:
        The same model; or one whose outputs are features of length 1, float32 [batch, channels].

    Raises:
        ValueError: If the phase is contrastive and the targets of the task are not classes.
    """
    temperature = phase.contrastive_temperature
    if temperature is None:
        return model
    task = model.task
    if not task.class_targets:
        raise ValueError(f"a contrastive phase needs classes; the labels are of type {task.labels.type!r}.")
    contrastive = Contrastive(task, temperature)
    outputs = contrastive.outputs(endpoints(model), mask=model.mask())
    graph.name_added(model.keras, outputs)
    network = keras.Model(model.keras.inputs, outputs, name=f"{model.keras.name}_contrastive")
    return replace(model, keras=network, task=contrastive)
