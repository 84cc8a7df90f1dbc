"""Predict: what a model says of examples, labelled or not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from tltk import _check as check
from tltk import progress
from tltk.data.inspect import readable
from tltk.data.pipeline import batches
from tltk.data.sources import Source, from_files
from tltk.model import TransferModel
from tltk.specs import BadExample, InputSpec, TextSpec
from tltk.tasks.base import Prediction

Inputs: TypeAlias = Source | tf.data.Dataset | np.ndarray | str | Path | list


def predict(
    model: TransferModel, inputs: Inputs, *, batch_size: int = 32, max_bad: float = 1.0
) -> tuple[list[Prediction], tuple[BadExample, ...]]:
    """Say what a model makes of each example.

    Args:
        model: from `assemble`, `adopt` or a run.
        inputs: a source (its labels are not looked at), one picture's path, a folder, a list of paths, pixels
            [n, height, width, 3] in [0, 255], or a `tf.data.Dataset`; of a text model, a text or a list of texts.
        batch_size: examples a step.
        max_bad: share of unreadable examples above which nothing is predicted.

    Returns:
        Predictions in the order of the inputs, and the examples that could not be read, left out of them.

    Raises:
        FileNotFoundError: if a path does not exist.
        ValueError: if more than `max_bad` of the examples are unreadable.
    """
    check.kind_of(
        "model", model, TransferModel, hint="Pass what tltk.assemble, tltk.adopt or tltk.load_run(...).model returned."
    )
    outputs, _, where, skipped = collect(
        model, as_data(inputs, model.input), batch_size=batch_size, max_bad=max_bad, title="predicting"
    )
    return model.task.decode(outputs, where), skipped


def as_data(inputs: Inputs, spec: InputSpec | TextSpec) -> Source | tf.data.Dataset:
    """Turn whatever names examples, or is them, into a source, unlabelled if it was not one."""
    if isinstance(inputs, Source | tf.data.Dataset):
        return inputs
    if isinstance(spec, TextSpec):
        from tltk.data.sources import from_arrays

        check.kind_of("inputs", inputs, (str, list, tuple, np.ndarray), hint="Pass a text, or a list of texts.")
        return from_arrays([inputs] if isinstance(inputs, str) else inputs)
    if isinstance(inputs, np.ndarray):
        from tltk.data.sources import from_arrays

        return from_arrays(inputs)
    return from_files(inputs)


def collect(
    model: TransferModel, data: Source | tf.data.Dataset, *, batch_size: int, max_bad: float, title: str
) -> tuple[np.ndarray, np.ndarray | None, list[str], tuple[BadExample, ...]]:
    """Run a model over data once, in order.

    Args:
        model: run in inference mode.
        data: a source or dataset, with or without targets.
        batch_size: examples a step.
        max_bad: share of unreadable examples above which it is refused.
        title: of the progress bar.

    Returns:
        float32 outputs [n, outputs]; encoded targets [n, outputs] or None; a name for each; the unreadable ones.
    """
    bad: tuple[BadExample, ...] = ()
    if isinstance(data, Source):
        data, bad = readable(data, max_bad=max_bad)
        if not len(data):
            return np.zeros((0, len(model.task.labels)), "float32"), None, [], bad
    feed = batches(data, model.input, batch_size=batch_size, encode=model.task.encode)
    outputs, targets = [], []
    with progress.bar(title, feed.steps) as advance:
        try:
            for pixels, target in _pairs(feed.dataset):
                outputs.append(np.asarray(model.keras.predict_on_batch(pixels), "float32"))
                targets += [] if target is None else [np.asarray(target)]
                advance()
        except tf.errors.OpError:
            if not feed.why_empty():  # then there is nothing to predict, and `skipped` says why
                raise
    found = np.concatenate(outputs) if outputs else np.zeros((0, len(model.task.labels)), "float32")
    where = _names(data, len(found), feed.skipped)
    return found, np.concatenate(targets) if targets else None, where, (*bad, *feed.skipped)


def _pairs(dataset: tf.data.Dataset) -> Iterator[tuple[Any, Any]]:
    for element in dataset:
        yield (element[0], element[1]) if isinstance(element, tuple) else (element, None)


def _names(data: Source | tf.data.Dataset, count: int, skipped: list[BadExample]) -> list[str]:
    if not isinstance(data, Source):
        return [f"example {index}" for index in range(count)]
    left_out = {bad.where for bad in skipped}
    return [name for name in (data.name_of(index) for index in range(len(data))) if name not in left_out]
