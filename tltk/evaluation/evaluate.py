"""Evaluate: how good a model is on examples it has not seen, as one record."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from sklearn import metrics as sk

from tltk.data.formats.folder import Source
from tltk.evaluation.html import write_page
from tltk.foundation import checks as check
from tltk.foundation import files
from tltk.inference.predict import collect
from tltk.modalities.text.encoding import joined
from tltk.models.assemble import TransferModel
from tltk.specs import InvalidExample, Span
from tltk.tasks.base import Task, require_kind, require_labels
from tltk.tasks.classification import MultilabelClassification
from tltk.tasks.question_answering import QuestionAnswering
from tltk.tasks.regression import Regression
from tltk.tasks.scores import answer_scores, entity_scores

CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Report:
    """How good a model is.

    Args:
        task: name of the task, such as "classification".
        examples: how many were judged.
        metrics: name → number, each described in docs/evaluate.md.
        classes: one row a class or column: name, and its own numbers.
        confusion: for single labels, counts [true class, predicted class].
        calibration: for single labels, rows of (mean confidence, accuracy, examples) a bin.
        mistakes: for single labels, the most confident wrong answers: where, true, predicted, probability.
        invalid: examples that could not be read.
    """

    task: str
    examples: int
    metrics: dict[str, float]
    classes: tuple[dict[str, Any], ...]
    confusion: np.ndarray | None = None
    calibration: tuple[tuple[float, float, int], ...] = ()
    mistakes: tuple[dict[str, Any], ...] = ()
    invalid: tuple[InvalidExample, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return files.plain({name: _plain_record(getattr(self, name)) for name in self.__dataclass_fields__})

    def save(self, path: str | Path) -> Path:
        """Write the report: a page for people (.html) or plain values for machines (.json).

        Args:
            path: ends in .html or .json; its folder is made if needed.

        Returns:
            The path.

        Raises:
            ValueError: for another ending.
            OSError: if it cannot be written.
        """
        path = Path(path)
        check.one_of("path's ending", path.suffix, (".html", ".json"))
        files.make_folder(path.parent)
        if path.suffix == ".json":
            files.write_json(path, self.to_dict())
        else:
            write_page(self.to_dict(), path)
        return path


def evaluate(
    model: TransferModel, data: Source | tf.data.Dataset, *, batch_size: int = 32, max_invalid_fraction: float = 0.1
) -> Report:
    """Measure a model on labelled examples.

    Args:
        model: from `assemble`, `adopt` or a run.
        data: a labelled source, or a `tf.data.Dataset` of (pixels, targets).
        batch_size: examples a step.
        max_invalid_fraction: share of unreadable examples above which it is refused.

    Returns:
        The report. Classes: accuracy, top-k, precision, recall and F1 (scikit-learn's), confusion, expected calibration
        error (Guo et al. 2017, 15 bins). Numbers: MAE, RMSE, R². Entities: precision, recall and F1 of those found with
        the very borders and type. Answers: exact match and F1 as SQuAD's own script counts them.

    Raises:
        ValueError: if the data has no labels, or other ones than the model.
    """
    check.kind_of(
        "model", model, TransferModel, hint="Pass what tltk.assemble, tltk.adopt or tltk.load_run(...).model returned."
    )
    if isinstance(data, Source):
        require_kind(data, model.input, "data")
        require_labels(model.task, data, "data")
    seen = collect(model, data, batch_size=batch_size, max_invalid_fraction=max_invalid_fraction, title="evaluating")
    task = model.task
    if seen.spans and seen.source is not None:
        return Report(task.name, len(seen.spans), invalid=seen.invalid, **_spans(task, seen.spans, seen.source))
    if seen.targets is None or not len(seen.outputs):
        raise ValueError("`data` gave no labelled example; evaluate needs (pixels, targets).")
    if isinstance(task, Regression):
        found = _numbers(task, seen.outputs, seen.targets)
    elif isinstance(task, MultilabelClassification):
        found = _several(task, seen.outputs, seen.targets)
    else:
        found = _single(task, seen.outputs, seen.targets, seen.example_ids)
    return Report(task.name, len(seen.outputs), invalid=seen.invalid, **found)


def _spans(task: Task, spans: list[tuple[Span, ...]], source: Source) -> dict[str, Any]:
    true = [] if source.targets is None else list(source.targets)
    if isinstance(task, QuestionAnswering):
        texts = [joined(pair[1]) for pair in source.items]
        return {"metrics": answer_scores(true, spans, texts), "classes": ()}
    metrics, rows = entity_scores(true, spans, task.labels.names)
    return {"metrics": metrics, "classes": rows}


def _single(task: Task, outputs: np.ndarray, targets: np.ndarray, example_ids: list[str]) -> dict[str, Any]:
    names = task.labels.names
    every = np.arange(len(names))
    true, guess = targets.argmax(-1), outputs.argmax(-1)
    precision, recall, f1, support = sk.precision_recall_fscore_support(true, guess, labels=every, zero_division=0)
    bins = calibration_bins(outputs.max(-1), true == guess)
    found = {
        "accuracy": sk.accuracy_score(true, guess),
        "balanced_accuracy": recall[support > 0].mean(),
        "macro_f1": f1[support > 0].mean(),
        "log_loss": float(-np.log(np.clip(outputs[np.arange(len(true)), true], np.finfo("float32").eps, 1)).mean()),
        "calibration_error": calibration_error(bins),
    }
    for k in (3, 5):
        if len(names) > k:
            found[f"top{k}_accuracy"] = float((np.argsort(-outputs, -1)[:, :k] == true[:, None]).any(-1).mean())
    rows = tuple(_class_row(*row) for row in zip(names, precision, recall, f1, support, strict=True))
    matrix = sk.confusion_matrix(true, guess, labels=every)
    mistakes = _mistakes(names, outputs, true, example_ids)
    return {"metrics": _floats(found), "classes": rows, "confusion": matrix, "calibration": bins, "mistakes": mistakes}


def _several(task: MultilabelClassification, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
    true, guess = targets > 0.5, outputs > task.threshold
    precision, recall, f1, support = sk.precision_recall_fscore_support(true, guess, average=None, zero_division=0)
    judged = (support > 0) & (support < len(true))
    averages = [sk.average_precision_score(true[:, index], outputs[:, index]) for index in np.flatnonzero(support)]
    found = {
        "exact_match": sk.accuracy_score(true, guess),
        "binary_accuracy": (true == guess).mean(),
        "macro_f1": f1[support > 0].mean() if support.any() else 0.0,
        "micro_f1": sk.f1_score(true, guess, average="micro", zero_division=0),
        "mean_average_precision": np.mean(averages) if averages else 0.0,
    }
    if judged.any():
        found["macro_auc"] = sk.roc_auc_score(true[:, judged], outputs[:, judged], average="macro")
    rows = zip(task.labels.names, precision, recall, f1, support, strict=True)
    return {"metrics": _floats(found), "classes": tuple(_class_row(*row) for row in rows)}


def _numbers(task: Regression, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
    rows = []
    for index, name in enumerate(task.labels.names):
        true, guess = targets[:, index].astype("float64"), outputs[:, index].astype("float64")
        found = {"mae": sk.mean_absolute_error(true, guess), "rmse": sk.root_mean_squared_error(true, guess)}
        # One example, or equal ones, have no variance to explain: R² is not defined there.
        found["r2"] = sk.r2_score(true, guess) if len(true) > 1 and true.std() > 0 else float("nan")
        rows.append({"name": name, **_floats(found)})
    means = {key: float(np.mean([row[key] for row in rows])) for key in ("mae", "rmse", "r2")}
    return {"metrics": {key: value for key, value in means.items() if value == value}, "classes": tuple(rows)}


def calibration_bins(confidence: np.ndarray, correct: np.ndarray) -> tuple[tuple[float, float, int], ...]:
    """Sort predictions into 15 equal bins of confidence.

    Args:
        confidence: float [n], the highest probability of each example.
        correct: bool [n].

    Returns:
        (mean confidence, accuracy, examples) of each bin that is not empty.
    """
    index = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    chosen = [index == number for number in range(CALIBRATION_BINS)]
    return tuple(
        (float(confidence[mask].mean()), float(correct[mask].mean()), int(mask.sum())) for mask in chosen if mask.any()
    )


def calibration_error(bins: tuple[tuple[float, float, int], ...]) -> float:
    """Return the mean of |accuracy − confidence| over examples (Guo et al. 2017, equation 3)."""
    total = sum(count for _, _, count in bins)
    return sum(abs(accuracy - confidence) * count for confidence, accuracy, count in bins) / max(total, 1)


def _mistakes(
    names: tuple[str, ...], outputs: np.ndarray, true: np.ndarray, example_ids: list[str]
) -> tuple[dict, ...]:
    guess, confidence = outputs.argmax(-1), outputs.max(-1)
    wrong = sorted(np.flatnonzero(guess != true), key=lambda index: -confidence[index])[:12]
    return tuple(
        {
            "example_id": example_ids[i],
            "true": names[true[i]],
            "predicted": names[guess[i]],
            "probability": float(confidence[i]),
        }
        for i in wrong
    )


def _class_row(name: str, precision: float, recall: float, f1: float, support: int) -> dict[str, Any]:
    return {"name": name, **_floats({"precision": precision, "recall": recall, "f1": f1}), "examples": int(support)}


def _floats(found: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in found.items()}


def _plain_record(value: Any) -> Any:
    if isinstance(value, tuple) and value and isinstance(value[0], InvalidExample):
        return [{"example_id": example.example_id, "reason": example.reason} for example in value]
    return value
