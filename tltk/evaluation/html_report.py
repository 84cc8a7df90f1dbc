"""Writes a report as one self-contained HTML page, with charts as embedded SVG and without scripts."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from tltk.foundation import files

_MAX_CELL_LABELS = 20  # classes up to which the cells of the confusion matrix show their counts
_MAX_CLASS_LABELS = 60  # classes up to which its axes show class names
_INK, _ACCENT, _MUTED = "#1d2733", "#2563a8", "#8a94a0"


def write_page(
    report: dict[str, Any], path: Path, *, title: str = "Evaluation", drawings: Mapping[str, bytes] | None = None
) -> None:
    """Write a report as an HTML page.

    Args:
        report: Result of `Report.to_dict()`.
        path: Path of the .html file.
        title: Title of the page.
        drawings: Id of an example → a JPEG file.

    Raises:
        FileError: If the file cannot be written.
    """
    loader = jinja2.PackageLoader("tltk", "evaluation")
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    charts = [chart for chart in (confusion_chart(report), calibration_chart(report)) if chart]
    pictures = {name: base64.b64encode(data).decode() for name, data in (drawings or {}).items()}
    values = {"report": report, "charts": charts, "title": title, "pictures": pictures}
    text = environment.get_template("page.html").render(values, **_metrics(report))
    files.write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _metrics(report: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics that are shown alone, and the 95 % interval of those that have one.

    A metric that a table names in its column "metric" is shown there only.
    """
    in_tables = {row.get("metric") for rows in report.get("tables", {}).values() for row in rows}
    metrics = {name: value for name, value in report["metrics"].items() if name not in in_tables}
    bounds = {name: [metrics.get(f"{name}_{bound}") for bound in ("low", "high")] for name in metrics}
    intervals = {name: both for name, both in bounds.items() if None not in both}
    shown_with = {f"{name}_{bound}" for name in intervals for bound in ("low", "high")}
    return {"metrics": {n: value for n, value in metrics.items() if n not in shown_with}, "intervals": intervals}


def confusion_chart(report: dict[str, Any]) -> dict[str, str] | None:
    """Draw the confusion matrix, coloured by the fraction of each true class; return None if there is none."""
    if not report.get("confusion"):
        return None
    weighted = report.get("total_weight") is not None
    counts = np.asarray(report["confusion"], float)
    totals = counts.sum(1, keepdims=True)
    fractions = counts / np.where(totals > 0, totals, 1)
    names = [row["name"] for row in report["classes"]]
    side = min(max(3.5, 0.42 * len(names) + 1.5), 14)
    figure, axes = _figure(side, side)
    axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="true")
    if len(names) <= _MAX_CLASS_LABELS:
        # A name with dollar signs is not a formula: Matplotlib would fail on "$\\cat$".
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8, parse_math=False)
        axes.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
    if len(names) <= _MAX_CELL_LABELS:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if fractions[row, column] > 0.5 else _INK
                axes.text(
                    column,
                    row,
                    f"{count:.4g}" if weighted else f"{count:.0f}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color=colour,
                )
    return {
        "title": f"Confusion matrix: rows are true classes, numbers are {'weights' if weighted else 'examples'}",
        "svg": _svg(figure),
    }


def calibration_chart(report: dict[str, Any]) -> dict[str, str] | None:
    """Draw accuracy against confidence; return None if there are no calibration bins."""
    if not report.get("calibration"):
        return None
    confidence, accuracy, count = (np.asarray(column, float) for column in zip(*report["calibration"], strict=True))
    figure, axes = _figure(4.2, 4.2)
    axes.plot([0, 1], [0, 1], color=_MUTED, linewidth=1, linestyle="--")
    axes.plot(confidence, accuracy, color=_ACCENT, linewidth=1)
    axes.scatter(confidence, accuracy, s=12 + 120 * count / count.max(), color=_ACCENT, alpha=0.7, linewidths=0)
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
    return {"title": "Calibration: on the dashed line, accuracy equals confidence", "svg": _svg(figure)}


def _figure(width: float, height: float) -> tuple[Any, Any]:
    # Without pyplot, which would set a backend for the whole process.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK)
    return figure, axes


def _svg(figure: Any) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
