"""Features of the training examples as arrays, and the linear last layer that they end in."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tltk.balancing.last_layer import LastLayer
from tltk.feature_cache.storage import Cache
from tltk.foundation import keras_graph as graph
from tltk.foundation.errors import InvalidInput
from tltk.foundation.paths import cache_folder
from tltk.models.frozen_split import split_frozen_prefix
from tltk.models.transfer_model import TransferModel
from tltk.trainability.apply import apply_plan
from tltk.trainability.layers import HEAD
from tltk.trainability.plan import freeze
from tltk.training.prepared_data import PreparedSource

_AT_ONCE = 256  # elements that the head computes in one step


@dataclass(frozen=True, eq=False)
class ElementFeatures:
    """Features of the elements of a source that can be read.

    Args:
        features: float32 [n, channels] or, of tokens, [n, tokens, channels].
        rows: Index of each element, int64 [n].
        groups: Example of each element, int64 [n]; None if element i is example i.
    """

    features: np.ndarray
    rows: np.ndarray
    groups: np.ndarray | None


def last_layer(model: TransferModel, classes: int, method: str) -> keras.layers.Dense:
    """Return the linear layer that outputs the logits, whose weights a method changes after the training.

    Args:
        model: Assembled or adopted.
        classes: Number of logits.
        method: What needs the layer, for the error message.

    Raises:
        InvalidInput: If the model does not end in such a layer.
    """
    with_weights = [node.operation for node in graph.nodes(model.keras) if getattr(node.operation, "weights", ())]
    layer: Any = with_weights[-1] if with_weights else None
    is_linear = isinstance(layer, keras.layers.Dense) and layer.units == classes and layer.use_bias
    if not is_linear or layer.activation.__name__ not in ("linear", "softmax", "sigmoid"):
        raise InvalidInput(
            f"the last layer with weights is not a Dense layer with a bias and one unit for each of the {classes} "
            f"classes, which {method} changes after the training. Use a method that changes the training, such as "
            '"inverse" or "balanced_batches".'
        )
    return layer


def read_weights(layer: keras.layers.Dense) -> LastLayer:
    """Return the weights of the last layer."""
    kernel, bias = layer.get_weights()
    return LastLayer(np.asarray(kernel, np.float32), np.asarray(bias, np.float32))


def pooled_features(model: TransferModel, data: PreparedSource, cache: Cache, *, length: int | None) -> ElementFeatures:
    """Compute the outputs of the frozen prefix of a linear probe: the first tensor that the trained layers take.

    Args:
        model: Assembled.
        data: Elements.
        cache: Features on disk are those that training phases use.
        length: Length that elements are padded to; None if they have one shape.
    """
    prefix = _prefix(model)
    outputs, rows = _prefix_outputs(prefix, data, cache, length)
    # The others are masks.
    features = next(output for output, tensor in zip(outputs, prefix.outputs, strict=True) if "float" in tensor.dtype)
    if model.task.uses_pooling and features.ndim > 2:  # a pooling with weights is not part of the prefix
        features = features.mean(axis=tuple(range(1, features.ndim - 1)), dtype=np.float32)
    return ElementFeatures(np.asarray(features, np.float32), rows, _groups(data, rows))


def last_features(
    model: TransferModel, layer: keras.layers.Dense, data: PreparedSource, cache: Cache, *, length: int | None
) -> ElementFeatures:
    """Compute the inputs of the last layer.

    Args:
        model: Trained.
        layer: From `last_layer`.
        data: Elements.
        cache: See `pooled_features`.
        length: See `pooled_features`.
    """
    prefix = _prefix(model)
    outputs, rows = _prefix_outputs(prefix, data, cache, length)
    target = next(node for node in reversed(graph.nodes(model.keras)) if node.operation is layer).input_tensors[0]
    order = graph.ancestor_nodes([target], until=prefix.outputs)
    batches = []
    for start in range(0, len(rows), _AT_ONCE):
        tensors: dict[int, Any] = {
            id(tensor): keras.ops.cast(output[start : start + _AT_ONCE], tensor.dtype)
            for output, tensor in zip(outputs, prefix.outputs, strict=True)
        }
        graph.call_nodes(order, tensors)  # of arrays, in inference mode
        batches.append(keras.ops.convert_to_numpy(tensors[id(target)]))
    return ElementFeatures(np.concatenate(batches).astype(np.float32), rows, _groups(data, rows))


def _prefix(model: TransferModel) -> keras.Model:
    """Return the model up to the trained layers of its head; an adopted model without a head up to its last layer."""
    if HEAD not in model.stages.values():
        last = [node for node in graph.nodes(model.keras) if getattr(node.operation, "weights", ())][-1]
        return keras.Model(model.keras.inputs, last.input_tensors[0])
    with apply_plan(freeze("backbone"), model) as applied_plan:
        prefix = split_frozen_prefix(model.keras, applied_plan.decisions).prefix
    if prefix is None:
        raise InvalidInput("the backbone has no weights: there are no features to balance.")
    return prefix


def _prefix_outputs(
    prefix: keras.Model, data: PreparedSource, cache: Cache, length: int | None
) -> tuple[Sequence[np.ndarray], np.ndarray]:
    stored = {"auto": None, "memory": None, "off": None, "disk": cache_folder() / "prefix"}
    folder = stored[str(cache.storage)] if str(cache.storage) in stored else Path(cache.storage)
    records = data.records(prefix, folder=folder, is_temporary=folder is None, length=length)
    rows = np.array([row for row in range(data.count) if row not in records.invalid], np.int64)
    return records.read(rows), rows


def _groups(data: PreparedSource, rows: np.ndarray) -> np.ndarray | None:
    examples = data.reader.example_ids
    return None if examples is None else examples[rows]
