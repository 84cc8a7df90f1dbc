"""Draws the examples with the worst predictions for a report."""

import io
from collections import Counter
from collections.abc import Sequence
from typing import Any

from PIL import Image

from tltk.data.source import Source
from tltk.inference.decoded_batches import decoded_batches
from tltk.inference.drawings import draw
from tltk.inference.predictions import DecodedRows, predictions_of
from tltk.modalities.modality import modality_of
from tltk.models.transfer_model import TransferModel
from tltk.tasks.sources import with_labels_of

_SIZE = (960, 640)  # width and height in pixels that a drawing is shrunk to
_QUALITY = 85


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
    options: dict[str, Any] = {"batch_size": min(batch_size, len(selected)), "max_invalid_fraction": 1.0}
    for batch in decoded_batches(model, selected, **options, invalid=[], title="drawing"):
        predictions = predictions_of(model.task, [DecodedRows(tuple(batch.ids), batch.decoded)], [])
        for row, picture in draw(predictions, selected, with_truth=True):
            drawings[selected.id_of(row)] = _as_jpeg(picture)
    return {name: drawings[name] for name in names if name in drawings}


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
