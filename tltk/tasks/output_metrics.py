"""The loss and metrics of the user's own in an evaluation: of the outputs of the network, before they are decoded."""

from typing import Any

import numpy as np

from tltk.tasks.base import Task


class OutputMetrics:
    """Computes what Keras would report for the same batches.

    Args:
        task: Its own loss and metrics are not computed, only those that the user passed to its constructor.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.loss = task.training_loss() if task.objective.loss is not None else None
        self.metrics = task.own_metrics()
        self.total, self.count = 0.0, 0

    def update(self, targets: Any, outputs: Any, sample_weight: np.ndarray | None) -> None:
        """Add a batch.

        Args:
            targets: Raw targets of the elements.
            outputs: Outputs of the network for them.
            sample_weight: Weight of each element, float32 [batch]; None if all count the same.
        """
        encoded = self.task.encode(targets)
        if self.loss is not None:
            self.total += float(self.loss(encoded, outputs, sample_weight)) * len(outputs)
            self.count += len(outputs)
        for metric in self.metrics:
            if sample_weight is None:
                metric.update_state(encoded, outputs)
            else:
                metric.update_state(encoded, outputs, sample_weight=sample_weight)

    def result(self) -> dict[str, float]:
        """Return name → value; the loss is the mean over the elements, as in `keras.Model.evaluate`."""
        loss = {} if self.loss is None else {"loss": self.total / max(self.count, 1)}
        return {**loss, **{metric.name: float(metric.result()) for metric in self.metrics}}
