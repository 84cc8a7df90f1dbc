"""Compares the export formats of one model: file size, score on a test set, latency."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.evaluation.evaluate import evaluate_network
from tltk.foundation import checks as check
from tltk.models.transfer_model import TransferModel
from tltk.serving.export import export
from tltk.serving.formats import FORMATS, sample_tensor
from tltk.serving.replay import runtimes
from tltk.serving.signatures import TENSOR
from tltk.tasks.base import Task

KERAS = "model.predict"
_WARMUP_CALLS, _TIMED_CALLS = 3, 30  # the first calls trace graphs and allocate memory


@dataclass(frozen=True)
class FormatComparison:
    """Measurements of one format.

    Args:
        format: Format of `tltk.export`, or "model.predict" for the Keras model itself.
        path: Folder of the exported version; None for Keras.
        size_bytes: Size on disk; for Keras, the size of its weights.
        metric: Name of the metric in `score`, see `Task.score_name`.
        score: Value of the metric on the test set.
        largest_difference: Largest difference of an output from the trained model, see `Verification.differences`; 0
            for Keras.
        latency_ms: Batch size ("1", "32") → median milliseconds of 30 calls with tensors, in this process.
    """

    format: str
    path: Path | None
    size_bytes: int
    metric: str
    score: float
    largest_difference: float
    latency_ms: dict[str, float]


def compare(
    model: TransferModel,
    folder: str | Path,
    data: Source,
    *,
    calibration: Source,
    formats: Sequence[str] = FORMATS,
    batch_size: int = 32,
) -> tuple[FormatComparison, ...]:
    """Export a model in several formats and measure each of them, and the Keras model for reference.

    Args:
        model: Result of `assemble` or `adopt`, or the model of a run.
        folder: Parent folder; each format gets a sub-folder with its versions.
        data: Labelled test set.
        calibration: Examples for "litert_int8", such as the training set.
        formats: Formats of `tltk.export`.
        batch_size: Examples per step of the evaluation.

    Returns:
        The Keras model first, then the formats in the given order.

    Raises:
        MissingExtra: If the packages of a format are not installed.
        ServingError: If an export does not reproduce the outputs of the model.
        InvalidInput: If a format is unknown, or the data does not have the labels of the model.
    """
    for name in formats:
        check.one_of("formats", name, FORMATS)
    metric = model.task.score_name
    size = sum(weight.numpy().nbytes for weight in model.keras.weights)
    score = evaluate_network(model, data, batch_size=batch_size).metrics[metric]
    tensor = np.concatenate([sample_tensor(model)] * 8)
    latency = _latency(lambda batch: model.keras.predict(batch, batch_size=len(batch), verbose=0), tensor)
    rows = [FormatComparison(KERAS, None, size, metric, score, 0.0, latency)]
    for name in formats:
        exported = export(
            model, Path(folder) / name, format=name, calibration=calibration if name == "litert_int8" else None
        )
        # Evaluate the written file, not the model in memory.
        network = _load_network(exported.path, model.task)
        score = evaluate_network(model, data, batch_size=batch_size, network=network).metrics[metric]
        difference = max(exported.largest_differences.values())
        latency = _latency(network, tensor)
        rows.append(FormatComparison(name, exported.path, exported.size_bytes, metric, score, difference, latency))
    return tuple(rows)


def _load_network(path: Path, task: Task) -> Callable[[Any], Any]:
    """Load an export in this process as a function: network input → outputs in the structure of the Keras model."""
    file = next((path / name for name in runtimes.FILES if (path / name).is_file()), None)
    if file is not None:
        network = runtimes.load(str(file))
        return lambda tensor: network(np.asarray(tensor))
    saved_model = tf.saved_model.load(str(path))
    signature = saved_model.signatures[TENSOR]
    (input_name,) = signature.structured_input_signature[1]
    output_names = tuple(task.describe_outputs())

    def run(tensor: Any, _keep_alive: Any = saved_model) -> Any:  # the signature holds no reference to its variables
        outputs = signature(**{input_name: tf.constant(tensor)})
        return {name: outputs[name] for name in output_names} if len(output_names) > 1 else outputs[output_names[0]]

    return run


def _latency(run: Callable[[np.ndarray], Any], tensor: np.ndarray) -> dict[str, float]:
    """Return the median milliseconds of a call for each batch size."""
    milliseconds = {}
    for batch_size in (1, 32):
        batch, seconds = tensor[:batch_size], []
        for _ in range(_WARMUP_CALLS + _TIMED_CALLS):
            start = time.perf_counter()
            run(batch)
            seconds.append(time.perf_counter() - start)
        milliseconds[str(batch_size)] = 1000 * float(np.median(seconds[_WARMUP_CALLS:]))
    return milliseconds
