"""Predict: a model's answers to examples, labelled or not."""

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.inference.answers import answers
from tltk.modalities.modality import modality_of
from tltk.models.transfer_model import TransferModel
from tltk.specs import InvalidExample
from tltk.tasks.base import Prediction
from tltk.tasks.registry import require_task

Inputs: TypeAlias = Source | tf.data.Dataset | np.ndarray | str | Path | list


def predict(
    model: TransferModel, inputs: Inputs, *, batch_size: int = 32, max_invalid_fraction: float = 1.0
) -> tuple[list[Prediction], tuple[InvalidExample, ...]]:
    """Predict the label, numbers, entities or answer of each example.

    Args:
        model: from `assemble`, `adopt` or a run.
        inputs: for a model of images a source (its labels are ignored), the path of an image, a folder, a list of
            paths, pixels [n, height, width, 3] in [0, 255], or a `tf.data.Dataset`. For a model of texts a text or a
            list of texts; for one of pairs a tuple of two texts or a list of them; for token classification also texts
            as lists of words.
        batch_size: examples a step.
        max_invalid_fraction: fraction of unreadable examples above which nothing is predicted.

    Returns:
        Predictions in the order of the inputs, and the examples that could not be read, which have no prediction.

    Raises:
        FileNotFoundError: if a path does not exist.
        TypeError: if `model` is not a TransferModel.
        ValueError: if more than `max_invalid_fraction` of the examples are unreadable, or the task is not registered.
    """
    check.kind_of(
        "model", model, TransferModel, hint="Pass what tltk.assemble, tltk.adopt or tltk.load_run(...).model returned."
    )
    require_task(model.task)
    invalid: list[InvalidExample] = []
    data = inputs if isinstance(inputs, tf.data.Dataset) else as_source(inputs, model.input)
    parts = answers(
        model,
        data,
        batch_size=batch_size,
        max_invalid_fraction=max_invalid_fraction,
        invalid=invalid,
        title="predicting",
    )
    predictions = [prediction for part in parts for prediction in model.task.predictions(part.decoded, part.ids)]
    return predictions, tuple(invalid)


def as_source(inputs: Any, spec: Any) -> Source:
    """Turn whatever names examples, or is them, into a source, unlabelled if it was not one.

    Args:
        inputs: see `predict`.
        spec: of the model; its modality says what may come.
    """
    return inputs if isinstance(inputs, Source) else modality_of(spec).source(inputs, spec)
