"""The records that tasks exchange with the rest of tltk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from tltk.foundation import display
from tltk.specs import Span


class Monitor(NamedTuple):
    """The metric that decides which epoch is best.

    Attributes:
        metric: Name of one of the task's metrics, or "loss".
        mode: "max" if larger is better, "min" if smaller is.
    """

    metric: str
    mode: str


@dataclass(frozen=True)
class Prediction:
    """The prediction of a model for one example.

    Args:
        example_id: Path or row of the example.
        label: The most likely class; for several labels, those above the threshold joined by ", "; for regression, the
            values; for texts, the entities or the answer.
        probability: Probability of `label`; None if the task has no single probability.
        scores: Label or column name → probability or value, most likely class first; for answers, text → probability.
        spans: The entities in the order of the text, or the answer, each with its probability.
    """

    example_id: str
    label: str
    probability: float | None
    scores: dict[str, float]
    spans: tuple[Span, ...] = ()

    __repr__ = display.short_repr


@dataclass(frozen=True)
class ReportParts:
    """The result of an evaluator; `tltk.evaluate` builds a `Report` from it.

    Args:
        metrics: Metric name → value.
        classes: One row per class or column: "name" and its metrics.
        classes_title: Heading of the table of `classes`.
        confusion: [true class, predicted class], or None: int64 counts, with sample weights sums of weights in float64.
        calibration: (mean confidence, accuracy, number of examples or sum of weights) of each bin that is not empty.
        mistakes: The most confident wrong predictions, one row each.
        notes: What a reader of the metrics must know, such as which classes have no example.
    """

    metrics: dict[str, float]
    classes: tuple[dict[str, Any], ...] = ()
    classes_title: str = "Classes"
    confusion: np.ndarray | None = None
    calibration: tuple[tuple[float, float, float], ...] = ()
    mistakes: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()


class Evaluator(Protocol):
    """Computes metrics from predictions, batch by batch, so that a test set need not fit in memory."""

    def update(
        self,
        targets: Any,
        decoded: Mapping[str, np.ndarray],
        ids: Sequence[str],
        sample_weight: np.ndarray | None = None,
    ) -> None:
        """Add a batch of examples.

        Args:
            targets: Raw targets [n, …] of the source, after `Task.references`.
            decoded: Result of `Task.decode` for these examples: column → [n, …], strings as `str`.
            ids: Id of each example.
            sample_weight: Weight of each example, float32 [n], above 0; only passed if the data has weights. An
                evaluator without this argument cannot evaluate such data.
        """

    def result(self) -> ReportParts:
        """Return the report of all examples so far."""
