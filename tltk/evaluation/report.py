"""The report of an evaluation: one frozen record, saved as a page or as JSON."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from tltk.evaluation.html import write_page
from tltk.foundation import checks as check
from tltk.foundation import files
from tltk.specs import InvalidExample


@dataclass(frozen=True)
class Report:
    """How good a model is on some examples.

    Args:
        task: name of the task, such as "classification".
        examples: number of examples that were judged.
        metrics: name → number; docs/evaluate.md describes each.
        classes: one row a class, type of entities or column: its name and its own numbers.
        classes_title: what the rows of `classes` are, as a heading.
        confusion: for one class an example, counts int64 [true class, predicted class]; else None.
        calibration: for one class an example, rows of (mean confidence, accuracy, number of examples), one a bin.
        mistakes: the most confident wrong answers; for one class an example "example_id", "true", "predicted" and
            "probability".
        invalid: examples that could not be read.
    """

    task: str
    examples: int
    metrics: dict[str, float]
    classes: tuple[dict[str, Any], ...] = ()
    classes_title: str = "Classes"
    confusion: np.ndarray | None = None
    calibration: tuple[tuple[float, float, int], ...] = ()
    mistakes: tuple[dict[str, Any], ...] = ()
    invalid: tuple[InvalidExample, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return files.as_json_values({**values, "invalid": [asdict(example) for example in self.invalid]})

    def save(self, path: str | Path) -> Path:
        """Write the report: a page for people (.html) or JSON for programs (.json).

        Args:
            path: ends in .html or .json; its folder is created if needed.

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
