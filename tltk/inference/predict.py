"""`tltk.predict`: predictions of a model for examples, labelled or not."""

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.inference.decoded_batches import decoded_batches
from tltk.modalities.modality import modality_of
from tltk.models.transfer_model import TransferModel
from tltk.specs import InvalidExample
from tltk.tasks.base import Prediction
from tltk.tasks.registry import require_task

Inputs: TypeAlias = Source | tf.data.Dataset | np.ndarray | str | Path | list


def predict(
    model: TransferModel, inputs: Inputs, *, batch_size: int = 32, max_invalid_fraction: float = 1.0
) -> tuple[list[Prediction], tuple[InvalidExample, ...]]:
    """Predict the label, values, entities or answer of each example.

    Args:
        model: From `assemble`, `adopt` or a run.
        inputs: A source, whose labels are ignored, or a `tf.data.Dataset`. For images also the path of an image or
            folder, a list of paths, or pixels [n, height, width, 3] in [0, 255]. For texts also a text or a list of
            texts; for pairs a tuple of two texts or a list of tuples; for token classification also lists of words.
        batch_size: Examples per batch.
        max_invalid_fraction: Largest accepted fraction of unreadable examples, in [0, 1].

    Returns:
        Predictions in the order of the inputs, and the unreadable examples, which have no prediction.

    Raises:
        NotFound: If a path does not exist.
        InvalidType: If `model` is not a TransferModel.
        InvalidInput: If more than `max_invalid_fraction` of the examples are unreadable, or the task is not registered.
    """
    check.instance_of(
        "model", model, TransferModel, hint="Pass what tltk.assemble, tltk.adopt or tltk.load_run(...).model returned."
    )
    require_task(model.task)
    invalid: list[InvalidExample] = []
    data = inputs if isinstance(inputs, tf.data.Dataset) else as_source(inputs, model.input_spec)
    batches = decoded_batches(
        model,
        data,
        batch_size=batch_size,
        max_invalid_fraction=max_invalid_fraction,
        invalid=invalid,
        title="predicting",
    )
    predictions = [prediction for batch in batches for prediction in model.task.predictions(batch.decoded, batch.ids)]
    return predictions, tuple(invalid)


def as_source(inputs: Any, spec: Any) -> Source:
    """Turn inputs into a source; a source is returned unchanged.

    Args:
        inputs: See `predict`.
        spec: Input format of the model; its modality determines which inputs are accepted.

    Returns:
        A source without labels, or the source that was passed.
    """
    return inputs if isinstance(inputs, Source) else modality_of(spec).source(inputs, spec)
