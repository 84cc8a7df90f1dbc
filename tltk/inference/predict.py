"""Predict: what a model says of examples, labelled or not."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import tensorflow as tf

from tltk.backbones.base import Backbone
from tltk.data.formats.folder import Source, from_arrays, from_files, from_words
from tltk.foundation import checks as check
from tltk.foundation import progress
from tltk.modalities.image.validate import drop_invalid
from tltk.models.assemble import TransferModel
from tltk.pipeline.batches import batches
from tltk.pipeline.stream import Batches
from tltk.specs import InvalidExample, Span, TextSpec
from tltk.tasks.base import ExampleTask, Prediction, TokenTask, examples, require_kind

Inputs: TypeAlias = Source | tf.data.Dataset | np.ndarray | str | Path | list


def predict(
    model: TransferModel, inputs: Inputs, *, batch_size: int = 32, max_invalid_fraction: float = 1.0
) -> tuple[list[Prediction], tuple[InvalidExample, ...]]:
    """Say what a model makes of each example.

    Args:
        model: from `assemble`, `adopt` or a run.
        inputs: a source (its labels are not looked at), one picture's path, a folder, a list of paths, pixels
            [n, height, width, 3] in [0, 255], or a `tf.data.Dataset`; of a text model, a text or a list of texts; of
            one that reads pairs, a tuple of two or a list of such; of a tagger, also texts as lists of words.
        batch_size: examples a step.
        max_invalid_fraction: share of unreadable examples above which nothing is predicted.

    Returns:
        Predictions in the order of the inputs, and the examples that could not be read, left out of them.

    Raises:
        FileNotFoundError: if a path does not exist.
        ValueError: if more than `max_invalid_fraction` of the examples are unreadable.
    """
    check.kind_of(
        "model", model, TransferModel, hint="Pass what tltk.assemble, tltk.adopt or tltk.load_run(...).model returned."
    )
    found = collect(
        model,
        as_data(inputs, model),
        batch_size=batch_size,
        max_invalid_fraction=max_invalid_fraction,
        title="predicting",
    )
    if found.spans is not None and found.source is not None:
        return cast(TokenTask, model.task).shown(found.spans, found.source), found.invalid
    return cast(ExampleTask, model.task).decode(found.outputs, found.example_ids), found.invalid


def as_data(inputs: Inputs, model: TransferModel | Backbone) -> Source | tf.data.Dataset:
    """Turn whatever names examples, or is them, into a source, unlabelled if it was not one.

    Args:
        inputs: see `predict`.
        model: says whether they are pictures, texts, pairs of texts or texts in words.

    Returns:
        A source or dataset.
    """
    if isinstance(inputs, Source | tf.data.Dataset):
        return inputs
    if not isinstance(model.input, TextSpec):
        return from_arrays(inputs) if isinstance(inputs, np.ndarray) else from_files(inputs)
    check.kind_of("inputs", inputs, (str, list, tuple, np.ndarray), hint="Pass a text, or a list of texts.")
    if isinstance(inputs, str):
        return from_arrays([inputs])
    if model.input.pairs and isinstance(inputs, tuple):
        return from_arrays([inputs])
    texts = list(cast(list, inputs))
    if not texts:
        raise ValueError("`inputs` holds no text.")
    in_words = isinstance(texts[0], list | tuple) and not model.input.pairs
    return from_words(texts) if in_words else from_arrays(texts)


@dataclass(frozen=True)
class Collected:
    """What a model makes of data.

    Args:
        outputs: float32 [n, outputs]; for tags and answers, [0, outputs].
        targets: encoded, [n, outputs]; None where there are none, and for tags and answers.
        example_ids: a name for each example.
        invalid: the examples that could not be read.
        spans: for tags and answers, what was found in each text; else None.
        source: the readable examples, of a source.
    """

    outputs: np.ndarray
    targets: np.ndarray | None
    example_ids: list[str]
    invalid: tuple[InvalidExample, ...]
    spans: list[tuple[Span, ...]] | None = None
    source: Source | None = None


def collect(
    model: TransferModel, data: Source | tf.data.Dataset, *, batch_size: int, max_invalid_fraction: float, title: str
) -> Collected:
    """Run a model over data once.

    Args:
        model: run in inference mode.
        data: a source or dataset, with or without targets.
        batch_size: examples a step.
        max_invalid_fraction: share of unreadable examples above which it is refused.
        title: of the progress bar.

    Returns:
        Its outputs in the order of the data; of a text in several windows, their mean.

    Raises:
        ValueError: if the data is not what the model eats.
    """
    invalid: tuple[InvalidExample, ...] = ()
    if isinstance(data, Source):
        require_kind(data, model.input, "data")
        data, invalid = drop_invalid(data, max_invalid_fraction=max_invalid_fraction)
        if not len(data):
            spans: list | None = [] if model.task.per_token else None
            return Collected(np.zeros((0, model.task.units), "float32"), None, [], invalid, spans, data)
        if isinstance(model.input, TextSpec):
            return _of_texts(model, data, invalid, batch_size=batch_size, title=title)
    elif model.task.per_token:
        raise ValueError("tags and answers are of a source of texts; a tf.data.Dataset does not number them.")
    feed = batches(data, model.input, batch_size=batch_size, encode=model.task.encode)
    outputs, targets = _run(model, feed, title)
    found = np.concatenate(outputs) if outputs else np.zeros((0, model.task.units), "float32")
    example_ids = _names(data, len(found), feed.invalid)
    source = data if isinstance(data, Source) else None
    return Collected(
        found, np.concatenate(targets) if targets else None, example_ids, (*invalid, *feed.invalid), None, source
    )


def _of_texts(
    model: TransferModel, source: Source, invalid: tuple[InvalidExample, ...], *, batch_size: int, title: str
) -> Collected:
    """Run a model over texts in the order of their lengths, which pads least, and put its outputs back into theirs."""
    task = model.task
    made = examples(task, source, model.input, labelled=not task.per_token)
    lengths = made.items.lengths
    order = np.argsort(lengths, kind="stable")
    feed = batches(made.subset(order), model.input, batch_size=batch_size, encode=task.encode)
    outputs, targets = _run(model, feed, title)
    rows = [row for batch in outputs for row in batch]
    back = np.argsort(order, kind="stable")
    names = [source.name_of(row) for row in range(len(source))]
    if task.per_token:
        flat = np.concatenate([rows[at][:length] for at, length in zip(back, lengths, strict=True)])
        spans = cast(TokenTask, task).find(flat, made, source)
        return Collected(np.zeros((0, task.units), "float32"), None, names, invalid, spans, source)
    owners = made.items.owners
    found = np.zeros((len(source), task.units))
    np.add.at(found, owners, np.stack(rows)[back])
    found /= np.bincount(owners, minlength=len(source))[:, None]
    first = np.searchsorted(owners, np.arange(len(source)))
    wanted = np.concatenate(targets)[back][first] if targets else None
    return Collected(found.astype("float32"), wanted, names, invalid, None, source)


def _run(model: TransferModel, feed: Batches, title: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the outputs, and the targets, of each batch."""
    outputs, targets = [], []
    spec = feed.dataset.element_spec
    # `predict_on_batch` would trace the model anew for every width of texts, and warn of it.
    compute = tf.function(
        lambda inputs: model.keras(inputs, training=False),
        input_signature=[spec[0] if isinstance(spec, tuple) else spec],
        autograph=False,
    ).get_concrete_function()  # called as it is: TensorFlow warns of functions that are traced again and again
    with progress.bar(title, feed.steps) as advance:
        try:
            for inputs, target in _pairs(feed.dataset):
                outputs.append(np.asarray(compute(inputs), "float32"))
                targets += [] if target is None else [np.asarray(target)]
                advance()
        except tf.errors.OpError:
            if not feed.why_empty():  # then there is nothing to predict, and `invalid` says why
                raise
    return outputs, targets


def _pairs(dataset: tf.data.Dataset) -> Iterator[tuple[Any, Any]]:
    for element in dataset:
        yield (element[0], element[1]) if isinstance(element, tuple) else (element, None)


def _names(data: Source | tf.data.Dataset, count: int, invalid: list[InvalidExample]) -> list[str]:
    if not isinstance(data, Source):
        return [f"example {index}" for index in range(count)]
    left_out = {example.example_id for example in invalid}
    return [name for name in (data.name_of(index) for index in range(len(data))) if name not in left_out]
