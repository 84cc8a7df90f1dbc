"""Messages of `tltk.fit` about the data and the result."""

import logging
from collections.abc import Collection, Sequence
from typing import Any

from tltk.data.invalid import by_reason
from tltk.specs import InvalidExample
from tltk.tasks.base import Task

log = logging.getLogger("tltk")

_NEAR_GUESSING = 0.97  # of the loss of guessing; classes of different sizes alone bring it somewhat below


def tell_invalid(invalid: Collection[InvalidExample]) -> None:
    """Log how many examples were left out, and why; log nothing otherwise."""
    if len(invalid):
        log.warning("left out: %d examples\n  %s", len(invalid), "\n  ".join(by_reason(invalid)))


def tell_if_guessing(task: Task, history: Sequence[dict[str, Any]], *, is_weighted: bool) -> None:
    """Log a hint if the training loss at the end is still that of a model that has learned nothing.

    Args:
        task: Task of the model.
        history: Rows of all epochs.
        is_weighted: Whether classes are weighted, so that the loss of guessing is unknown.
    """
    guessing = None if is_weighted else task.guessing_loss()
    loss = history[-1].get("loss") if history else None
    if guessing is None or loss is None or loss < _NEAR_GUESSING * guessing:
        return
    chance = 1 / len(task.labels)
    if history[-1].get("accuracy", 0) > (1 + chance) / 2:
        return  # the outputs are small still, as after few steps, but in the right order
    log.warning(
        "The training loss, %.3g, is still that of guessing (%.3g): the model has learned next to nothing. Train more "
        "epochs, or with a higher learning rate; check that labels and examples belong together, and the weights of "
        "the backbone.",
        loss,
        guessing,
    )
