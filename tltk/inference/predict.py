"""`tltk.predict`: predictions of a model for examples, labelled or not."""

from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.foundation import familiar
from tltk.foundation.errors import InvalidInput
from tltk.inference.decoded_batches import decoded_batches
from tltk.inference.predictions import DecodedRows, Predictions, predictions_of
from tltk.modalities.modality import modality_of, named_modality
from tltk.models.transfer_model import TransferModel
from tltk.specs import InvalidExample
from tltk.tasks.registry import require_task
from tltk.training.run import Run, model_of

Inputs: TypeAlias = Source | tf.data.Dataset | np.ndarray | str | Path | list


@familiar.arguments
def predict(
    model: TransferModel | Run | str | Path,
    inputs: Inputs,
    *,
    overlap: float | None = None,
    per_window: bool = False,
    batch_size: int = 32,
    max_invalid_fraction: float = 1.0,
) -> Predictions:
    """Predict the label, values, entities or answer of each example.

    Args:
        model: A run, the folder of a run, or a model from `assemble` or `adopt`.
        inputs: A source, whose labels are ignored, or a `tf.data.Dataset`. For images also the path of an image or
            folder, a list of paths, pixels [n, height, width, 3] in [0, 255], or a list of PIL images or pixels, also
            of different sizes. For texts also a text or a list of texts; for pairs a tuple of two texts or a list of
            tuples; for token classification also lists of words. For sounds also the path of a recording or folder, a
            list of paths, or samples [n, samples] at the rate of the model.
        overlap: Read overlong texts or sounds in windows that share this many tokens or seconds, and predict the mean
            over the windows. None reads them as the model was trained.
        per_window: Whether each window of a recording has a prediction of its own, instead of their mean; see `times`
            of the result. Windows do not overlap unless `overlap` or the model says so.
        batch_size: Examples per batch.
        max_invalid_fraction: Largest accepted fraction of unreadable examples, in [0, 1].

    Returns:
        One row per readable example, in the order of the inputs: `probabilities` [n, classes], `labels`, `values` …,
        and `ids`; as a sequence, one `Prediction` per row. Unreadable examples have no row and are in `invalid`.

    Raises:
        NotFound: If a path does not exist.
        InvalidType: If `model` is something else, such as a plain Keras model.
        InvalidInput: If the model's inputs have no windows, more than `max_invalid_fraction` of the examples are
            unreadable, or the task is not registered.

    Examples:
        >>> import tltk
        >>> backbone = tltk.backbone("mobilenet_v2", weights="random", image_size=32)
        >>> model = tltk.assemble(backbone, tltk.classification(["cat", "dog"]))
        >>> predictions = tltk.predict(model, np.zeros((3, 32, 32, 3), "uint8"))
        >>> predictions.probabilities.shape, predictions.names, predictions.ids[0]
        ((3, 2), ('cat', 'dog'), 'example 0')
    """
    model = with_overlap(model_of(model), overlap)
    require_task(model.task)
    invalid: list[InvalidExample] = []
    data = inputs if isinstance(inputs, tf.data.Dataset) else as_source(inputs, model.input_spec)
    times: dict[str, tuple[float, float]] = {}
    if per_window:
        model, data = in_windows(model, data)
        times = times_of(data)
    batches = decoded_batches(
        model,
        data,
        batch_size=batch_size,
        max_invalid_fraction=max_invalid_fraction,
        invalid=invalid,
        title="predicting",
    )
    decoded = [DecodedRows(tuple(batch.ids), batch.decoded) for batch in batches]
    return replace(predictions_of(model.task, decoded, invalid), times_of=times)


def with_overlap(model: TransferModel, overlap: float | None) -> TransferModel:
    """Return the model for reading overlong inputs in windows.

    Args:
        model: The model, which stays as it is.
        overlap: Tokens or seconds that windows share; None returns the model itself.

    Raises:
        InvalidInput: If the model's inputs have no windows, or `overlap` is out of range.
    """
    if overlap is None:
        return model
    return replace(model, input_spec=modality_of(model.input_spec).with_overlap(model.input_spec, overlap))


def in_windows(model: TransferModel, data: Source | tf.data.Dataset) -> tuple[TransferModel, Source]:
    """Return a model and a source for one prediction per window.

    Args:
        model: Its input format says how long windows are, and how much they overlap.
        data: Recordings.

    Returns:
        The model that takes one window as an example, and the windows as examples.

    Raises:
        InvalidInput: If the model's inputs have no such windows, or `data` is a dataset.
    """
    modality, spec = modality_of(model.input_spec), model.input_spec
    if isinstance(data, tf.data.Dataset):
        raise InvalidInput(
            "`per_window=True` needs recordings: pass a Source, paths or samples, not a tf.data.Dataset."
        )
    modality.check(data, spec, "inputs")
    return replace(model, input_spec=modality.without_windows(spec)), modality.windows(data, spec)


def times_of(source: Source) -> dict[str, tuple[float, float]]:
    """Return first and last second of each part of a recording, by id."""
    times = named_modality(source.modality).times(source)
    rows = () if times is None else times.tolist()
    return {source.id_of(row): (start, stop) for row, (start, stop) in enumerate(rows)}


def as_source(inputs: Any, spec: Any) -> Source:
    """Turn inputs into a source; a source is returned unchanged.

    Args:
        inputs: See `predict`.
        spec: Input format of the model; its modality determines which inputs are accepted.

    Returns:
        A source without labels, or the source that was passed.
    """
    return inputs if isinstance(inputs, Source) else modality_of(spec).source(inputs, spec)
