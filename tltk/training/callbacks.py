"""Keras callbacks of a phase: divergence check, epoch number, step count, progress and history."""

import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tltk.foundation import keras_private as private
from tltk.foundation import progress
from tltk.foundation.errors import TrainingDiverged
from tltk.optimizers.state import without_loss_scaling


class StopOnNan(keras.callbacks.Callback):
    """Raise an error with advice in the step in which the training loss becomes NaN or infinite.

    Args:
        explain: Returns a sentence about the cause, given the epoch and the number of the step in this process.
        first_step: Steps of the first epoch that were done before the training was resumed.
    """

    def __init__(self, explain: Callable[[int, int], str], *, first_step: int = 0) -> None:
        super().__init__()
        self.explain = explain
        self.next_first_step, self.first_step = first_step, 0
        self.epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Remember the epoch."""
        self.epoch = epoch
        self.first_step, self.next_first_step = self.next_first_step, 0

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Check the mean training loss of the epoch so far."""
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise TrainingDiverged(
                f"the training loss became {loss} in epoch {self.epoch + 1}, step {batch + self.first_step + 1}. "
                f"{self.explain(self.epoch, batch)} "
                "Try a learning rate ten times lower, clip_norm=1.0, or precision='float32'."
            )


class SetPosition(keras.callbacks.Callback):
    """Tell a dataset the epoch that its next iterator reads, and the batch that it begins with.

    Args:
        epoch: int64 scalar from which the dataset was built, see `tltk.pipeline.loader.Loader.dataset`.
        batch: int64 scalar likewise.
        first_batch: Number of the batch that the first epoch begins with.
    """

    def __init__(self, epoch: tf.Variable, batch: tf.Variable, *, first_batch: int = 0) -> None:
        super().__init__()
        self.epoch, self.batch = epoch, batch
        self.first_batch = first_batch

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Set the numbers; Keras starts the iterator afterwards."""
        self.epoch.assign(epoch)
        self.batch.assign(self.first_batch)
        self.first_batch = 0


class CountSteps(keras.callbacks.Callback):
    """Correct the optimizer's step count, on which schedules, bias correction and moving averages depend.

    An epoch of unknown length ends by requesting a batch that does not exist. In the graph of that step TensorFlow
    increments the counter before it fails, so Keras counts one extra batch per epoch
    (`test_plain_keras_counts_one_extra_batch_per_epoch`), and changes scalars that depend on the step alone. If the
    extra batch completes a group of accumulated gradients, that step also clears the accumulated gradients.
    """

    def __init__(self) -> None:
        super().__init__()
        self.batches = 0
        self.accumulated: list[np.ndarray] = []
        self.products: list[np.ndarray] = []

    def get_state(self) -> int:
        """Return the number of batches, for a checkpoint."""
        return self.batches

    def set_state(self, state: int) -> None:
        """Continue from the state of a checkpoint."""
        self.batches = state

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Count the batch, and copy the accumulated gradients if an extra batch would clear them."""
        self.batches += 1
        optimizer = without_loss_scaling(self.model.optimizer)
        group_size = optimizer.gradient_accumulation_steps or 1
        next_completes_group = group_size > 1 and (self.batches + 1) % group_size == 0
        variables = private.accumulated_gradients(optimizer) if next_completes_group else []
        self.accumulated = [_copy(variable) for variable in variables]
        self.products = [_copy(variable) for variable in private.step_products(optimizer)]

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Restore the step count, the accumulated gradients and the scalars that depend on the step."""
        outer = self.model.optimizer
        for optimizer in (outer, without_loss_scaling(outer)):
            counter = private.batch_counter(optimizer)
            # Loss scaling skips steps whose gradients overflowed: a lower count is correct and stays.
            if int(keras.ops.convert_to_numpy(counter)) > self.batches:
                counter.assign(self.batches)
        inner = without_loss_scaling(outer)
        for variable, value in zip(private.step_products(inner), self.products, strict=False):
            variable.assign(value)
        if self.accumulated:
            for variable, value in zip(private.accumulated_gradients(inner), self.accumulated, strict=True):
                variable.assign(value)


def _copy(variable: keras.Variable) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(variable))


class ReportProgress(keras.callbacks.Callback):
    """Update the progress bar, log each epoch, and pass on one row of the history per epoch.

    Args:
        phase: Name of the phase.
        epochs: Epochs of the phase at most.
        advance: Advances the progress bar: `advance(steps=1, note="")`.
        write: Receives the row: phase, epoch, seconds and metrics.
    """

    def __init__(
        self, phase: str, epochs: int, advance: Callable[..., None], write: Callable[[dict[str, Any]], None]
    ) -> None:
        super().__init__()
        self.phase = phase
        self.epochs = epochs
        self.advance = advance
        self.write = write
        self.epoch_start = 0.0

    def get_state(self) -> float:
        """Return the seconds since the epoch began, for a checkpoint."""
        return time.perf_counter() - self.epoch_start

    def set_state(self, state: float) -> None:
        """Continue from the state of a checkpoint."""
        self.epoch_start = time.perf_counter() - state

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start the clock."""
        self.epoch_start = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Advance the bar by one step."""
        self.advance()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Log the metrics of the epoch and write its row."""
        metrics = {
            name: float(value) for name, value in (logs or {}).items() if isinstance(value, int | float | np.floating)
        }
        metrics_text = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        progress.line(f"{self.phase} {epoch + 1}/{self.epochs}  {metrics_text}")
        self.advance(0, note=metrics_text)
        seconds = round(time.perf_counter() - self.epoch_start, 3)
        self.write({"phase": self.phase, "epoch": epoch + 1, "seconds": seconds, **metrics})
