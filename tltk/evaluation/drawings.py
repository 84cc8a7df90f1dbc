"""Draws the examples with the worst predictions for a report; of sounds, also what a prediction depends on."""

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from tltk.data.source import Source
from tltk.evaluation.attention import attention
from tltk.evaluation.report import Report
from tltk.inference.decoded_batches import decoded_batches
from tltk.inference.drawings import draw
from tltk.inference.predictions import DecodedRows, predictions_of
from tltk.modalities.modality import modality_of
from tltk.models.transfer_model import TransferModel
from tltk.pipeline.batching import Order
from tltk.pipeline.readers import join_batches
from tltk.tasks.sources import with_labels_of

_SIZE = (960, 640)  # width and height in pixels that a drawing is shrunk to
_QUALITY = 85
_WINDOWS = 32  # windows of a long recording among which the clearest one is drawn


_ATTENTION_TITLE = (
    "Examples: mistakes first. Waveform and spectrogram as the model reads them; the lower spectrogram is bright where "
    "the prediction depends on it (Grad-CAM), if the features of the model have positions"
)


def with_drawings(report: Report, model: TransferModel, source: Source, *, count: int, batch_size: int) -> Report:
    """Return a report with drawings of the examples with the worst predictions.

    Sounds are drawn for every task: the most confident mistakes, and then the first examples of the source.

    Args:
        report: Report of the model on the source.
        model: Model of the predictions.
        source: Labelled source of the examples.
        count: Largest number of drawings.
        batch_size: Examples per batch.
    """
    if not report.worst and modality_of(model.input_spec).shows_attention:
        rows = _examples_to_show(report, source, count)
        report = replace(report, worst=rows, worst_title=_ATTENTION_TITLE)
    names = [row["example_id"] for row in report.worst[:count]]
    if not names:
        return report
    return replace(report, drawings=draw_examples(model, source, names, batch_size=batch_size))


def _examples_to_show(report: Report, source: Source, count: int) -> tuple[dict[str, Any], ...]:
    """Return id and error of the most confident mistakes, and then of other examples."""
    mistakes = {row["example_id"]: _error(row) for row in report.mistakes}
    unreadable = {example.example_id for example in report.invalid}
    rows = range(min(len(source), count + len(mistakes) + len(unreadable)))
    others = [name for row in rows if (name := source.id_of(row)) not in mistakes and name not in unreadable]
    errors = {**mistakes, **dict.fromkeys(others, "")}
    return tuple({"example_id": name, "error": error} for name, error in errors.items())[:count]


def _error(mistake: Mapping[str, Any]) -> str:
    """Return what is wrong with a prediction; the columns of tasks of the user's own are not known."""
    if {"predicted", "true"} <= mistake.keys():
        return f"{mistake['predicted']} instead of {mistake['true']}"
    return "; ".join(str(value) for name, value in mistake.items() if name != "example_id")


def draw_examples(model: TransferModel, source: Source, names: Sequence[str], *, batch_size: int) -> dict[str, bytes]:
    """Predict some examples, and draw prediction and truth on them.

    Args:
        model: Model of the predictions.
        source: Labelled source of the examples.
        names: Their ids. Ids that several examples have are left out: which one is meant is not known.
        batch_size: Examples per batch.

    Returns:
        Id → JPEG file, in the order of `names`; empty if examples of this modality cannot be shown.
    """
    modality = modality_of(model.input_spec)
    source = with_labels_of(model.task, source)
    places = _places(source, names) if modality.has_pictures else {}
    if not places:
        return {}
    selected = source.subset(list(places.values())).with_sample_weight(None)
    drawings = {}
    picture_of = partial(_explained_picture, model) if modality.shows_attention else modality.picture
    options: dict[str, Any] = {"batch_size": min(batch_size, len(selected)), "max_invalid_fraction": 1.0}
    for batch in decoded_batches(model, selected, **options, invalid=[], title="drawing"):
        predictions = predictions_of(model.task, [DecodedRows(tuple(batch.ids), batch.decoded)], [])
        for row, picture in draw(predictions, selected, with_truth=True, picture_of=picture_of):
            drawings[selected.id_of(row)] = _as_jpeg(picture)
    return {name: drawings[name] for name in names if name in drawings}


def _explained_picture(model: TransferModel, source: Source, row: int) -> np.ndarray | None:
    """Return the picture of an example, or of its window with the clearest prediction, with what that depends on."""
    modality, spec = modality_of(model.input_spec), model.input_spec
    reader = modality.reader(source.subset([row]), spec)
    shown = np.unique(np.linspace(0, reader.count - 1, min(reader.count, _WINDOWS)).round().astype(int))
    batches = list(join_batches(reader.subset(shown).partial_batches(Order(len(shown)))))
    if not batches:
        return None
    ((_, rows, (inputs, *_)),) = batches
    explained = attention(model, inputs)
    best = 0 if explained is None else int(explained.scores.argmax())
    note = f"window {shown[rows[best]] + 1} of {reader.count}" if reader.count > 1 else ""
    maps = None if explained is None else explained.maps
    return modality.attention_picture(inputs[best], spec, None if maps is None else maps[best], note)


def _places(source: Source, names: Sequence[str]) -> dict[str, int]:
    """Return the index of each id that only one example has."""
    wanted = set(names)
    rows = [(row, name) for row in range(len(source)) if (name := source.id_of(row)) in wanted]
    counts = Counter(name for _, name in rows)
    return {name: row for row, name in rows if counts[name] == 1}


def _as_jpeg(picture: Image.Image) -> bytes:
    picture.thumbnail(_SIZE)
    data = io.BytesIO()
    picture.save(data, format="JPEG", quality=_QUALITY)
    return data.getvalue()
