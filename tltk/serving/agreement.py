"""Compares the outputs of an export with `tltk.predict` and `tltk.embed`, which read the same examples differently."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tltk.data.source import Source
from tltk.inference.decoded_batches import decoded_batches
from tltk.inference.embed import embed
from tltk.inference.forward import as_array
from tltk.modalities.modality import modality_of
from tltk.models.transfer_model import TransferModel

_FLOAT32_TOLERANCE = 1e-5
_HALF_PRECISION_TOLERANCE = 0.05  # 16-bit results depend on the batch they were computed in
_FEATURE_TOLERANCE = 1e-4  # features are unbounded, and `tltk.embed` computes them in another batch


def prediction_differences(
    model: TransferModel, requests: Sequence[tuple[bytes, ...]], outputs: Mapping[str, np.ndarray]
) -> list[str]:
    """Compare the outputs of `serving_default` with the predictions of `tltk.predict`.

    Args:
        model: Model that is exported.
        requests: A tuple of bytes for each request: an encoded image, a text, or a pair of texts.
        outputs: Output name → array [requests, …].

    Returns:
        One line for each difference: a request that only one of the two can read, or what `Task.agrees` reports. The
        tolerance is 1e-5 in float32 and 0.05 in 16-bit precision.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = modality_of(model.input_spec).from_requests(requests, model.input_spec, Path(folder))
        return source_differences(model, [source], outputs)


def source_differences(model: TransferModel, sources: Sequence[Source], outputs: Mapping[str, np.ndarray]) -> list[str]:
    """Compare the outputs of a signature with the predictions of `tltk.predict`.

    Args:
        model: Model that is exported.
        sources: The requests as sources, whose ids are their indices; requests that cannot be read may be missing.
        outputs: Output name → array [requests, …].

    Returns:
        One line for each difference, see `prediction_differences`.
    """
    predictions: dict[str, dict[str, Any]] = {}
    for source in sources:
        predictions |= _decoded(model, source)
    tolerance = _FLOAT32_TOLERANCE if model.precision == "float32" else _HALF_PRECISION_TOLERANCE
    columns = {name: as_array(column) for name, column in outputs.items() if name not in model.task.export_columns}
    lines = []
    for row in range(len(outputs["valid"])):
        prediction = predictions.get(str(row))
        if (prediction is not None) != bool(columns["valid"][row]):
            reader = "tltk.predict" if prediction is not None else "the export"
            lines.append(f"request {row} can only be read by {reader} ({columns['error'][row]})")
        elif prediction is not None:
            served = {name: column[row] for name, column in columns.items()}
            difference = model.task.agrees(prediction, served, tolerance)
            lines += [f"request {row}: {difference}"] if difference else []
    return lines


def tensor_differences(model: TransferModel, tensor: np.ndarray, outputs: Mapping[str, np.ndarray]) -> list[str]:
    """Compare the outputs of `predict_tensor` with the predictions of `tltk.predict`.

    Args:
        model: Model that is exported.
        tensor: Inputs of the network, [inputs, …].
        outputs: Output name → array [inputs, …].

    Returns:
        One line for each difference, see `prediction_differences`.
    """
    source = modality_of(model.input_spec).source(tensor, model.input_spec)
    predictions = _decoded(model, source)
    tolerance = _FLOAT32_TOLERANCE if model.precision == "float32" else _HALF_PRECISION_TOLERANCE
    columns = {name: as_array(column) for name, column in outputs.items() if name not in model.task.export_columns}
    lines = []
    for row in range(len(tensor)):
        served = {name: column[row] for name, column in columns.items()}
        difference = model.task.agrees(predictions[source.id_of(row)], served, tolerance)
        lines += [f"input {row}: {difference}"] if difference else []
    return lines


def feature_differences(
    model: TransferModel, requests: Sequence[tuple[bytes, ...]], outputs: Mapping[str, np.ndarray]
) -> list[str]:
    """Compare the outputs of `embed` with `tltk.embed`, for the first two valid requests.

    Args:
        model: Model that is exported.
        requests: A tuple of bytes for each request: an encoded image, a text, or a pair of texts.
        outputs: Output name → array [requests, …].

    Returns:
        One line if the features differ, else an empty list. Always empty in 16-bit precision, where results depend on
        the batch.
    """
    rows = np.flatnonzero(outputs["valid"])[:2]
    if model.precision != "float32" or not rows.size:
        return []
    with tempfile.TemporaryDirectory() as folder:
        source = modality_of(model.input_spec).from_requests(
            [requests[row] for row in rows], model.input_spec, Path(folder)
        )
        expected = embed(model, source).features
    difference = float((np.abs(outputs["features"][rows] - expected) / np.maximum(1.0, np.abs(expected))).max())
    return [] if difference <= _FEATURE_TOLERANCE else [f"features differ from tltk.embed by {difference:.1e}"]


def _decoded(model: TransferModel, source: Source) -> dict[str, dict[str, Any]]:
    """Return the decoded prediction of each example of a source that can be read, by its id."""
    predictions: dict[str, dict[str, Any]] = {}
    batches = decoded_batches(model, source, batch_size=32, max_invalid_fraction=1.0, invalid=[], title="checking")
    for batch in batches:
        for row, example_id in enumerate(batch.ids):
            predictions[example_id] = {name: column[row] for name, column in batch.decoded.items()}
    return predictions
