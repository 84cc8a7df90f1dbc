"""The one place that sets `trainable`: immediately before a new optimizer and `compile`."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from tltk.trainability.layers import HasStages, model_and_stages, rows, sublayers
from tltk.trainability.plan import Plan, holds_batch_norm


def apply(plan: Plan, model: keras.Model | HasStages) -> dict[str, str]:
    """Set the `trainable` flag of every layer as a plan says.

    The model itself is opened first: a frozen container hides its children from `trainable_weights`,
    while a child set trainable under it still learns.

    Args:
        plan: which layers learn.
        model: a functional `keras.Model`, or what `tltk.assemble` returned.

    Returns:
        Layer name → "frozen" or "train", as `plan.resolve` gives it.

    Raises:
        ValueError: as `plan.resolve`; nothing is changed then.
    """
    decided = plan.resolve(model)
    plain, _ = model_and_stages(model)
    plain.trainable = True
    for row in rows(model):
        for part in sublayers(row.layer):
            part.trainable = decided[row.name] == "train"
        for part in sublayers(row.layer):
            if holds_batch_norm(row, part, plan.batch_norm):
                part.trainable = False
    return decided


@contextmanager
def restored_flags(model: keras.Model) -> Iterator[None]:
    """Put every `trainable` flag back as it was, whatever happens inside."""
    flags = [(layer, layer.trainable) for layer in sublayers(model)]
    try:
        yield
    finally:
        for layer, flag in flags:  # outermost first: a container's flag overwrites its children's
            layer.trainable = flag
