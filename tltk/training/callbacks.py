"""What watches a phase: the best weights so far, and the progress that a person sees."""

import logging
import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tltk.foundation import keras_private as private
from tltk.optimizers.state import unwrapped

log = logging.getLogger("tltk")

Score = tuple[float, float]


def score(logs: dict[str, float], monitor: tuple[str, str], *, prefix: str = "val_") -> Score:
    """Turn metrics into something that is larger when better: the task's metric first, the loss to break ties.

    Args:
        logs: metric name → value.
        monitor: metric name and "max" or "min".
        prefix: "val_" for the logs of `fit`.

    Returns:
        (metric, −loss), each −inf where it is not finite.
    """
    name, direction = monitor
    value = float(logs[f"{prefix}{name}"])
    return _finite(value if direction == "max" else -value), _finite(-float(logs[f"{prefix}loss"]))


def _finite(number: float) -> float:
    return number if math.isfinite(number) else -math.inf


class KeepBest(keras.callbacks.Callback):
    """Remember the weights of the best epoch on validation, and stop when none has come for `patience` epochs."""

    def __init__(self, whole: keras.Model, monitor: tuple[str, str], patience: int | None) -> None:
        super().__init__()
        self.whole = whole
        self.monitor = monitor
        self.patience = patience
        self.best: Score | None = None
        self.best_epoch = 0
        self.weights: list[np.ndarray] | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Compare, copy if better, stop if patience is over."""
        now = score(logs or {}, self.monitor)
        if self.best is None or now > self.best:
            self.best, self.best_epoch, self.weights = now, epoch + 1, self.whole.get_weights()
        elif self.patience is not None and epoch + 1 - self.best_epoch >= self.patience:
            self.model.stop_training = True

    def restore(self) -> None:
        """Put the best epoch's weights back."""
        if self.weights is not None:
            self.whole.set_weights(self.weights)


class StopOnNan(keras.callbacks.Callback):
    """Raise when the loss is no number any more, naming the ways out."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Look at the training loss."""
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the training loss became {loss} in epoch {epoch + 1}. "
                "Ways out: a learning rate ten times lower, clip_norm=1.0, or precision='float32'."
            )


class SetEpoch(keras.callbacks.Callback):
    """Tell a dataset which epoch the iterator that is about to start reads.

    Args:
        epoch: int64 scalar that the dataset was made with, see `tltk.pipeline.loader.Loader.dataset`.
    """

    def __init__(self, epoch: tf.Variable) -> None:
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Set the number; Keras starts the iterator after this."""
        self.epoch.assign(epoch)


class CountSteps(keras.callbacks.Callback):
    """Keep the optimizer's count of batches right: schedules, bias correction and averages go by it.

    An epoch of unknown length ends by asking for a batch that is not there. In the graph of that step TensorFlow counts
    before it fails, so that Keras counts one batch more an epoch (`test_plain_keras_counts_a_batch_more_an_epoch`);
    where that completes a group of accumulated gradients, it also empties what was gathered.
    """

    def __init__(self) -> None:
        super().__init__()
        self.batches = 0
        self.gathered: list[Any] = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Count what was really trained; what is gathered of a step would be lost if the next batch is not there."""
        self.batches += 1
        optimizer = unwrapped(self.model.optimizer)
        group = optimizer.gradient_accumulation_steps or 1
        full = group > 1 and (self.batches + 1) % group == 0
        gathered = private.accumulated_gradients(optimizer) if full else []
        self.gathered = [keras.ops.convert_to_numpy(variable) for variable in gathered]

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Put the count back, and what was gathered."""
        outer = self.model.optimizer
        for optimizer in (outer, unwrapped(outer)):
            counter = private.batch_counter(optimizer)
            # Loss scaling leaves out steps whose gradients overflowed: its count may be below, and is right then.
            if int(keras.ops.convert_to_numpy(counter)) > self.batches:
                counter.assign(self.batches)
        if self.gathered:
            for variable, value in zip(private.accumulated_gradients(unwrapped(outer)), self.gathered, strict=True):
                variable.assign(value)


class Watch(keras.callbacks.Callback):
    """Feed the progress bar and the log, and keep one row of numbers an epoch."""

    def __init__(self, phase: str, epochs: int, advance: Callable[..., None], write: Callable[[dict], None]) -> None:
        super().__init__()
        self.phase = phase
        self.epochs = epochs
        self.advance = advance
        self.write = write
        self.begun = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start the clock."""
        self.begun = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Move the bar one step."""
        self.advance()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Log the epoch's numbers and hand the row on."""
        numbers = {name: float(value) for name, value in (logs or {}).items()}
        shown = "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        log.info("%s %d/%d  %s", self.phase, epoch + 1, self.epochs, shown)
        self.advance(0, note=shown)
        seconds = round(time.perf_counter() - self.begun, 3)
        self.write({"phase": self.phase, "epoch": epoch + 1, "seconds": seconds, **numbers})
