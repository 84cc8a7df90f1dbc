"""The task of a phase that trains on uneven classes, which replaces the task of the model."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import keras

from tltk.models.transfer_model import TransferModel
from tltk.tasks.base import Outputs, Task
from tltk.tasks.loss_terms import LossTerms
from tltk.tasks.records import Monitor


@dataclass(frozen=True)
class BalancedTask(Task):
    """A task with another loss, and a metric that counts all classes the same.

    Args:
        task: Task of the model; the phase uses its targets and outputs.
        terms: What changes the loss; None keeps it.
    """

    name: ClassVar[str] = "balanced"

    task: Task
    terms: LossTerms | None

    def outputs(
        self, features: dict[str, keras.KerasTensor], *, mask: keras.KerasTensor | None = None, seed: int = 0
    ) -> Outputs:
        """Return the outputs of the task."""
        return self.task.outputs(features, mask=mask, seed=seed)

    def loss(self) -> Any:
        """Return the loss of the task, with other terms if there are any."""
        return self.task.training_loss() if self.terms is None else self.task.balanced_loss(self.terms)

    def metrics(self) -> Any:
        """Return the metrics of the task, and those for uneven classes."""
        metrics, others = self.task.training_metrics(), self.task.balanced_metrics()
        return [*metrics, *others] if others else metrics

    def epoch_monitor(self) -> Monitor:
        """Return the metric of the task for uneven classes."""
        return self.task.balanced_monitor()


def balanced_model(model: TransferModel, terms: LossTerms | None) -> TransferModel:
    """Return a model that shares its layers, and is trained with the loss and metrics of a `BalancedTask`."""
    return replace(model, task=BalancedTask(model.task, terms))
