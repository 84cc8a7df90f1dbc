"""The records that tasks exchange with the rest of tltk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image

from tltk.foundation import display
from tltk.specs import Span
from tltk.tasks.draw_label import draw_label


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

    def details(self) -> dict[str, list[dict[str, Any]]]:
        """Return what the prediction says about parts of the example, for JSON: its spans, for texts.

        Examples:
            >>> Prediction("a.jpg", "cat", 0.93, {"cat": 0.93}).details()
            {'spans': []}
        """
        return {"spans": [vars(span) for span in self.spans]}

    def draw(self, image: Any, *, truth: Any = None) -> Image.Image:
        """Draw the prediction on its image; the subclasses of tasks with boxes or masks draw those.

        Args:
            image: The image that was predicted: its path, a PIL image, or pixels uint8 [height, width, channels].
            truth: The true label, as `source[3].label` has it; None if it is unknown.

        Returns:
            A new image with the label, its probability and the true label in the upper left corner.

        Raises:
            NotFound: If `image` is a path and there is no such file.
            InvalidType: If `image` is something else.
            InvalidInput: If it cannot be decoded.

        Examples:
            >>> picture = Prediction("a.jpg", "cat", 0.93, {"cat": 0.93}).draw(np.zeros((48, 64, 3), "uint8"))
            >>> picture.size
            (64, 48)
        """
        return draw_label(image, self.label, self.probability, self.scores, truth=truth)


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
        tables: Heading → rows of a further table, such as the kinds of error. What follows a colon in the heading is
            the caption. A metric that is named in the column "metric" is shown in the table only.
        worst: The examples with the worst predictions, the worst first: "example_id", and what is wrong with each. A
            report draws the first ones, by `Prediction.draw`.
        worst_title: Heading above them; what follows a colon says how they were chosen.
    """

    metrics: dict[str, float]
    classes: tuple[dict[str, Any], ...] = ()
    classes_title: str = "Classes"
    confusion: np.ndarray | None = None
    calibration: tuple[tuple[float, float, float], ...] = ()
    mistakes: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    tables: Mapping[str, Sequence[dict[str, Any]]] = field(default_factory=dict)
    worst: tuple[dict[str, Any], ...] = ()
    worst_title: str = "Worst examples"


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
