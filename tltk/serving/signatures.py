"""What a SavedModel computes: requests, tensors → named answers or features, each a graph over the same weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import tensorflow as tf

from tltk.modalities.modality import modality_of
from tltk.modalities.requests import Request
from tltk.models.features import extractor
from tltk.models.transfer_model import TransferModel
from tltk.serving.blanked import blanked

REQUEST, TENSOR, FEATURES = "serving_default", "predict_tensor", "embed"


@dataclass(frozen=True)
class Served:
    """One signature.

    Args:
        run: tensors → named tensors, to be traced.
        inputs: what it takes, named.
        tables: that it looks things up in.
    """

    run: Callable[..., dict[str, tf.Tensor]]
    inputs: tuple[tf.TensorSpec, ...]
    tables: list

    @property
    def names(self) -> tuple[str, ...]:
        """Names of what it takes."""
        return tuple(spec.name for spec in self.inputs)


@lru_cache(maxsize=4)
def request_reader(spec: Any) -> tuple[Callable[..., Request], list]:
    """Build the graph that reads the requests of a model.

    Args:
        spec: of the model.

    Returns:
        Strings [requests], as many as the modality's `request_names` → a `Request`, as one graph that is traced and
        stored once, however many signatures use it. And the lookup tables of the graph.
    """
    modality = modality_of(spec)
    read, tables = modality.request_reader(spec)
    return _graph(read, [tf.TensorSpec([None], tf.string)] * len(modality.request_names(spec))), tables


def served(model: TransferModel) -> dict[str, Served]:
    """Build the signatures of a model.

    Args:
        model: run in inference mode.

    Returns:
        "serving_default" takes requests: images as "image_bytes", texts as "texts", pairs as "texts" and
        "second_texts", or under the names of the task, such as "questions" and "contexts". It returns the columns of
        the task's decoder, and "valid" and "error": for a request that cannot be read the columns are "", 0 or -1.
        "embed" takes the same requests → "features" [batch, channels], "valid", "error".
        "predict_tensor" takes the input of the network, "pixels" [batch, height, width, 3] in [0, 255] or "token_ids"
        [batch, tokens] → the outputs of the network by name, and what the task decodes of them without the texts.
    """
    spec, task = model.input, model.task
    modality = modality_of(spec)
    names = task.request_names(modality.request_names(spec))
    strings = tuple(tf.TensorSpec([None], tf.string, name=name) for name in names)
    tensor = (tf.TensorSpec([None, *spec.shape], spec.dtype, name=spec.name),)
    read, tables = request_reader(spec)
    whole = modality.whole_examples(spec)  # features are of a text, not of its windows
    read_whole, more_tables = request_reader(whole) if whole != spec else (read, [])
    network = _graph(partial(model.keras, training=False), tensor)
    features = extractor(model, "avg")

    def answer(*request: tf.Tensor) -> dict[str, tf.Tensor]:
        requested = read(*request)
        columns = task.decode(network(requested.inputs), requested.context)
        kept = blanked(columns, requested.valid, keep=task.constant_columns)
        return {**kept, "valid": requested.valid, "error": requested.error}

    def embed(*request: tf.Tensor) -> dict[str, tf.Tensor]:
        requested = read_whole(*request)
        columns = {"features": tf.cast(features(requested.inputs, training=False), tf.float32)}
        return {**blanked(columns, requested.valid), "valid": requested.valid, "error": requested.error}

    def predict(tensor: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = network(tensor)
        return {**task.named_outputs(outputs), **task.decode_elements(outputs)}

    return {
        REQUEST: Served(_handle_empty_batch(answer), strings, [*tables, *more_tables]),
        TENSOR: Served(_handle_empty_batch(predict), tensor, []),
        FEATURES: Served(_handle_empty_batch(embed), strings, [*tables, *more_tables]),
    }


def _graph(run: Callable[..., Any], inputs: Sequence[tf.TensorSpec]) -> Callable[..., Any]:
    """Trace once, for all callers; a tf.function would be traced again inside another."""
    return tf.function(run, input_signature=inputs, autograph=False).get_concrete_function()


def _handle_empty_batch(run: Callable[..., dict[str, tf.Tensor]]) -> Callable[..., dict[str, tf.Tensor]]:
    """Fill an empty batch with one blank element, and drop its answer: fused batch norms fail on empty batches."""

    def handled(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        count = tf.shape(inputs[0])[:1]
        filled = []
        for tensor in inputs:
            shape = tf.concat([tf.cast(count == 0, tf.int32), tf.shape(tensor)[1:]], 0)
            filled.append(tf.ensure_shape(tf.concat([tensor, tf.zeros(shape, tensor.dtype)], 0), tensor.shape))
        return {name: value[: count[0]] for name, value in run(*filled).items()}

    return handled
