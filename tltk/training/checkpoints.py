"""Checkpoints of a training: when they are written, what they hold, and how a training resumes from one.

A batch is a function of source, seed, epoch and number (`tltk.pipeline.loader`), so the position in the data is two
numbers. With the values of all variables and the state of the callbacks, the training continues as if it had never
stopped: the results are equal to the byte.
"""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import keras

from tltk.foundation.errors import InvalidInput
from tltk.pipeline.loader import DatasetLoader, Loader
from tltk.training import checkpoint_file
from tltk.training.checkpoint import Checkpoint
from tltk.training.seeds import seed_states
from tltk.training.stateful import Stateful, Variables
from tltk.training.stop_request import StopRequest, TrainingStopped

log = logging.getLogger("tltk")

State = dict[str, Any]


class Checkpoints:
    """Writes the checkpoints of one training.

    Args:
        folder: Folder of the run; None writes none.
        settings: How often, and how many are kept; None writes none.
        stop_request: Ctrl-C or SIGTERM, which also ask for a checkpoint.
        shared: Returns what every checkpoint holds, whatever the phase, such as the history.
        resumed: State that this training resumes from; None for a new one.
    """

    def __init__(
        self,
        folder: Path | None,
        settings: Checkpoint | None,
        stop_request: StopRequest,
        *,
        shared: Callable[[], State],
        resumed: State | None = None,
    ) -> None:
        self.folder = folder if settings else None
        self.settings = settings or Checkpoint()
        self.stop_request = stop_request
        self.shared = shared
        self.resumed = resumed
        self._resumes = resumed is not None
        self.count, self.seconds = 0, 0.0  # written so far, and the time it took
        self._written_at, self._steps = time.monotonic(), 0

    def phase(self, index: int, before: State) -> "PhaseCheckpoints":
        """Return the checkpoints of a phase; the first phase that is asked for is the one that resumes.

        Args:
            index: Number of the phase, from 0.
            before: State before the phase, such as the weights.
        """
        resumed, self.resumed = self.resumed, None  # a training resumes once; its weights need not stay in memory
        return PhaseCheckpoints(self, index, before, resumed["during"] if resumed else None)

    def is_due(self, *, steps: int) -> bool:
        """Tell whether a checkpoint is due, after some steps since the last call."""
        self._steps += steps
        if self.folder is None:
            return False
        if self.settings.steps is not None:
            return self._steps >= self.settings.steps
        return time.monotonic() - self._written_at >= (self.settings.seconds or 0.0)

    def write(self, state: State) -> None:
        """Write a checkpoint.

        Raises:
            FileError: If it cannot be written; those before it stay.
        """
        if self.folder is None:
            return
        started_at = time.monotonic()
        # Those of another training in the same folder are not kept.
        keep = self.settings.keep if self._resumes else min(self.settings.keep, self.count + 1)
        checkpoint_file.write(self.folder, {**self.shared(), **state}, keep=keep)
        self._written_at, self._steps = time.monotonic(), 0
        self.count += 1
        self.seconds += self._written_at - started_at


class PhaseCheckpoints:
    """Writes the checkpoints of one phase.

    Args:
        checkpoints: Those of the whole training.
        index: Number of the phase, from 0.
        before: State before the phase.
        during: State that the phase resumes from; None to start it.
    """

    def __init__(self, checkpoints: Checkpoints, index: int, before: State, during: State | None) -> None:
        self.checkpoints = checkpoints
        self.index = index
        self.before = before
        self.during = during
        self._has_begun = during is not None

    @property
    def epoch(self) -> int:
        """Epoch that the phase resumes with, from 0."""
        return self.during["epoch"] if self.during else 0

    @property
    def first_batch(self) -> int:
        """Number of the first batch of that epoch."""
        return self.during["batch"] if self.during else 0

    @property
    def first_step(self) -> int:
        """Steps of that epoch that are done; differs from `first_batch` if batches had no readable element."""
        return self.during["step"] if self.during else 0

    @property
    def seconds(self) -> float:
        """Seconds that the phase has taken before this process."""
        return self.during["seconds"] if self.during else 0.0

    def require_fit(self, *, epochs: int, batches: int) -> None:
        """Raise if the phase does not have the position of the checkpoint, as with other data or fewer epochs.

        Args:
            epochs: Epochs of the phase.
            batches: Batches per epoch.

        Raises:
            InvalidInput: With both positions.
        """
        if self.during is not None and (self.epoch >= epochs or self.first_batch >= batches):
            raise InvalidInput(
                f"the checkpoint is in epoch {self.epoch + 1} at batch {self.first_batch + 1}, which phase "
                f"{self.index + 1} does not have: it has {epochs} epochs of {batches} batches. Pass the same data and "
                "batch_size, and at least as many epochs; or train anew, without resume."
            )

    def begin(self) -> None:
        """Write the state before the phase, if a checkpoint is due or the training is to stop."""
        if not self._has_begun and (self.checkpoints.is_due(steps=0) or self.checkpoints.stop_request.signal_number):
            self.write(None)
        self.checkpoints.stop_request.raise_if_any()

    def stopped(self) -> None:
        """Write the state before the phase, if the training stops before its first step."""
        if not self._has_begun:
            self.write(None)

    def write(self, during: State | None) -> None:
        """Write a checkpoint of this phase."""
        self.checkpoints.write({"phase": self.index, "before": self.before, "during": during})

    def postpone_stop(self) -> AbstractContextManager[None]:
        """Return the context in which Ctrl-C waits for the end of a step; without checkpoints it does not wait."""
        return self.checkpoints.stop_request.postponed() if self.checkpoints.folder else nullcontext()

    def callback(
        self, model: keras.Model, fitted: keras.Model, loader: Loader | DatasetLoader, parts: Mapping[str, Any]
    ) -> "WriteCheckpoints":
        """Return the callback that writes the checkpoints of the phase, and first restores what it resumes from.

        Args:
            model: The trained model.
            fitted: What is fitted: the model or its upper layers, compiled.
            loader: Its training batches.
            parts: Name → object with a state of its own, such as another callback.
        """
        variables = {
            "weights": Variables("the weights", lambda: model.weights),
            "optimizer": Variables("the optimizer", lambda: fitted.optimizer.variables),
            "metrics": Variables("the metrics", lambda: fitted.metrics_variables),
            "seeds": Variables("the random generators", lambda: seed_states(model)),
        }
        self._has_begun = True
        return WriteCheckpoints(self, loader, {**variables, **parts})


def build_metrics(model: keras.Model, loader: Loader | DatasetLoader) -> None:
    """Create the variables of a compiled model's loss and metrics, which Keras does in the first step.

    Args:
        model: Compiled model.
        loader: Its training batches, of which one is read.
    """
    inputs, targets, weights = keras.utils.unpack_x_y_sample_weight(next(iter(loader.dataset())))
    outputs = model(inputs, training=False)
    model.compute_loss(inputs, targets, outputs, weights)
    model.compute_metrics(inputs, targets, outputs, weights)


class WriteCheckpoints(keras.callbacks.Callback):
    """Writes checkpoints between steps; list it last, so that the others have seen all events before.

    Args:
        phase: Checkpoints of the phase.
        loader: Training batches.
        parts: Name → object whose state is saved.
    """

    def __init__(self, phase: PhaseCheckpoints, loader: Loader | DatasetLoader, parts: Mapping[str, Stateful]) -> None:
        super().__init__()
        self.phase, self.loader, self.parts = phase, loader, parts
        self.epoch, self.step, self.first_step = 0, 0, 0
        self.started_at = time.perf_counter() - phase.seconds
        self._to_restore = phase.during

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Restore the state that the phase resumes from, or write a checkpoint if one is due."""
        self.epoch, self.step, self.first_step, self.first_batch = epoch, 0, 0, 0
        if "user_callbacks" in self.parts and self.phase.checkpoints.folder:
            self.parts["user_callbacks"].get_state()  # raises now, not at the first checkpoint
        if self._to_restore is not None:
            stored = self._to_restore.pop("parts")  # frees the arrays
            for name, part in self.parts.items():
                if name in stored:  # validation data or callbacks may be new, with resume="force"
                    part.set_state(stored[name])
            self.step = self.first_step = self.phase.first_step
            self.first_batch = self.phase.first_batch
            self._to_restore = None
        else:
            self._write_if_due(steps=0)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Write a checkpoint if one is due; stop if Ctrl-C was pressed."""
        self.step += 1
        self._write_if_due(steps=1)

    def _write_if_due(self, *, steps: int) -> None:
        if self.model.stop_training:
            return  # the phase ends, and the next one begins with a checkpoint
        checkpoints = self.phase.checkpoints
        signal_number = checkpoints.stop_request.signal_number
        if not checkpoints.is_due(steps=steps) and not signal_number:
            return
        read = self.step - self.first_step
        batch = self.loader.number_after(read, epoch=self.epoch, first=self.first_batch)
        if not self.loader.has_batch(batch, epoch=self.epoch):
            return  # Keras cannot train an epoch without a batch: the checkpoint is written when the next one begins
        self.phase.write(self._state(batch))
        if signal_number:
            raise TrainingStopped(signal_number)

    def _state(self, batch: int) -> State:
        return {
            "epoch": self.epoch,
            "step": self.step,
            "batch": batch,
            "seconds": round(time.perf_counter() - self.started_at, 3),
            # Before the first step of an epoch the metrics are zero, and in the first epoch not all are created yet.
            "parts": {name: part.get_state() for name, part in self.parts.items() if self.step or name != "metrics"},
        }
