"""Networks and decoders of models as TensorFlow graphs, traced once per model."""

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tltk.modalities.context import Context
from tltk.models.features import extractor
from tltk.models.transfer_model import TransferModel
from tltk.tasks.base import Task

Network = Callable[[Any], Any]
# Graphs do not refer to their model, so that they are freed with it.
_graphs: "weakref.WeakKeyDictionary[keras.Model, _Graphs]" = weakref.WeakKeyDictionary()


class _Graphs:
    """The graphs of one model, and the ids of the weights that they read."""

    def __init__(self, model: TransferModel) -> None:
        self.weights = _weight_ids(model.keras)
        self.network = _trace_network(model)
        self.decoder = Decoder(model.task)
        self.extractors: dict[str | None, tuple[Any, keras.Model]] = {}  # pooling → what it depends on, and the model


def network_of(model: TransferModel) -> Network:
    """Return a model in inference mode as a graph.

    Args:
        model: Its weights may change later: the graph reads them in every call.

    Returns:
        Inputs [batch, …] → outputs of the Keras model.
    """
    return _graphs_of(model).network


def decoder_of(model: TransferModel) -> "Decoder":
    """Return the decoder of a model's task as a graph."""
    graphs = _graphs_of(model)
    if graphs.decoder.task != model.task:
        graphs.decoder = Decoder(model.task)
    return graphs.decoder


def extractor_of(model: TransferModel, pooling: str | None) -> keras.Model:
    """Return the model that computes the features of a model, built once for each pooling; see `extractor`."""
    extractors = _graphs_of(model).extractors
    depends_on = model.stages, model.input_spec
    if pooling not in extractors or extractors[pooling][0] != depends_on:
        extractors[pooling] = depends_on, extractor(model, pooling)
    return extractors[pooling][1]


class Decoder:
    """Runs `task.decode` in a graph, traced once for each combination of dtypes and ranks.

    Args:
        task: Task whose outputs are decoded.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self._traced: dict[Any, Callable[..., dict[str, tf.Tensor]]] = {}

    def __call__(self, outputs: Any, context: Context) -> dict[str, np.ndarray]:
        """Decode the outputs for all elements of some examples.

        Args:
            outputs: float [elements, …], a tensor or array, or a dict of them.
            context: Context of these elements.

        Returns:
            Column → [examples, …], without the columns of the task that only exports return; strings as `str`.
        """
        values = tf.nest.map_structure(lambda value: tf.cast(value, tf.float32), outputs)
        tensors = tf.nest.flatten((values, context), expand_composites=True)
        specs = tf.nest.map_structure(_open_spec, (values, context))
        key = tuple(tf.nest.flatten(specs))
        if key not in self._traced:
            self._traced[key] = _trace_decoder(self.task, specs)
        columns = self._traced[key](*(tensor for tensor in tensors if tensor is not None))
        return {name: as_array(column) for name, column in columns.items()}


def as_array(column: tf.Tensor) -> np.ndarray:
    """Return a tensor as an array; UTF-8 strings as an object array of `str`."""
    values = np.asarray(column)
    if values.dtype != object:
        return values
    texts = np.empty(values.size, object)
    texts[:] = [text.decode() for text in values.ravel()]
    return texts.reshape(values.shape)


def _graphs_of(model: TransferModel) -> _Graphs:
    graphs = _graphs.get(model.keras)
    # LoRA and quantization replace weights of a layer, so that the graph would read the former ones.
    if graphs is None or graphs.weights != _weight_ids(model.keras):
        graphs = _graphs[model.keras] = _Graphs(model)
    return graphs


def _weight_ids(model: keras.Model) -> tuple[int, ...]:
    return tuple(map(id, model.weights))


def _trace_network(model: TransferModel) -> Network:
    reference = weakref.ref(model.keras)

    def run(inputs: tf.Tensor) -> Any:
        network: Any = reference()
        return network(inputs, training=False)

    signature = [tf.TensorSpec([None, *model.input_spec.shape], model.input_spec.dtype)]
    return tf.function(run, input_signature=signature, autograph=False).get_concrete_function()


def _trace_decoder(task: Task, specs: Any) -> Callable[..., dict[str, tf.Tensor]]:
    flat_specs = tf.nest.flatten(specs)

    def run(*tensors: Any) -> dict[str, tf.Tensor]:
        remaining = iter(tensors)
        flat_values = [None if spec is None else next(remaining) for spec in flat_specs]
        outputs, context = tf.nest.pack_sequence_as(specs, flat_values)
        columns: Mapping[str, tf.Tensor] = task.decode(outputs, context)
        left_out = (*task.constant_columns, *task.export_columns)
        return {name: column for name, column in columns.items() if name not in left_out}

    signature = [spec for spec in flat_specs if spec is not None]
    graph = tf.function(run, input_signature=signature, autograph=False).get_concrete_function()

    def call(*components: tf.Tensor) -> dict[str, tf.Tensor]:
        return graph(*tf.nest.pack_sequence_as(signature, components, expand_composites=True))

    return call


def _open_spec(value: Any) -> Any:
    """Return the spec of a tensor in which all sizes are open except the last one, which the network fixes."""
    if value is None:
        return None
    if isinstance(value, tf.RaggedTensor):
        return tf.RaggedTensorSpec([None, None], value.dtype, ragged_rank=1, row_splits_dtype=tf.int64)
    rank = value.shape.rank
    return tf.TensorSpec([None] * (rank - 1) + [value.shape[-1]] if rank > 1 else [None] * rank, value.dtype)
