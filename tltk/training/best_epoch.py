"""The best epoch of a phase: scores of epochs by the monitored metric, and the callback that keeps the best weights."""

import math
from typing import Any

import keras
import numpy as np

Score = tuple[float, float]


def score(logs: dict[str, float], monitor: tuple[str, str], *, prefix: str = "val_") -> Score:
    """Turn metrics into a score that is larger when better: the monitored metric first, the loss to break ties.

    Args:
        logs: Metric name → value.
        monitor: Metric name and "max" or "min".
        prefix: Prefix of the names in `logs`: "val_" for validation metrics of `fit`.

    Returns:
        (metric, −loss), the metric negated for "min". Values that are not finite become −inf.
    """
    name, direction = monitor
    value = float(logs[f"{prefix}{name}"])
    return _finite(value if direction == "max" else -value), _finite(-float(logs[f"{prefix}loss"]))


def _finite(value: float) -> float:
    return value if math.isfinite(value) else -math.inf


class KeepBest(keras.callbacks.Callback):
    """Remember the weights of the best epoch on validation, and stop after `patience` epochs without improvement.

    Args:
        full_model: The model whose weights are copied; the fitted model may be only its suffix.
        monitor: Metric name and "max" or "min".
        patience: Epochs without improvement before training stops; None never stops it.
    """

    def __init__(self, full_model: keras.Model, monitor: tuple[str, str], patience: int | None) -> None:
        super().__init__()
        self.full_model = full_model
        self.monitor = monitor
        self.patience = patience
        self.best: Score | None = None
        self.best_epoch = 0
        self.weights: list[np.ndarray] | None = None
        self.scores: list[Score] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Copy the weights if the epoch is the best so far; stop training if patience has run out."""
        epoch_score = score(logs or {}, self.monitor)
        self.scores.append(epoch_score)
        if self.best is None or epoch_score > self.best:
            self.best, self.best_epoch, self.weights = epoch_score, epoch + 1, self.full_model.get_weights()
        elif self.patience is not None and epoch + 1 - self.best_epoch >= self.patience:
            self.model.stop_training = True

    def get_state(self) -> dict[str, Any]:
        """Return the scores and the best weights, for a checkpoint."""
        return {name: getattr(self, name) for name in ("best", "best_epoch", "weights", "scores")}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from the state of a checkpoint."""
        for name, value in state.items():
            setattr(self, name, value)

    def choose(self, epoch: int) -> None:
        """Take the present weights of the model, those of an epoch (from 0) that a callback chose, as the best."""
        self.best, self.best_epoch, self.weights = self.scores[epoch], epoch + 1, self.full_model.get_weights()

    def restore(self) -> None:
        """Set the model to the weights of the best epoch."""
        if self.weights is not None:
            self.full_model.set_weights(self.weights)
