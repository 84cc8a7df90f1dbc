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
from tltk.foundation.errors import ServingError
from tltk.models.transfer_model import TransferModel
from tltk.serving import FORMATS, KERAS
from tltk.serving.export import export
from tltk.serving.formats import outputs_as_in, sample_tensor
from tltk.serving.replay import runtimes
from tltk.serving.signatures import TENSOR

_WARMUP_CALLS, _TIMED_CALLS = 3, 30  # the first calls trace graphs and allocate memory


@dataclass(frozen=True)
class FormatComparison:
    """Measurements of one format.

    Args:
        format: Format of `tltk.export`, or "model.predict" for the Keras model itself.
        path: Folder of the exported version; None for Keras and for a refused export.
        size_bytes: Size on disk; for Keras, the size of its weights; None for a refused export.
        metric: Name of the metric in `score`, see `Task.score_name`.
        score: Value of the metric on the test set; None for a refused export.
        largest_difference: Largest difference of an output from the trained model, see `Verification.differences`; 0
            for Keras, None for a refused export.
        latency_ms: Batch size ("1", "32") → median milliseconds of 30 calls with tensors, in the process that measured.
        changed: Share of the `calibration` examples whose answer changed; 0 for Keras and for a SavedModel, whose
            export compares all answers; None for a refused export.
        refused: Why the export was refused; "" if it was not.
    """

    format: str
    path: Path | None
    size_bytes: int | None
    metric: str
    score: float | None
    largest_difference: float | None
    latency_ms: dict[str, float]
    changed: float | None = 0.0
    refused: str = ""


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

    All of it takes place in this process, whose memory grows with every format. `tltk export --format all` calls
    `measure` in a process per format.

    Args:
        model: Result of `assemble` or `adopt`, or the model of a run.
        folder: Parent folder; each format gets a sub-folder with its versions.
        data: Labelled test set.
        calibration: Examples such as the training set, see `tltk.export`.
        formats: Formats of `tltk.export`.
        batch_size: Examples per step of the evaluation.

    Returns:
        The Keras model first, then the formats in the given order; a refused export has a row with the reason.

    Raises:
        MissingExtra: If the packages of a format are not installed.
        InvalidInput: If a format is unknown, or the data does not have the labels of the model.
    """
    for name in formats:
        check.one_of("formats", name, FORMATS)
    return tuple(
        measure(model, folder, data, calibration=calibration, file_format=name, batch_size=batch_size)
        for name in (KERAS, *formats)
    )


def measure(
    model: TransferModel,
    folder: str | Path,
    data: Source,
    *,
    calibration: Source,
    file_format: str,
    batch_size: int = 32,
) -> FormatComparison:
    """Export a model in one format and measure the written file, see `compare`.

    Args:
        model: See `compare`.
        folder: Parent folder; the format gets a sub-folder.
        data: Labelled test set.
        calibration: Examples such as the training set, see `tltk.export`.
        file_format: Format of `tltk.export`, or "model.predict" for the Keras model itself.
        batch_size: Examples per step of the evaluation.

    Returns:
        The measurements, or the reason why the export was refused.

    Raises:
        MissingExtra: See `compare`.
        InvalidInput: See `compare`.
    """
    metric = model.task.score_name
    tensor = np.concatenate([sample_tensor(model)] * 8)
    if file_format == KERAS:
        size = sum(weight.numpy().nbytes for weight in model.keras.weights)
        score = evaluate_network(model, data, batch_size=batch_size).metrics[metric]
        latency = _latency(lambda batch: model.keras.predict(batch, batch_size=len(batch), verbose=0), tensor)
        return FormatComparison(KERAS, None, size, metric, score, 0.0, latency)
    examples = None if file_format == "saved_model" else calibration
    try:
        exported = export(model, Path(folder) / file_format, format=file_format, calibration=examples)
    except ServingError as error:
        return FormatComparison(file_format, None, None, metric, None, None, {}, None, str(error))
    # Evaluate the written file, not the model in memory.
    network = _load_network(exported.path, model)
    score = evaluate_network(model, data, batch_size=batch_size, network=network).metrics[metric]
    difference = max(exported.largest_differences.values())
    changed = 0.0 if exported.answers is None else exported.answers.changed
    return FormatComparison(
        file_format, exported.path, exported.size_bytes, metric, score, difference, _latency(network, tensor), changed
    )


def _load_network(path: Path, model: TransferModel) -> Callable[[Any], Any]:
    """Load an export in this process as a function: network input → outputs in the structure of the Keras model."""
    file = next((path / name for name in runtimes.FILES if (path / name).is_file()), None)
    if file is not None:
        network = runtimes.load(str(file))
        return lambda tensor: outputs_as_in(model.keras, network(np.asarray(tensor)))
    saved_model = tf.saved_model.load(str(path))
    signature = saved_model.signatures[TENSOR]
    (input_name,) = signature.structured_input_signature[1]
    names = tuple(model.task.named_outputs(model.keras.output))

    def run(tensor: Any, _keep_alive: Any = saved_model) -> Any:  # the signature holds no reference to its variables
        outputs = signature(**{input_name: tf.constant(tensor)})
        return outputs_as_in(model.keras, {name: outputs[name] for name in names})

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
