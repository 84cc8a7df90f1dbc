"""Supervised contrastive training: its loss, and the model that a contrastive phase trains."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import keras

from tltk.foundation import keras_graph as graph
from tltk.foundation.errors import InvalidInput
from tltk.heads import builder as heads
from tltk.models.features import endpoints
from tltk.models.transfer_model import TransferModel
from tltk.recipes.recipe import Phase
from tltk.tasks.base import Task, last_features

_MASKED_LOGIT = -1e9


@keras.saving.register_keras_serializable(package="tltk")
class ContrastiveLoss(keras.losses.Loss):
    """Supervised contrastive loss (Khosla et al. 2020, equation 2) over all pairs of a batch.

    Args:
        temperature: Divisor of the cosine similarities; the lower it is, the more the most similar examples of other
            classes count.
        name: Name of the loss.
    """

    def __init__(self, temperature: float, name: str = "contrastive_loss") -> None:
        super().__init__(name=name)
        self.temperature = temperature

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compare 0/1 classes [batch, classes] with unit-length features [batch, channels]: float32 [batch].

        Examples without another example of their class in the batch have a loss of 0 and are left out of the mean.
        """
        ops = keras.ops
        classes, features = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        not_self = 1.0 - ops.eye(ops.shape(features)[0])
        same_class = ops.cast(ops.matmul(classes, ops.transpose(classes)) > 0, "float32") * not_self
        logits = ops.matmul(features, ops.transpose(features)) / self.temperature + (1.0 - not_self) * _MASKED_LOGIT
        log_probabilities = logits - ops.logsumexp(logits, axis=1, keepdims=True)
        positives = ops.sum(same_class, axis=1)
        losses = -ops.sum(log_probabilities * same_class, axis=1) / ops.maximum(positives, 1.0)
        has_positive = ops.cast(positives > 0, "float32")
        return losses * ops.cast(ops.shape(features)[0], "float32") / ops.maximum(ops.sum(has_positive), 1.0)

    def get_config(self) -> dict:
        return {"temperature": self.temperature, "name": self.name}


@dataclass(frozen=True)
class ContrastiveTask(Task):
    """The task of a contrastive phase, which replaces the task of the model.

    Args:
        task: Task of the model; the phase uses its targets.
        temperature: Temperature of the loss.
    """

    name: ClassVar[str] = "contrastive"

    task: Task
    temperature: float

    def outputs(
        self, features: dict[str, keras.KerasTensor], *, mask: keras.KerasTensor | None = None, seed: int = 0
    ) -> keras.KerasTensor:
        """Return pooled features scaled to unit length, float32 [batch, channels]."""
        pooling = self.task.head.pooling if self.task.head is not None else "avg"
        # Attention pooling has weights of its own, which belong to the head.
        pooling = "avg" if pooling == "attention" else pooling
        pooled = keras.ops.cast(heads.pool(last_features(features), pooling, mask=mask), "float32")
        return keras.ops.normalize(pooled, axis=-1)

    def encode(self, targets: Any) -> Any:
        """Return 0/1 classes [batch, classes], as the task of the model encodes them."""
        return self.task.encode(targets)

    def loss(self) -> keras.losses.Loss:
        """Return the supervised contrastive loss."""
        return ContrastiveLoss(self.temperature)


def phase_model(model: TransferModel, phase: Phase) -> TransferModel:
    """Return the model that a phase trains: the model itself, or its backbone without the head if it is contrastive.

    Args:
        model: Its layers are shared: training the returned model trains its backbone. A contrastive phase requires a
            task with classes.
        phase: Contrastive if `contrastive_temperature` is set.

    Returns:
        The same model; or one whose outputs are features of unit length, float32 [batch, channels].

    Raises:
        InvalidInput: If the phase is contrastive and the targets of the task are not classes.
    """
    temperature = phase.contrastive_temperature
    if temperature is None:
        return model
    task = model.task
    if not task.class_targets:
        raise InvalidInput(f"a contrastive phase requires class labels. Received: labels of type {task.labels.type!r}.")
    contrastive_task = ContrastiveTask(task, temperature)
    outputs = contrastive_task.outputs(endpoints(model), mask=model.mask())
    graph.rename_added(model.keras, outputs)
    network = keras.Model(model.keras.inputs, outputs, name=f"{model.keras.name}_contrastive")
    return replace(model, keras=network, task=contrastive_task)
