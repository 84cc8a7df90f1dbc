"""Writes a SavedModel and the certificate inside it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import keras
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tltk.foundation import files
from tltk.foundation.errors import InvalidInput, InvalidType, ServingError
from tltk.modalities.modality import modality_of
from tltk.models.transfer_model import TransferModel
from tltk.serving import certificate, warmup
from tltk.serving.agreement import (
    feature_differences,
    prediction_differences,
    source_differences,
    tensor_differences,
)
from tltk.serving.folding import fold_batch_norms
from tltk.serving.signatures import FEATURES, REQUEST, TENSOR, Signature, build_signatures, request_reader

Requests: TypeAlias = Sequence[bytes | tuple[bytes, ...]]
_SAMPLE_REQUESTS = 24  # valid requests in a certificate; the modality adds a few invalid ones
_STORED_TENSORS = 2  # requests that are also stored as network inputs
_FOLDED_TOLERANCE = 1e-4  # folded batch norms round differently
_LISTED_DIFFERENCES = 10

DESCRIPTION = "model.json"  # written if the outputs assume a prior, or thresholds or costs decide
_DECISIONS = {"prior", "factors", "costs", "thresholds"}


def write(
    model: TransferModel,
    folder: Path,
    requests: Requests | None,
    *,
    fold_batch_norm: bool = False,
    warmup_name: str | None = None,
) -> None:
    """Write a SavedModel and its certificate.

    Args:
        model: Model to serve; runs in inference mode.
        folder: Folder to create.
        requests: Requests to store in the certificate; None generates some.
        fold_batch_norm: Whether to fold batch norms into the convolutions before them (float32 models). The stored
            outputs are those of the unfolded model.
        warmup_name: Name under which TensorFlow Serving serves the model, to store warm-up requests; None stores none.

    Raises:
        ServingError: If the SavedModel would not return the results of `tltk.predict` and `tltk.embed`.
    """
    request_tuples = _request_tuples(model, requests)  # wrong ones are an error before the graphs are traced
    archive, signatures = _build_archive(build_signatures(model))
    stored = _checked_examples(model, signatures, request_tuples)
    network = fold_batch_norms(model.keras)[0] if fold_batch_norm else model.keras
    tolerance = certificate.TOLERANCE
    if network is not model.keras:
        archive, _ = _build_archive(build_signatures(replace(model, keras=network)))
        tolerance = _FOLDED_TOLERANCE
    archive.write_out(str(folder), verbose=False)
    certificate.write(folder, stored, tensors=_tensor_names(folder), tolerance=tolerance)
    decision = model.task.describe_decoding()
    if _DECISIONS & decision.keys():
        files.write_json(folder / DESCRIPTION, {"task": model.task.name, "decoding": decision})
    if warmup_name is not None:
        warmup.write(folder, stored, name=warmup_name)


def _request_tuples(model: TransferModel, requests: Requests | None) -> list[tuple[bytes, ...]]:
    """Check the requests, or generate some; [] if inputs of the model cannot be encoded."""
    names = modality_of(model.input_spec).request_names(model.input_spec)
    if names:
        samples = requests if requests is not None else sample_requests(model)
        return _as_tuples(samples, model.task.request_names(names))
    if requests is not None:
        raise InvalidInput(
            "`requests` does not apply: inputs of this model are not encoded as files or texts, and the SavedModel has "
            "the signature predict_tensor only."
        )
    return []


def _checked_examples(
    model: TransferModel, signatures: Mapping[str, Signature], request_tuples: Sequence[tuple[bytes, ...]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Run requests, or inputs of the network without requests, and compare the outputs with `tltk.predict`.

    Returns:
        Signature → "inputs" and "outputs" → name → values, for the certificate.
    """
    if request_tuples:
        stored = run_requests(model, signatures, request_tuples)
        differences = prediction_differences(model, request_tuples, stored[REQUEST]["outputs"])
        differences += feature_differences(model, request_tuples, stored[FEATURES]["outputs"])
        for kind in modality_of(model.input_spec).tensor_requests(model.input_spec):
            sources = kind.sources([*stored[kind.signature]["inputs"].values()])
            differences += source_differences(model, sources, stored[kind.signature]["outputs"])
    else:
        tensor = modality_of(model.input_spec).sample_inputs(model.input_spec, count=_SAMPLE_REQUESTS, seed=0)
        stored = {TENSOR: _run(signatures[TENSOR], [tensor])}
        differences = tensor_differences(model, tensor, stored[TENSOR]["outputs"])
    if differences:
        heading = f"the SavedModel would not return what tltk.predict and tltk.embed return ({len(differences)}):"
        raise ServingError("\n".join([heading, *differences[:_LISTED_DIFFERENCES]]))
    return stored


def run_requests(
    model: TransferModel, signatures: Mapping[str, Signature], requests: Sequence[tuple[bytes, ...]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Run requests through every signature, for the certificate.

    Args:
        model: Model of the signatures.
        signatures: Result of `build_signatures(model)`.
        requests: A tuple of bytes for each request: an encoded image, a text as UTF-8, or a pair of texts.

    Returns:
        Signature → "inputs" and "outputs" → name → values [requests, …], as `certificate.write` takes
        them.
    """
    strings = [[request[index] for request in requests] for index in range(len(signatures[REQUEST].inputs))]
    first_strings = (tf.constant(column[:_STORED_TENSORS], tf.string) for column in strings)
    tensor = request_reader(model.input_spec)[0](*first_strings).inputs.numpy()
    samples = {
        kind.signature: kind.sample() for kind in modality_of(model.input_spec).tensor_requests(model.input_spec)
    }
    inputs: dict[str, Sequence[Any]] = {TENSOR: [tensor], **samples}
    return {name: _run(signature, inputs.get(name, strings)) for name, signature in signatures.items()}


def _run(signature: Signature, inputs: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Return "inputs" and "outputs" of a signature: name → values."""
    outputs = signature.run(
        *(tf.constant(column, spec.dtype) for column, spec in zip(inputs, signature.inputs, strict=True))
    )
    return {
        "inputs": dict(zip(signature.input_names, inputs, strict=True)),
        "outputs": {key: value.numpy() for key, value in outputs.items()},
    }


def _as_tuples(requests: Requests, names: tuple[str, ...]) -> list[tuple[bytes, ...]]:
    """Check requests and return each of them as a tuple of strings, one for each input name."""
    tuples = [request if isinstance(request, tuple) else (request,) for request in requests]
    if (
        isinstance(requests, bytes | str)
        or not tuples
        or not all(isinstance(string, bytes) for request in tuples for string in request)
    ):
        raise InvalidType(
            "`requests` must be a non-empty list of bytes: encoded images, or texts as UTF-8 (text.encode()). "
            f"Received: {requests!r:.60}"
        )
    wrong = next((request for request in tuples if len(request) != len(names)), None)
    if wrong is not None:
        raise InvalidInput(f"each request must contain {' and '.join(names)}. Received: {wrong!r:.60}")
    return tuples


def _tensor_names(saved_model: Path) -> dict[str, dict[str, dict[str, str]]]:
    """Read the names of the input and output tensors of each signature in the graph."""
    message = saved_model_pb2.SavedModel.FromString((saved_model / "saved_model.pb").read_bytes())
    return {
        name: {
            side: {key: info.name for key, info in sorted(infos.items())}
            for side, infos in (("inputs", signature.inputs), ("outputs", signature.outputs))
        }
        for name, signature in message.meta_graphs[0].signature_def.items()
        if not name.startswith("__")
    }


def sample_requests(model: TransferModel, count: int = _SAMPLE_REQUESTS) -> list[tuple[bytes, ...]]:
    """Generate `count` valid requests and a few that cannot be read."""
    return modality_of(model.input_spec).sample_requests(model.input_spec, count=count, seed=0)


def _build_archive(signatures: Mapping[str, Signature]) -> tuple[keras.export.ExportArchive, dict[str, Signature]]:
    """Trace the signatures into an archive; the returned signatures run the graphs that will be written."""
    archive = keras.export.ExportArchive()
    # Only endpoints and tables: `track(model)` would store every weight a second time (keras#23553).
    for table in signatures[REQUEST].tables if REQUEST in signatures else ():
        archive.track(table)
    traced = {}
    for name, signature in signatures.items():
        endpoint = archive.add_endpoint(name, signature.run, input_signature=list(signature.inputs))
        endpoint.get_concrete_function()  # if traced by its first call, many exports would warn about retracing
        traced[name] = replace(signature, run=endpoint)
    return archive, traced
