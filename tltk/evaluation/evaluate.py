"""`tltk.evaluate`: metrics of a model on labelled examples."""

import inspect
import logging
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.evaluation.drawings import with_drawings
from tltk.evaluation.report import Report
from tltk.foundation import checks as check
from tltk.foundation import familiar
from tltk.foundation.errors import InvalidInput
from tltk.inference.decoded_batches import DecodedBatch, decoded_batches
from tltk.inference.forward import Network
from tltk.inference.predict import with_overlap
from tltk.modalities.modality import modality_of
from tltk.models.transfer_model import TransferModel
from tltk.specs import InvalidExample
from tltk.tasks.output_metrics import OutputMetrics
from tltk.tasks.records import Evaluator
from tltk.tasks.registry import require_task
from tltk.tasks.sources import require_labels, with_labels_of
from tltk.tasks.worst import KEPT
from tltk.training import split_file
from tltk.training.run import Run, model_of

log = logging.getLogger("tltk")


@familiar.arguments
def evaluate(
    model: TransferModel | Run | str | Path,
    data: Source | tf.data.Dataset,
    *,
    overlap: float | None = None,
    batch_size: int = 32,
    max_invalid_fraction: float = 0.1,
    worst: int = 12,
) -> Report:
    """Compute metrics of a model on labelled examples.

    Args:
        model: A run, the folder of a run, or a model from `assemble` or `adopt`.
        data: A labelled source, or a `tf.data.Dataset` of (inputs, targets) or (inputs, targets, weights). All metrics
            are weighted if it has sample weights.
        overlap: Read overlong texts or sounds in windows that share this many tokens or seconds, whose predictions are
            averaged. None reads them as the model was trained.
        batch_size: Examples per batch.
        max_invalid_fraction: Largest accepted fraction of unreadable examples, in [0, 1].
        worst: Number of images with the worst predictions that are drawn for the report of a detector, a segmenter or
            another task that names them, at most 100. They are predicted once more; 0 draws none. Sounds are drawn for
            every task, mistakes first: waveform, spectrogram, and what the prediction depends on.

    Returns:
        The report. Classification: accuracy, top-k accuracy, precision, recall and F1 as in scikit-learn, confusion
        matrix, expected calibration error (Guo et al. 2017, 15 bins). Regression: MAE, RMSE, R². Token classification:
        precision, recall and F1 of entities, which count if boundaries and type are exact. Question answering: exact
        match and F1 as in the SQuAD evaluation script. The `loss` and `metrics` that the constructor of the task was
        given are added under their names; they replace metrics of the same name.
        Notes name classes without examples, for which averages over classes are not defined, and examples that a saved
        run was trained on.

    Raises:
        NotFound: If `model` is a path and not the folder of a run.
        InvalidType: If `model` is something else, such as a plain Keras model.
        InvalidInput: If the data has no labels or labels that differ from the model's, too many examples are
            unreadable, or the task is not registered.
    """
    if not check.is_whole(worst) or not 0 <= worst <= KEPT:
        raise InvalidInput(f"`worst` must be a whole number in [0, {KEPT}]. Received: {worst!r}")
    options: dict[str, Any] = {"batch_size": batch_size, "max_invalid_fraction": max_invalid_fraction}
    loaded = with_overlap(model_of(model), overlap)
    report = evaluate_network(loaded, data, **options)
    if isinstance(data, Source) and worst:
        report = with_drawings(report, loaded, data, count=worst, batch_size=batch_size)
    folder = model.folder if isinstance(model, Run) else model
    if not isinstance(folder, str | Path) or not isinstance(data, Source):
        return report
    note = split_file.note(Path(folder), data)
    if not note:
        return report
    log.warning("%s.", note)
    return replace(report, notes=(*report.notes, note))


def evaluate_network(
    model: TransferModel,
    data: Source | tf.data.Dataset,
    *,
    batch_size: int = 32,
    max_invalid_fraction: float = 0.1,
    network: Network | None = None,
    on_batch: Callable[[DecodedBatch], None] | None = None,
) -> Report:
    """Compute metrics of a model, or of another network with the same inputs and outputs, such as an export.

    Args:
        model: Its input format and task are used to read the data and decode the outputs.
        data: See `evaluate`.
        batch_size: Examples per batch.
        max_invalid_fraction: See `evaluate`.
        network: Inputs → outputs, instead of the model's own network.
        on_batch: Receives the decoded outputs of each batch.

    Returns:
        The report.

    Raises:
        InvalidInput: See `evaluate`.
    """
    task = model.task
    require_task(task)
    if isinstance(data, Source):
        modality_of(model.input_spec).check(data, model.input_spec, "data")
    data = with_labels_of(task, data)
    require_labels(task, data, "data")
    evaluator, count, weights = task.evaluator(), 0, []
    output_metrics = OutputMetrics(task) if task.objective else None
    invalid: list[InvalidExample] = []
    for batch in decoded_batches(
        model,
        data,
        batch_size=batch_size,
        max_invalid_fraction=max_invalid_fraction,
        invalid=invalid,
        title="evaluating",
        with_targets=True,
        network=network,
        observe=output_metrics.update if output_metrics else None,
    ):
        if batch.targets is None:
            break
        weighted = {} if batch.sample_weight is None else {"sample_weight": _accepted(batch.sample_weight, evaluator)}
        weights += list(weighted.values())
        if len(batch.ids):
            evaluator.update(task.references(batch.targets, batch.examples), batch.decoded, batch.ids, **weighted)
            if on_batch is not None:
                on_batch(batch)
        count += len(batch.ids)
    if not count:
        raise InvalidInput(_no_example(is_weighted=bool(weights)))
    parts = evaluator.result()
    results = {field.name: getattr(parts, field.name) for field in fields(parts)}
    results["metrics"] |= output_metrics.result() if output_metrics else {}
    inputs = f"{modality_of(model.input_spec).name}s"
    total_weight = float(np.concatenate(weights).sum(dtype=np.float64)) if weights else None
    return Report(task.name, count, invalid=tuple(invalid), total_weight=total_weight, inputs=inputs, **results)


def _no_example(*, is_weighted: bool) -> str:
    if is_weighted:
        return "all sample weights of `data` are 0: no example would count."
    return (
        "`data` has no labelled example that can be read. Pass a labelled source, or a tf.data.Dataset of "
        "(inputs, targets)."
    )


def _accepted(sample_weight: np.ndarray, evaluator: Evaluator) -> np.ndarray:
    """Return the weights; raise if the evaluator of a user's own task does not take any."""
    parameters = inspect.signature(evaluator.update).parameters
    if "sample_weight" in parameters or any(item.kind is item.VAR_KEYWORD for item in parameters.values()):
        return sample_weight
    name = type(evaluator).__name__
    raise InvalidInput(
        f"`data` has sample weights, which {name}.update does not take: give it an argument `sample_weight`, or "
        "evaluate without weights, such as source.with_sample_weight(None)."
    )
