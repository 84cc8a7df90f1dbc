"""One model in every format: size, what it is worth on a test set, how long a call takes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tltk.data.formats.folder import Source
from tltk.evaluation.evaluate import evaluate
from tltk.foundation import checks as check
from tltk.models.assemble import TransferModel
from tltk.serving.export import export
from tltk.serving.formats import FORMATS, sample_tensor
from tltk.serving.replay import runtimes
from tltk.serving.signatures import TENSOR
from tltk.tasks.base import Task
from tltk.tasks.classification import MultilabelClassification
from tltk.tasks.question_answering import QuestionAnswering
from tltk.tasks.regression import Regression
from tltk.tasks.token_classification import TokenClassification

KERAS = "model.predict"
_REPEATS = 30


@dataclass(frozen=True)
class Compared:
    """One row of the table.

    Args:
        format: of `tltk.export`, or "model.predict" for Keras as it comes.
        path: of the version; None for Keras.
        bytes: on disk; of Keras, of its weights.
        metric: name of what `score` is.
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
    metric = _metric(model.task)
    size = sum(weight.numpy().nbytes for weight in model.keras.weights)
    score = evaluate(model, data, batch_size=batch_size).metrics[metric]
    tensor = np.concatenate([sample_tensor(model)] * 8)
    predict = _timed(lambda held: model.keras.predict(held, batch_size=len(held), verbose=0), tensor)
    rows = [Compared(KERAS, None, size, metric, score, 0.0, predict)]
    for name in formats:
        ranges = calibration if name == "litert_int8" else None
        done = export(model, Path(folder) / name, format=name, calibration=ranges)
        run = _run_of(done.path)
        served = replace(model, keras=_network(run))  # what is measured is what was written
        score = evaluate(served, data, batch_size=batch_size).metrics[metric]
        worst = max(done.largest.values())
        rows.append(Compared(name, done.path, done.bytes, metric, score, worst, _timed(run, tensor)))
    return tuple(rows)


def _metric(task: Task) -> str:
    names = {
        Regression: "mae",
        MultilabelClassification: "macro_f1",
        TokenClassification: "f1",
        QuestionAnswering: "exact_match",
    }
    return next((name for kind, name in names.items() if isinstance(task, kind)), "accuracy")


def _run_of(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Load an export in this process: tensor → outputs."""
    file = next((path / name for name in runtimes.FILES if (path / name).is_file()), None)
    if file is not None:
        return runtimes.load(str(file))
    loaded = tf.saved_model.load(str(path))
    signature = loaded.signatures[TENSOR]
    (name,) = signature.structured_input_signature[1]
    (output,) = {"probabilities", "values", "logits"} & set(signature.structured_outputs)

    def run(tensor: np.ndarray, kept: Any = loaded) -> np.ndarray:  # a signature lives as long as what was loaded
        return np.asarray(signature(**{name: tf.constant(tensor)})[output])

    return run


def _network(run: Callable[[np.ndarray], np.ndarray]) -> Any:
    """Wrap a runtime as what `evaluate` calls in a graph."""

    def network(inputs: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        return tf.numpy_function(lambda held: np.asarray(run(held), np.float32), [inputs], tf.float32)

    return network


def _timed(run: Callable[[np.ndarray], Any], tensor: np.ndarray) -> dict[str, float]:
    found = {}
    for size in (1, 32):
        held, seconds = tensor[:size], []
        for _ in range(_REPEATS + 3):
            begun = time.perf_counter()
            run(held)
            seconds.append(time.perf_counter() - begun)
        found[str(size)] = 1000 * float(np.median(seconds[3:]))  # the first three trace and warm up
    return found
