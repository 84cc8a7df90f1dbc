"""Callbacks of the user: they see the epochs of all phases of a fit, numbered without gaps, and the whole model."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from tltk.foundation import checks as check
from tltk.foundation import keras_private as private
from tltk.foundation import progress
from tltk.foundation.errors import InvalidInput
from tltk.recipes.recipe import Recipe
from tltk.training import callback_state

# Callbacks that make no sense here: name → what to use instead.
_REFUSED = {
    "BackupAndRestore": "it resumes a single model.fit by its epoch. Pass out=, and resume=True to resume.",
    "OrbaxCheckpoint": "it saves the optimizer of a single model.fit. Use keras.callbacks.ModelCheckpoint.",
    "SwapEMAWeights": "tltk validates and keeps averages itself. Use tltk.adamw(ema_momentum=0.99) in a phase.",
}
_CHANGE_RATE = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler)
_CONSTANT_RATE = (
    "Pass recipe=tltk.recipes.refine(tltk.fine_tune(), schedule='constant', warmup=0, include_head=True), with your "
    "own recipe, or tltk.recipes.one_phase(plan), in place of tltk.fine_tune(), and numbers as learning rates."
)
_START_ANEW = (keras.callbacks.EarlyStopping, keras.callbacks.ReduceLROnPlateau)


def change_rate(callbacks: Any) -> bool:
    """Tell whether a callback of Keras that changes the learning rate is among those of the user, checked or not."""
    return isinstance(callbacks, list | tuple) and any(isinstance(callback, _CHANGE_RATE) for callback in callbacks)


def check_callbacks(callbacks: Any, recipe: Recipe) -> tuple[keras.callbacks.Callback, ...]:
    """Check the callbacks that `fit` received.

    Args:
        callbacks: List of Keras callbacks.
        recipe: Its phases need a constant learning rate for callbacks that change it.

    Returns:
        The callbacks as a tuple.

    Raises:
        InvalidType: If it is not a list of callbacks.
        InvalidInput: Naming every callback that cannot be used, and the way out.
    """
    check.instance_of(
        "callbacks", callbacks, (list, tuple), hint="Pass a list, such as [keras.callbacks.CSVLogger(…)]."
    )
    problems = check.Problems()
    scheduled = [repr(phase.name) for phase in recipe.phases if not phase.has_constant_rate]
    for callback in callbacks:
        hint = "Pass instances of keras.callbacks.Callback."
        check.instance_of("callbacks", callback, keras.callbacks.Callback, hint=hint)
        names = [base.__name__ for base in type(callback).__mro__]
        for name in set(names) & set(_REFUSED):
            problems.add(f"`callbacks`: {name} cannot be used in tltk.fit: {_REFUSED[name]}")
        if isinstance(callback, _CHANGE_RATE) and scheduled:
            problems.add(
                f"`callbacks`: {names[0]} changes the learning rate, but these phases have a schedule, and no constant "
                f"rate: {check.listing(scheduled)}. {_CONSTANT_RATE}"
            )
    problems.raise_if_any()
    return tuple(callbacks)


class UserCallbacks:
    """The callbacks of the user during one fit.

    `on_train_begin` and `on_train_end` are called once; for EarlyStopping and ReduceLROnPlateau in every phase, so that
    each phase has its own patience and best epoch.

    Args:
        callbacks: From `check_callbacks`.
        model: The whole model, `callback.model`.
        epochs: Epochs of all phases together.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback], model: keras.Model, epochs: int) -> None:
        self.callbacks = tuple(callbacks)
        self.model = model
        self.epochs = epochs
        self.finished_epochs = 0
        self.logs: dict[str, Any] | None = None
        self._has_begun = False
        self._resumed: dict[str, Any] | None = None
        self._compilation = private.compilation(model)

    def phase(self, steps: int, *, first_step: int = 0) -> "PhaseCallbacks":
        """Return the callback that passes the events of one phase on to the callbacks of the user.

        Args:
            steps: Batches per epoch of the phase.
            first_step: Steps of the first epoch that were done before a training resumes from a checkpoint.
        """
        return PhaseCallbacks(self, steps, first_step=first_step)

    def get_state(self) -> dict[str, Any]:
        """Return the number of epochs and the state of each callback that has one, for a checkpoint."""
        states = [callback_state.get_state(callback) for callback in self.callbacks]
        return {"finished_epochs": self.finished_epochs, "names": self._names, "callbacks": states}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the state of a checkpoint; callbacks start anew if there are others than before."""
        self.finished_epochs = state["finished_epochs"]
        if state["names"] == self._names:
            for callback, values in zip(self.callbacks, state["callbacks"], strict=True):
                callback_state.set_state(callback, values)

    @property
    def _names(self) -> list[str]:
        return [type(callback).__name__ for callback in self.callbacks]

    def resume(self, state: dict[str, Any] | None, *, epochs_in_phase: int) -> None:
        """Prepare the callbacks for a training that resumes from a checkpoint.

        Args:
            state: What `get_state` returned before the phase that resumes; None before the first phase.
            epochs_in_phase: Epochs of that phase that are finished.
        """
        self.finished_epochs = state["finished_epochs"] if state else 0
        self._resumed = state if state and state["names"] == self._names else None
        for callback in self.callbacks:
            callback_state.resume(callback, self.finished_epochs + epochs_in_phase)

    def begin(self, steps: int) -> None:
        """Begin a phase: the whole training for most callbacks, if it is the first phase."""
        for callback in self.callbacks:
            callback.set_params({"verbose": progress.level(), "epochs": self.epochs, "steps": steps})
            if not self._has_begun:
                callback.set_model(self.model)
            if not self._has_begun or isinstance(callback, _START_ANEW):
                with _explain_rate_error(callback):
                    callback.on_train_begin({})
        self._has_begun = True
        for callback, state in zip(self.callbacks, (self._resumed or {}).get("callbacks", ()), strict=False):
            if not isinstance(callback, _START_ANEW):
                callback_state.set_state(callback, state)
        self._resumed = None

    def end(self) -> None:
        """End the training of the callbacks that see all phases as one."""
        for callback in self.callbacks:
            if self._has_begun and not isinstance(callback, _START_ANEW):
                callback.on_train_end(self.logs)

    def close(self) -> None:
        """Take the optimizer, loss and metrics of the last phase from the whole model."""
        private.set_compilation(self.model, self._compilation)


class PhaseCallbacks(keras.callbacks.Callback):
    """Passes the events of one phase on to the callbacks of the user.

    Args:
        user: The callbacks.
        steps: Batches per epoch of the phase.
        first_step: Steps of the first epoch that were done before.
    """

    def __init__(self, user: UserCallbacks, steps: int, *, first_step: int = 0) -> None:
        super().__init__()
        self.user = user
        self.steps = steps
        self.first_step = first_step
        self.first_epoch = user.finished_epochs
        self.restored_epoch: int | None = None  # whose weights EarlyStopping has restored, from 0

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Make the whole model look like the fitted one, and begin."""
        private.set_compilation(self.user.model, private.shared_compilation(self.model))
        self.user.begin(self.steps)
        self._stop_if_asked()

    def on_train_end(self, logs: dict | None = None) -> None:
        """End the phase for the callbacks that start anew in each."""
        self.user.logs = logs
        for callback in self.user.callbacks:
            if isinstance(callback, _START_ANEW):
                callback.on_train_end(logs)
            if getattr(callback, "restore_best_weights", False) and callback.best_weights is not None:
                self.restored_epoch = callback.best_epoch - self.first_epoch

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Pass on, with the number of the epoch in the whole fit."""
        self._call(lambda callback: callback.on_epoch_begin(epoch + self.first_epoch, logs))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Pass on, with the number of the epoch in the whole fit."""
        self.user.finished_epochs += 1
        self.first_step = 0
        self._call(lambda callback: callback.on_epoch_end(epoch + self.first_epoch, logs))

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Pass on."""
        self._call(lambda callback: callback.on_train_batch_begin(batch + self.first_step, logs=logs))

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Pass on."""
        self._call(lambda callback: callback.on_train_batch_end(batch + self.first_step, logs=logs))

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Pass on."""
        self._call(lambda callback: callback.on_test_begin(logs))

    def on_test_end(self, logs: dict | None = None) -> None:
        """Pass on."""
        self._call(lambda callback: callback.on_test_end(logs))

    def on_test_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Pass on."""
        self._call(lambda callback: callback.on_test_batch_begin(batch, logs=logs))

    def on_test_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Pass on."""
        self._call(lambda callback: callback.on_test_batch_end(batch, logs=logs))

    def _call(self, event: Callable[[keras.callbacks.Callback], None]) -> None:
        for callback in self.user.callbacks:
            with _explain_rate_error(callback):
                event(callback)
        self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        if self.user.model.stop_training:
            self.model.stop_training = True


@contextmanager
def _explain_rate_error(callback: keras.callbacks.Callback) -> Iterator[None]:
    """Raise `InvalidInput` if the callback sets the learning rate of an optimizer with a schedule."""
    try:
        yield
    except TypeError as error:
        if "its learning rate is not settable" not in str(error):  # the message of `Optimizer.learning_rate` in Keras
            raise
        raise InvalidInput(
            f"`callbacks`: {type(callback).__name__} set the learning rate in a phase that has a schedule, and no "
            f"constant rate. {_CONSTANT_RATE}"
        ) from error
