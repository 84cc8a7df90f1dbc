"""Whether what is served agrees with `tltk.predict`, which reads its examples in another way."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tltk.inference.decoded_batches import decoded_batches
from tltk.inference.embed import embed
from tltk.inference.forward import as_array
from tltk.modalities.modality import modality_of
from tltk.models.transfer_model import TransferModel

_TOLERANCE = {"float32": 1e-5}
_COARSE = 0.05  # in 16 bits another batch rounds differently
_FEATURES = 1e-4  # which are not squashed into probabilities, and come from another batch


def disagreements(
    model: TransferModel, requests: Sequence[tuple[bytes, ...]], answers: Mapping[str, np.ndarray]
) -> list[str]:
    """Compare answers of `serving_default` with what `tltk.predict` decodes.

    Args:
        model: the one that is served.
        requests: images, texts or pairs of texts as bytes, a tuple each.
        answers: column → [requests, …].

    Returns:
        One line a difference: a request that only one of them can read, or what `Task.agrees` finds. In float32
        numbers may differ by 1e-5, in 16 bits by 0.05.
    """
    expected = _predicted(model, requests)
    tolerance = _TOLERANCE.get(model.precision, _COARSE)
    columns = {name: as_array(column) for name, column in answers.items()}
    lines = []
    for row, answer in enumerate(expected):
        if (answer is not None) != bool(columns["valid"][row]):
            reader = "tltk.predict" if answer is not None else "the export"
            lines.append(f"request {row} is read by {reader} only ({columns['error'][row]})")
        elif answer is not None:
            served = {name: column[row] for name, column in columns.items()}
            difference = model.task.agrees(answer, served, tolerance)
            lines += [f"request {row}: {difference}"] if difference else []
    return lines


def features_apart(
    model: TransferModel, requests: Sequence[tuple[bytes, ...]], answers: Mapping[str, np.ndarray]
) -> list[str]:
    """Compare answers of `embed` with those of `tltk.embed`, for the first two requests that can be read.

    Args:
        model: the one that is served.
        requests: images, texts or pairs of texts as bytes, a tuple each.
        answers: column → [requests, …].

    Returns:
        What differs: nothing or one line. In 16 bits nothing is compared, since another batch rounds differently.
    """
    rows = np.flatnonzero(answers["valid"])[:2]
    if model.precision not in _TOLERANCE or not rows.size:
        return []
    with tempfile.TemporaryDirectory() as folder:
        source = modality_of(model.input).from_requests([requests[row] for row in rows], model.input, Path(folder))
        expected = embed(model, source).values
    apart = float((np.abs(answers["features"][rows] - expected) / np.maximum(1.0, np.abs(expected))).max())
    return [] if apart <= _FEATURES else [f"features are not those of tltk.embed: they differ by {apart:.1e}"]


def _predicted(model: TransferModel, requests: Sequence[tuple[bytes, ...]]) -> list[dict[str, Any] | None]:
    """Return what `predict` decodes for each request; None for those it cannot read."""
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        source = modality_of(model.input).from_requests(requests, model.input, Path(folder))
        parts = decoded_batches(model, source, batch_size=32, max_invalid_fraction=1.0, invalid=[], title="checking")
        for part in parts:
            for row, example_id in enumerate(part.ids):
                found[example_id] = {name: column[row] for name, column in part.decoded.items()}
    return [found.get(str(number)) for number in range(len(requests))]
