"""Networks and decoders as graphs, traced once for each model however often it is asked."""

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tltk.modalities.context import Context
from tltk.models.transfer_model import TransferModel
from tltk.tasks.base import Task

Network = Callable[[Any], Any]
# Graphs hold no reference to their model: they live exactly as long as it does.
_traced: "weakref.WeakKeyDictionary[keras.Model, _Traced]" = weakref.WeakKeyDictionary()


class _Traced:
    """The graphs of one model, and the ids of the weights that they read."""

    def __init__(self, model: TransferModel) -> None:
        self.weights = _weight_ids(model.keras)
        self.network = _trace_network(model)
        self.decoder = Decoder(model.task)


def network_of(model: TransferModel) -> Network:
    """Return a model in inference mode as a graph.

    Args:
        model: its weights may change afterwards; the graph reads them anew in each call.

    Returns:
        Inputs [batch, …] → outputs as the Keras model returns them.
    """
    return _graphs_of(model).network


def decoder_of(model: TransferModel) -> "Decoder":
    """Return the decoder of a model's task as a graph."""
    graphs = _graphs_of(model)
    if graphs.decoder.task != model.task:
        graphs.decoder = Decoder(model.task)
    return graphs.decoder


class Decoder:
    """Runs `task.decode` in a graph, traced once for each kind of context.

    Args:
        task: whose decoder it is.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self._graphs: dict[Any, Callable[..., dict[str, tf.Tensor]]] = {}

    def __call__(self, outputs: Any, context: Context) -> dict[str, np.ndarray]:
        """Decode the outputs for some whole examples.

        Args:
            outputs: float [elements, …], a tensor or array, or a dict of them.
            context: of these elements.

        Returns:
            Column → [examples, …] without the task's constant columns; strings as `str`.
        """
        values = tf.nest.map_structure(lambda value: tf.cast(value, tf.float32), outputs)
        tensors = tf.nest.flatten((values, context), expand_composites=True)
        specs = tf.nest.map_structure(_open_spec, (values, context))
        key = tuple(tf.nest.flatten(specs))
        if key not in self._graphs:
            self._graphs[key] = _trace_decoder(self.task, specs)
        columns = self._graphs[key](*(tensor for tensor in tensors if tensor is not None))
        return {name: as_array(column) for name, column in columns.items()}


def as_array(column: tf.Tensor) -> np.ndarray:
    """Return a tensor as an array; strings, UTF-8, as an object array of `str`."""
    values = np.asarray(column)
    if values.dtype != object:
        return values
    texts = np.empty(values.size, object)
    texts[:] = [text.decode() for text in values.ravel()]
    return texts.reshape(values.shape)


def _graphs_of(model: TransferModel) -> _Traced:
    graphs = _traced.get(model.keras)
    # A layer that got LoRA, or was quantized, has other weights than those that the graph reads.
    if graphs is None or graphs.weights != _weight_ids(model.keras):
        graphs = _traced[model.keras] = _Traced(model)
    return graphs


def _weight_ids(model: keras.Model) -> tuple[int, ...]:
    return tuple(map(id, model.weights))


def _trace_network(model: TransferModel) -> Network:
    this = weakref.ref(model.keras)

    def run(inputs: tf.Tensor) -> Any:
        network: Any = this()
        return network(inputs, training=False)

    signature = [tf.TensorSpec([None, *model.input.shape], model.input.dtype)]
    return tf.function(run, input_signature=signature, autograph=False).get_concrete_function()


def _trace_decoder(task: Task, specs: Any) -> Callable[..., dict[str, tf.Tensor]]:
    flat = tf.nest.flatten(specs)

    def run(*tensors: Any) -> dict[str, tf.Tensor]:
        given = iter(tensors)
        outputs, context = tf.nest.pack_sequence_as(specs, [None if spec is None else next(given) for spec in flat])
        columns: Mapping[str, tf.Tensor] = task.decode(outputs, context)
        return {name: column for name, column in columns.items() if name not in task.constant_columns}

    signature = [spec for spec in flat if spec is not None]
    graph = tf.function(run, input_signature=signature, autograph=False).get_concrete_function()

    def call(*components: tf.Tensor) -> dict[str, tf.Tensor]:
        return graph(*tf.nest.pack_sequence_as(signature, components, expand_composites=True))

    return call


def _open_spec(value: Any) -> Any:
    """Return the spec of a tensor with open sizes, but for the last axis of outputs, which the network fixes."""
    if value is None:
        return None
    if isinstance(value, tf.RaggedTensor):
        return tf.RaggedTensorSpec([None, None], value.dtype, ragged_rank=1, row_splits_dtype=tf.int64)
    rank = value.shape.rank
    return tf.TensorSpec([None] * (rank - 1) + [value.shape[-1]] if rank > 1 else [None] * rank, value.dtype)
