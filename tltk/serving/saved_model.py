"""The SavedModel: its graphs, the requests and answers that are stored with it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import keras
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tltk.foundation import checks as check
from tltk.modalities.modality import modality_of
from tltk.models.transfer_model import TransferModel
from tltk.serving import certificate, warmup
from tltk.serving.agreement import disagreements, features_apart
from tltk.serving.folding import folded
from tltk.serving.signatures import FEATURES, REQUEST, TENSOR, Served, request_reader, served

Requests: TypeAlias = Sequence[bytes | tuple[bytes, ...]]
_STORED = 24  # requests of a certificate, beside damaged ones
_FOLDED = 1e-4  # by which folded batch norms may round otherwise
_TENSORS = 2  # of them that are stored as tensors, too


def write(
    model: TransferModel,
    folder: Path,
    requests: Requests | None,
    *,
    fold_batch_norm: bool = False,
    warm: str | None = None,
) -> None:
    """Write a SavedModel and its certificate.

    Args:
        model: run in inference mode.
        folder: that does not exist yet.
        requests: to store; None makes some.
        fold_batch_norm: Whether to fold batch norms into the convolutions before them (float32 models). The stored
            answers are those of the unfolded model.
        warm: name under which TensorFlow Serving serves it, for warm-up requests; None stores none.

    Raises:
        ServingError: if what would be served is not what `tltk.predict` and `tltk.embed` say.
    """
    archive, graphs = _archive(served(model))
    asked = _rows(requests if requests is not None else sample_requests(model), graphs[REQUEST].names)
    stored = answered(model, graphs, asked)
    found = disagreements(model, asked, stored[REQUEST]["answer"])
    found += features_apart(model, asked, stored[FEATURES]["answer"])
    if found:
        lines = [f"what would be served is not what tltk says itself ({len(found)}):", *found[:10]]
        raise check.ServingError("\n".join(lines))
    lean = folded(model.keras)[0] if fold_batch_norm else model.keras
    tolerance = certificate.TOLERANCE
    if lean is not model.keras:
        archive, _ = _archive(served(replace(model, keras=lean)))
        tolerance = _FOLDED
    archive.write_out(str(folder), verbose=False)
    certificate.write(folder, stored, tensors=_tensors(folder), tolerance=tolerance)
    if warm is not None:
        warmup.write(folder, stored, name=warm)


def answered(
    model: TransferModel, graphs: Mapping[str, Served], asked: Sequence[tuple[bytes, ...]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Ask the model itself, as its SavedModel will be asked.

    Args:
        model: the reference.
        graphs: from `served(model)`.
        asked: encoded images, or texts as UTF-8; of pairs, tuples of two.

    Returns:
        For `certificate.write`: signature → "ask" and "answer" → name → rows.
    """
    strings = [[row[place] for row in asked] for place in range(len(graphs[REQUEST].inputs))]
    few = (tf.constant(column[:_TENSORS], tf.string) for column in strings)
    tensor = request_reader(model.input)[0](*few).inputs.numpy()
    found = {}
    for name, graph in graphs.items():
        given = [tensor] if name == TENSOR else strings
        answers = graph.run(
            *(tf.constant(column, spec.dtype) for column, spec in zip(given, graph.inputs, strict=True))
        )
        ask = dict(zip(graph.names, given, strict=True))
        found[name] = {"ask": ask, "answer": {key: value.numpy() for key, value in answers.items()}}
    return found


def _rows(requests: Requests, names: tuple[str, ...]) -> list[tuple[bytes, ...]]:
    rows = [request if isinstance(request, tuple) else (request,) for request in requests]
    if (
        isinstance(requests, bytes | str)
        or not rows
        or not all(isinstance(each, bytes) for row in rows for each in row)
    ):
        raise TypeError(
            "`requests` must be a list, not empty, of bytes: encoded images, or texts as UTF-8 (text.encode()). "
            f"Received: {requests!r:.60}"
        )
    wrong = next((row for row in rows if len(row) != len(names)), None)
    if wrong is not None:
        raise ValueError(f"a request must hold {' and '.join(names)}. Received: {wrong!r:.60}")
    return rows


def _tensors(saved_model: Path) -> dict[str, dict[str, dict[str, str]]]:
    """Read what the tensors of each signature are called in the graph."""
    held = saved_model_pb2.SavedModel.FromString((saved_model / "saved_model.pb").read_bytes())
    return {
        name: {
            side: {key: info.name for key, info in sorted(infos.items())}
            for side, infos in (("ask", signature.inputs), ("answer", signature.outputs))
        }
        for name, signature in held.meta_graphs[0].signature_def.items()
        if not name.startswith("__")
    }


def sample_requests(model: TransferModel, count: int = _STORED) -> list[tuple[bytes, ...]]:
    """Make a few requests that the model does not expect, and some that cannot be read."""
    return modality_of(model.input).sample_requests(model.input, count=count, seed=0)


def _archive(graphs: Mapping[str, Served]) -> tuple[keras.export.ExportArchive, dict[str, Served]]:
    """Register what is served; what comes back runs the very graphs that will be written, traced once."""
    archive = keras.export.ExportArchive()
    # The endpoints alone, without `track(model)`: tracking stores every weight a second time (keras#23553).
    for table in graphs[REQUEST].tables:
        archive.track(table)
    found = {}
    for name, graph in graphs.items():
        endpoint = archive.add_endpoint(name, graph.run, input_signature=list(graph.inputs))
        endpoint.get_concrete_function()  # traced by its first call instead, TensorFlow would warn of many exports
        found[name] = replace(graph, run=endpoint)
    return archive, found
