"""Builds the signatures of a SavedModel: functions of requests or tensors that share the weights of one model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import tensorflow as tf

from tltk.modalities.modality import modality_of
from tltk.modalities.requests import Request
from tltk.models.features import extractor
from tltk.models.transfer_model import TransferModel
from tltk.serving.masking import mask_invalid

REQUEST, TENSOR, FEATURES = "serving_default", "predict_tensor", "embed"


@dataclass(frozen=True)
class Signature:
    """One signature of a SavedModel.

    Args:
        run: Function to trace: input tensors → output name → tensor.
        inputs: Names, shapes and dtypes of the inputs.
        tables: Lookup tables that the function uses, which the SavedModel must track.
    """

    run: Callable[..., dict[str, tf.Tensor]]
    inputs: tuple[tf.TensorSpec, ...]
    tables: list

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs."""
        return tuple(spec.name for spec in self.inputs)


@lru_cache(maxsize=4)
def request_reader(spec: Any) -> tuple[Callable[..., Request], list]:
    """Build the graph that reads the requests of a model.

    Args:
        spec: Input spec of the model.

    Returns:
        A function of string tensors [requests], one for each of the modality's `request_names`, that returns a
        `Request`; it is one graph, traced and stored once for all signatures. And the lookup tables of the graph.
    """
    modality = modality_of(spec)
    read, tables = modality.request_reader(spec)
    return _graph(read, [tf.TensorSpec([None], tf.string)] * len(modality.request_names(spec))), tables


def build_signatures(model: TransferModel) -> dict[str, Signature]:
    """Build the signatures of a model.

    Args:
        model: Model to serve; runs in inference mode.

    Returns:
        "serving_default" takes requests: images as "image_bytes", texts as "texts", pairs as "texts" and
        "second_texts", or under the names of the task, such as "questions" and "contexts". It returns the outputs of
        the task's decoder, "valid" and "error"; the outputs of invalid requests are "", 0 or -1.
        "embed" takes the same requests and returns "features" [batch, channels], "valid" and "error".
        "predict_tensor" takes the input of the network, "pixels" [batch, height, width, 3] in [0, 255] or "token_ids"
        [batch, tokens], and returns the outputs of the network and those that the task can decode without the texts. It
        is the only signature if inputs cannot be encoded as strings, such as multispectral images.
        And one for each of the modality's `tensor_requests`, with the outputs of "serving_default", such as
        "predict_waveform" of samples with their rate.
    """
    spec, task = model.input_spec, model.task
    modality = modality_of(spec)
    network = _graph(partial(model.keras, training=False), [_tensor_spec(spec)])
    tensor_signature = _tensor_signature(model, network)
    if not modality.request_names(spec):
        return {TENSOR: tensor_signature}
    names = task.request_names(modality.request_names(spec))
    request_specs = tuple(tf.TensorSpec([None], tf.string, name=name) for name in names)
    read, tables = request_reader(spec)
    whole_spec = modality.without_windows(spec)  # features describe a whole text, not its windows
    read_whole, more_tables = request_reader(whole_spec) if whole_spec != spec else (read, [])
    features = extractor(model, "avg")

    def predicting(read: Callable[..., Request]) -> Callable[..., dict[str, tf.Tensor]]:
        def predict(*requests: tf.Tensor) -> dict[str, tf.Tensor]:
            request = read(*requests)
            outputs = task.decode(network(request.inputs), request.context)
            masked = mask_invalid(outputs, request.valid, keep=task.constant_columns)
            return {**masked, "valid": request.valid, "error": request.error}

        return _handle_empty_batch(predict)

    def embed(*strings: tf.Tensor) -> dict[str, tf.Tensor]:
        request = read_whole(*strings)
        outputs = {"features": tf.cast(features(request.inputs, training=False), tf.float32)}
        return {**mask_invalid(outputs, request.valid), "valid": request.valid, "error": request.error}

    return {
        REQUEST: Signature(predicting(read), request_specs, [*tables, *more_tables]),
        TENSOR: tensor_signature,
        FEATURES: Signature(_handle_empty_batch(embed), request_specs, [*tables, *more_tables]),
        **{
            requests.signature: Signature(predicting(requests.read), requests.inputs, [])
            for requests in modality.tensor_requests(spec)
        },
    }


def _tensor_spec(spec: Any) -> tf.TensorSpec:
    return tf.TensorSpec([None, *spec.shape], spec.dtype, name=spec.name)


def _tensor_signature(model: TransferModel, network: Callable[..., Any]) -> Signature:
    """Build `predict_tensor` from the graph of the network."""

    def predict_tensor(tensor: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = network(tensor)
        return {**model.task.named_outputs(outputs), **model.task.decode_elements(outputs)}

    return Signature(_handle_empty_batch(predict_tensor), (_tensor_spec(model.input_spec),), [])


def _graph(run: Callable[..., Any], inputs: Sequence[tf.TensorSpec]) -> Callable[..., Any]:
    """Trace a function once for all callers; a tf.function would be traced again inside of another one."""
    return tf.function(run, input_signature=inputs, autograph=False).get_concrete_function()


def _for_each_request(tensor: tf.Tensor, batch_size: tf.Tensor) -> tf.Tensor:
    """Repeat one value for all requests; tensors of known rank have an axis of requests."""
    return tensor if tensor.shape.rank is not None else tf.ensure_shape(tf.broadcast_to(tensor, batch_size), [None])


def _handle_empty_batch(run: Callable[..., dict[str, tf.Tensor]]) -> Callable[..., dict[str, tf.Tensor]]:
    """Run an empty batch as one blank element and drop its outputs: fused batch norms fail on empty batches.

    Inputs of unknown rank are one value for each request, or one for all of them; the function gets [batch].
    """

    def run_nonempty(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        batch_size = tf.shape(inputs[0])[:1]
        padded = []
        for tensor in (_for_each_request(tensor, batch_size) for tensor in inputs):
            padding = tf.concat([tf.cast(batch_size == 0, tf.int32), tf.shape(tensor)[1:]], 0)
            padded.append(tf.ensure_shape(tf.concat([tensor, tf.zeros(padding, tensor.dtype)], 0), tensor.shape))
        return {name: tensor[: batch_size[0]] for name, tensor in run(*padded).items()}

    return run_nonempty
