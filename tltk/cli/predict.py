"""The command `tltk predict`."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tltk.cli import console, examples, options, pictures, training_options
from tltk.cli.options import Debug, Delimiter, FileFormat, Json, Overlap, RunFolder, TextColumn
from tltk.foundation import checks as check
from tltk.foundation import files
from tltk.foundation.errors import InvalidInput

if TYPE_CHECKING:
    from tltk.inference.predictions import Predictions

_SUFFIXES = (".csv", ".jsonl")
_TIMES = ("start", "stop")  # seconds of a window
_DETAILS = ("spans", "objects")  # lists, which CSV holds as JSON


def predict(
    run: RunFolder,
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Images or sounds, or folders of them; for a text model texts (pairs: two each), a .txt file of one "
            "per line, or a table and --text. - reads lines from standard input."
        ),
    ],
    text: TextColumn = None,
    format: FileFormat = None,  # noqa: A002 - becomes the option --format
    delimiter: Delimiter = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write a .csv or .jsonl file with one row per input, in the order of the inputs."),
    ] = None,
    draw: Annotated[
        Path | None,
        typer.Option(help="Folder for a picture of each input in its own size, with what is predicted drawn on it."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files in the folder of --draw; inputs are never replaced.")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Probability above which a label is predicted (multilabel), or an object counts and is drawn."
        ),
    ] = None,
    overlap: Overlap = None,
    per_window: Annotated[
        bool, typer.Option("--per-window", help="Predict each window of a recording, and not their mean.")
    ] = False,
    top: Annotated[int, typer.Option(help="Number of labels shown for each example.")] = 3,
    batch_size: Annotated[int, typer.Option(help="Examples per step.")] = 32,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Predict images, texts or sounds with the model of a run."""
    with console.command(as_json=as_json, debug=debug):
        check.counts(top=top, batch_size=batch_size)
        if out is not None and out.suffix not in _SUFFIXES:
            raise InvalidInput(f"`--out` must end in .csv or .jsonl. Received: {out}")
        options.not_an_input("--out", out, inputs, run)
        pictures.check_folder(draw, inputs, overwrite=overwrite)
        console.start_tensorflow()
        import tltk
        from tltk.inference.predict import in_windows, times_of, with_overlap
        from tltk.modalities.modality import modality_of

        model = tltk.load_run(run).model
        model = replace(model, task=training_options.with_threshold(model.task, threshold))
        model = with_overlap(model, options.overlap(overlap))
        modality = modality_of(model.input_spec)
        if draw is not None and not modality.has_pictures:
            raise InvalidInput(f"`--draw` is for image models. The model of {run} takes {modality.name}s.")
        source = examples.read(inputs, model, text=text, file_format=format, delimiter=delimiter)
        times: dict[str, tuple[float, float]] = {}
        if per_window:
            model, source = in_windows(model, source)
            times = times_of(source)
        predictions = tltk.predict(model, source, batch_size=batch_size)
        texts = {source.id_of(index): modality.input_text(source, index) for index in range(len(source))}
        order = examples.order_of([*texts, *(example.example_id for example in source.invalid)])
        rows = sorted(_rows(predictions, texts, times), key=lambda row: order[row["example_id"]])
        drawn = [] if draw is None else pictures.write(draw, predictions, source)
        picture_of = dict(drawn)
        rows = [{**row, "drawing": path} if (path := picture_of.get(row["example_id"])) else row for row in rows]
        if out is not None:
            _write(out, rows, model.task.labels.names)
        _show(rows, predictions, out, top=top, as_json=as_json)
        if draw is not None and not as_json:
            console.show(f"{draw}: {len(drawn):,} picture{'s' * (len(drawn) != 1)}")
        console.report_invalid(predictions.invalid)
        if predictions.invalid and not len(predictions):
            raise InvalidInput("none of the examples can be used: see above.")


def _rows(
    predictions: "Predictions", texts: dict[str, str | None], times: dict[str, tuple[float, float]]
) -> Iterator[dict[str, Any]]:
    """Yield one row for each input: its id, its text or times if it has any, and its prediction or why it has none."""
    for prediction in predictions:
        text, window = texts[prediction.example_id], times.get(prediction.example_id)
        yield {
            "example_id": prediction.example_id,
            **({} if window is None else dict(zip(_TIMES, window, strict=True))),
            **({} if text is None else {"input": text}),
            "label": prediction.label,
            "probability": prediction.probability,
            "scores": prediction.scores,
            **prediction.details(),
        }
    for example in predictions.invalid:
        text = texts.get(example.example_id)
        yield {
            "example_id": example.example_id,
            **({} if text is None else {"input": text}),
            "error": example.reason,
        }


def _show(rows: list[dict[str, Any]], predictions: "Predictions", out: Path | None, *, top: int, as_json: bool) -> None:
    """Print the predictions, or where they were written."""
    valid = [{**row, "scores": dict(list(row["scores"].items())[:top])} for row in rows if "error" not in row]
    if as_json:
        result = {"predictions": valid, "invalid": [vars(example) for example in predictions.invalid]}
        console.show_json({**result, **({} if out is None else {"out": out})})
        return
    if out is not None:
        console.show(f"{out}: {len(rows):,} rows, {len(valid):,} predictions")
        return
    if any("start" in row for row in valid):
        console.show_table(*_windows_table(valid))
        return
    has_texts = any("input" in row for row in valid)
    cells = [
        (row["example_id"], *([_shortened(row.get("input", ""))] if has_texts else []), _prediction(row))
        for row in valid
    ]
    console.show_table(["example", *(["text"] if has_texts else []), "prediction"], cells)


def _windows_table(rows: list[dict[str, Any]]) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the header and the cells of a table of windows: recording if there are several, time, prediction."""
    recordings = [row["example_id"].rpartition(", ")[0] for row in rows]
    times = [row["example_id"].rpartition(", ")[2] for row in rows]
    names = [(recording,) if len(set(recordings)) > 1 else () for recording in recordings]
    if all(row["probability"] is None for row in rows):  # several labels, or values
        cells = [(*name, time, _prediction(row)) for name, time, row in zip(names, times, rows, strict=True)]
        return [*(("recording",) * len(names[0])), "time", "prediction"], cells
    scored = [
        (*name, time, row["label"], f"{row['probability']:.3f}")
        for name, time, row in zip(names, times, rows, strict=True)
    ]
    return [*(("recording",) * len(names[0])), "time", "label", "probability"], scored


def _prediction(row: dict[str, Any]) -> str:
    """Return the most likely labels with their scores; entities and answers have no scores, only a label."""
    return "  ".join(f"{name} {score:.3f}" for name, score in row["scores"].items()) or str(row["label"])


def _shortened(text: str, length: int = 60) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= length else f"{one_line[: length - 1]}…"


def _write(path: Path, rows: list[dict[str, Any]], labels: Sequence[str]) -> None:
    """Write the rows as CSV, with a column for the score of each label, or as JSON lines."""
    files.make_folder(path.parent)
    if path.suffix == ".jsonl":
        lines = (json.dumps(files.as_json_values(row), ensure_ascii=False) for row in rows)
        files.write_text(path, "".join(f"{line}\n" for line in lines))
        return
    scored = {name for row in rows for name in row.get("scores", {})}  # answers are scored by their text, not by label
    names = [name for name in labels if name in scored]
    columns = ["label", "probability"]
    columns = [*(name for name in (*_TIMES, "input", "drawing") if any(name in row for row in rows)), *columns]
    details = [name for name in _DETAILS if any(row.get(name) for row in rows)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["example_id", *columns, *names, *details, "error"])
    for row in rows:
        parts = [json.dumps(files.as_json_values(row.get(name, [])), ensure_ascii=False) for name in details]
        scores = [row.get("scores", {}).get(name, "") for name in names]
        values = [row.get(name) for name in ("example_id", *columns)]
        writer.writerow([*values, *scores, *parts, row.get("error", "")])
    files.write_text(path, text.getvalue())
