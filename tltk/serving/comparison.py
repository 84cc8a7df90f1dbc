"""One model in every format: size, what it is worth on a test set, how long a call takes."""

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
_REPEATS = 30


@dataclass(frozen=True)
class Compared:
    """One row of the table.

    Args:
        format: of `tltk.export`, or "model.predict" for Keras as it comes.
        path: of the version; None for Keras.
        bytes: on disk; of Keras, of its weights.
        metric: name of what `score` is, see `Task.score_name`.
        score: on the test set.
        difference: largest difference of an answer from the trained model's; 0 for Keras.
        milliseconds: batch size ("1", "32") → median of 30 calls on tensors, in this process.
    """

    format: str
    path: Path | None
    bytes: int
    metric: str
    score: float
    difference: float
    milliseconds: dict[str, float]


def compare(
    model: TransferModel,
    folder: str | Path,
    data: Source,
    *,
    calibration: Source,
    formats: Sequence[str] = FORMATS,
    batch_size: int = 32,
) -> tuple[Compared, ...]:
    """Export a model in several formats and measure them beside Keras.

    Args:
        model: from `assemble`, `adopt` or a run.
        folder: gets a parent of versions for each format.
        data: labelled, not seen in training.
        calibration: for "litert_int8", such as the training set.
        formats: of `tltk.export`.
        batch_size: examples a step of the evaluation.

    Returns:
        Keras first, then the formats.

    Raises:
        MissingExtraError: if a format's packages are not installed.
        ServingError: if an export does not answer as the model.
        ValueError: for an unknown format, or data without the model's labels.
    """
    for name in formats:
        check.one_of("formats", name, FORMATS)
    metric = model.task.score_name
    size = sum(weight.numpy().nbytes for weight in model.keras.weights)
    score = evaluate_network(model, data, batch_size=batch_size).metrics[metric]
    tensor = np.concatenate([sample_tensor(model)] * 8)
    predict = _timed(lambda rows: model.keras.predict(rows, batch_size=len(rows), verbose=0), tensor)
    table = [Compared(KERAS, None, size, metric, score, 0.0, predict)]
    for name in formats:
        ranges = calibration if name == "litert_int8" else None
        exported = export(model, Path(folder) / name, format=name, calibration=ranges)
        run = _run_of(exported.path, model.task)
        # What is measured is what was written.
        score = evaluate_network(model, data, batch_size=batch_size, network=run).metrics[metric]
        worst = max(exported.largest.values())
        table.append(Compared(name, exported.path, exported.bytes, metric, score, worst, _timed(run, tensor)))
    return tuple(table)


def _run_of(path: Path, task: Task) -> Callable[[Any], Any]:
    """Load an export in this process: input of the network → its outputs, as the Keras model returns them."""
    file = next((path / name for name in runtimes.FILES if (path / name).is_file()), None)
    if file is not None:
        runtime = runtimes.load(str(file))
        return lambda tensor: runtime(np.asarray(tensor))
    loaded = tf.saved_model.load(str(path))
    signature = loaded.signatures[TENSOR]
    (name,) = signature.structured_input_signature[1]
    outputs = tuple(task.describe_outputs())

    def run(tensor: Any, kept: Any = loaded) -> Any:  # a signature lives as long as what was loaded
        columns = signature(**{name: tf.constant(tensor)})
        return {name: columns[name] for name in outputs} if len(outputs) > 1 else columns[outputs[0]]

    return run


def _timed(run: Callable[[np.ndarray], Any], tensor: np.ndarray) -> dict[str, float]:
    milliseconds = {}
    for size in (1, 32):
        rows, seconds = tensor[:size], []
        for _ in range(_REPEATS + 3):
            begun = time.perf_counter()
            run(rows)
            seconds.append(time.perf_counter() - begun)
        milliseconds[str(size)] = 1000 * float(np.median(seconds[3:]))  # the first three trace and warm up
    return milliseconds
