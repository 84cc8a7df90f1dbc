"""Evaluate: how good a model is on examples it has not seen."""

from dataclasses import fields

import tensorflow as tf

from tltk.data.source import Source
from tltk.evaluation.report import Report
from tltk.foundation import checks as check
from tltk.inference.answers import answers
from tltk.inference.forward import Network
from tltk.modalities.modality import modality_of
from tltk.models.transfer_model import TransferModel
from tltk.specs import InvalidExample
from tltk.tasks.registry import require_task
from tltk.tasks.sources import require_labels


def evaluate(
    model: TransferModel, data: Source | tf.data.Dataset, *, batch_size: int = 32, max_invalid_fraction: float = 0.1
) -> Report:
    """Measure a model on labelled examples.

    Args:
        model: from `assemble`, `adopt` or a run.
        data: a labelled source, or a `tf.data.Dataset` of (inputs, targets).
        batch_size: examples a step.
        max_invalid_fraction: fraction of unreadable examples above which the data is refused.

    Returns:
        The report. Classes: accuracy, top-k, precision, recall and F1 as scikit-learn computes them, confusion,
        expected calibration error (Guo et al. 2017, 15 bins). Numbers: MAE, RMSE, R². Entities: precision, recall and
        F1 of those with the exact borders and type. Answers: exact match and F1 as SQuAD's own script counts them.

    Raises:
        TypeError: if `model` is not a TransferModel.
        ValueError: if the data has no labels, or other ones than the model, or the task is not registered.
    """
    check.kind_of(
        "model", model, TransferModel, hint="Pass what tltk.assemble, tltk.adopt or tltk.load_run(...).model returned."
    )
    return measured(model, data, batch_size=batch_size, max_invalid_fraction=max_invalid_fraction)


def measured(
    model: TransferModel,
    data: Source | tf.data.Dataset,
    *,
    batch_size: int = 32,
    max_invalid_fraction: float = 0.1,
    network: Network | None = None,
) -> Report:
    """Measure a model, or a network that computes the same outputs, such as an exported one.

    Args:
        model: reads the data and decodes the outputs.
        data: see `evaluate`.
        batch_size: examples a step.
        max_invalid_fraction: see `evaluate`.
        network: inputs → outputs, in place of the model's own.

    Returns:
        The report.

    Raises:
        ValueError: see `evaluate`.
    """
    task = model.task
    require_task(task)
    if isinstance(data, Source):
        modality_of(model.input).check(data, model.input, "data")
        require_labels(task, data, "data")
    evaluator, count = task.evaluator(), 0
    invalid: list[InvalidExample] = []
    for part in answers(
        model,
        data,
        batch_size=batch_size,
        max_invalid_fraction=max_invalid_fraction,
        invalid=invalid,
        title="evaluating",
        network=network,
    ):
        if part.targets is None:
            break
        evaluator.update(task.references(part.targets, part.examples), part.decoded, part.ids)
        count += len(part.ids)
    if not count:
        raise ValueError("`data` has no labelled example that can be read; evaluate needs (inputs, targets).")
    parts = evaluator.result()
    found = {field.name: getattr(parts, field.name) for field in fields(parts)}
    return Report(task.name, count, invalid=tuple(invalid), **found)
