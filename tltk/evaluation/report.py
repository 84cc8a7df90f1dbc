"""The record `Report`: results of an evaluation, which can be saved as HTML or JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from tltk.evaluation.html_report import write_page
from tltk.foundation import checks as check
from tltk.foundation import display, familiar, files
from tltk.foundation.errors import InvalidInput
from tltk.specs import InvalidExample
from tltk.tasks.class_scores import wilson_interval

_SHOWN = 4  # drawings in a notebook


@familiar.attributes
@dataclass(frozen=True)
class Report:
    """Results of an evaluation.

    Args:
        task: Name of the task, such as "classification".
        example_count: Number of examples that were evaluated.
        metrics: Metric name → value; docs/evaluate.md describes each.
        classes: One row per class, entity type or regression target: its name and metrics.
        classes_title: Heading for the rows of `classes`.
        confusion: Confusion matrix [true class, predicted class]; None unless examples have one class each. Counts in
            int64; sums of weights in float64 if examples have weights.
        calibration: Rows of (mean confidence, accuracy, number of examples or sum of weights), one per bin; empty
            unless examples have one class each.
        mistakes: The most confident wrong predictions; if examples have one class each: "example_id", "true",
            "predicted" and "probability".
        invalid: Examples that could not be read.
        total_weight: Sum of the sample weights, which all metrics are weighted by; None if examples have no weights.
            Examples with the weight 0 are left out.
        notes: What a reader of the metrics must know: classes without examples, examples that were trained on.
        inputs: What an example is, in the plural: "texts".
        tables: Heading → rows of further tables, such as the kinds of error of a detector.
        worst: The examples with the worst predictions, the worst first: "example_id", and what is wrong.
        worst_title: Heading above them; what follows a colon says how they were chosen.
        drawings: Id of an example → a JPEG file in which prediction and truth are drawn, of the first ones in `worst`.
    """

    task: str
    example_count: int
    metrics: dict[str, float]
    classes: tuple[dict[str, Any], ...] = ()
    classes_title: str = "Classes"
    confusion: np.ndarray | None = None
    calibration: tuple[tuple[float, float, float], ...] = ()
    mistakes: tuple[dict[str, Any], ...] = ()
    invalid: tuple[InvalidExample, ...] = ()
    total_weight: float | None = None
    notes: tuple[str, ...] = ()
    inputs: str = "examples"
    tables: Mapping[str, Sequence[dict[str, Any]]] = field(default_factory=dict)
    worst: tuple[dict[str, Any], ...] = ()
    worst_title: str = "Worst examples"
    drawings: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    __repr__ = display.short_repr

    def _repr_html_(self) -> str:
        metrics = display.Table(("metric", "value"), self.metrics.items())
        tables = [metrics, _table(self.classes, self.classes_title)]
        tables += [_table(rows, heading) for heading, rows in self.tables.items()]
        tables += [_table(self._drawn()[:_SHOWN], self.worst_title), _table(self.mistakes[:10], "Mistakes")]
        weighted = "" if self.total_weight is None else f", weighted (sum of weights {self.total_weight:g})"
        lines = (f"{self.task}, {self.example_count:,} {self.inputs}{weighted}", self.headline, *self.notes)
        summary = "Report: " + "; ".join(line for line in lines if line)
        return display.html(summary, [*tables, display.invalid_table(self.invalid)])

    @property
    def headline(self) -> str:
        """The accuracy with its 95 % interval, beside that of always answering the commonest class.

        "" unless examples have one class each and count the same.
        """
        if self.confusion is None or not self.classes or self.total_weight is not None:
            return ""
        hits = self.confusion.trace()
        low, high = wilson_interval(hits, self.example_count)
        commonest = max(self.classes, key=lambda row: row["examples"])
        return (
            f"{hits / self.example_count:.0%} correct on {self.example_count:,} {self.inputs} (95 %: {low:.0%} to "
            f"{high:.0%}); always answering {commonest['name']!r}: {commonest['examples'] / self.example_count:.0%}"
        )

    def _drawn(self) -> tuple[dict[str, Any], ...]:
        """Return the rows of the worst examples, with their pictures in a notebook."""
        pictures = {name: display.picture(data, "jpeg") for name, data in self.drawings.items()}
        return tuple({**row, "drawn": pictures.get(row["example_id"], "")} for row in self.worst)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values, without the drawings."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "drawings"}
        values["headline"] = self.headline
        return files.as_json_values({**values, "invalid": [asdict(example) for example in self.invalid]})

    def save(self, path: str | Path) -> Path:
        """Write the report as an HTML page or as JSON.

        Args:
            path: Path that ends in .html or .json; its folder is created if needed.

        Returns:
            The path.

        Raises:
            InvalidInput: If the path has another extension.
            FileError: If the file cannot be written.
        """
        path = check.path("path", path)
        if path.suffix not in (".html", ".json"):
            raise InvalidInput(f"`path` must end in .html or .json. Received: {str(path)!r}")
        files.make_folder(path.parent)
        if path.suffix == ".json":
            files.write_json(path, self.to_dict())
        else:
            write_page(self.to_dict(), path, drawings=self.drawings)
        return path


def _table(rows: Sequence[dict[str, Any]], title: str) -> display.Table:
    """Build a table of dicts, with a column per key."""
    columns = tuple(dict.fromkeys(key for row in rows for key in row))
    return display.Table(columns, ([row.get(column, "") for column in columns] for row in rows), title=title)
