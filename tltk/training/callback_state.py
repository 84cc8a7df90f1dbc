"""The state of a user's callback in a checkpoint: of Keras' own callbacks, and of those with `get_state`."""

import csv
import logging
from pathlib import Path
from typing import Any

import keras

from tltk.foundation import files
from tltk.foundation.errors import InvalidInput
from tltk.training import checkpoint_file

log = logging.getLogger("tltk")

# What the callbacks of Keras change between `on_train_begin` and `on_train_end`.
_ATTRIBUTES: dict[type, tuple[str, ...]] = {
    keras.callbacks.EarlyStopping: ("wait", "stopped_epoch", "best", "best_weights", "best_epoch"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "cooldown_counter", "best"),
    keras.callbacks.ModelCheckpoint: ("best", "epochs_since_last_save"),
    keras.callbacks.History: ("epoch", "history"),
}
# Callbacks without a state of their own; those that only write or send logs continue to do so.
_STATELESS = (
    keras.callbacks.CSVLogger,
    keras.callbacks.LambdaCallback,
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.ProgbarLogger,
    keras.callbacks.RemoteMonitor,
    keras.callbacks.TensorBoard,
    keras.callbacks.TerminateOnNaN,
)


def get_state(callback: keras.callbacks.Callback) -> Any:
    """Return the state of a callback: of one of your own, what its method `get_state` returns; {} if it is unknown.

    Raises:
        InvalidInput: If a checkpoint cannot hold it.
    """
    if _has_own(callback):
        state = callback.get_state()
        try:
            checkpoint_file.check(state)
        except TypeError as error:
            raise InvalidInput(
                f"`callbacks`: get_state() of {type(callback).__name__} must return numbers, texts and arrays, or "
                f"lists and dicts of them: {error}."
            ) from error
        return state
    return {
        name: getattr(callback, name)
        for keras_class, names in _ATTRIBUTES.items()
        for name in names
        if isinstance(callback, keras_class) and hasattr(callback, name)
    }


def set_state(callback: keras.callbacks.Callback, state: Any) -> None:
    """Restore a state that `get_state` returned, after `on_train_begin`."""
    if _has_own(callback):
        callback.set_state(state)
        return
    for name, value in (state or {}).items():
        setattr(callback, name, value)


def _has_own(callback: Any) -> bool:
    """Tell whether a callback has both methods."""
    return callable(getattr(callback, "get_state", None)) and callable(getattr(callback, "set_state", None))


def resume(callback: keras.callbacks.Callback, finished_epochs: int) -> None:
    """Prepare a callback for a resumed training.

    A `CSVLogger` appends to its file, whose rows of later epochs are removed: these are trained once more. A warning
    names a callback whose state is unknown, also one that is derived from a callback of Keras.

    Args:
        callback: Before its `on_train_begin`.
        finished_epochs: Epochs that were finished before the checkpoint.
    """
    if isinstance(callback, keras.callbacks.CSVLogger):
        callback.append = True
        _remove_later_rows(Path(callback.filename), callback.sep, finished_epochs)
    if not _has_own(callback) and type(callback) not in (*_ATTRIBUTES, *_STATELESS):
        log.warning(
            "The callback %s starts anew, as far as its own attributes go: they are not in the checkpoint. Give it the "
            "methods get_state(), which returns numbers, texts, arrays, and lists and dicts of them, and "
            "set_state(state).",
            type(callback).__name__,
        )


def _remove_later_rows(path: Path, separator: str, finished_epochs: int) -> None:
    if not path.is_file():
        return
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=separator))
    kept = [row for row in rows if row.get("epoch", "").isdigit() and int(row["epoch"]) < finished_epochs]
    if len(kept) < len(rows):
        files.write_csv(path, kept, delimiter=separator, columns=rows[0])
