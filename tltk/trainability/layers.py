"""The layers of any Keras model as plans see them: in graph order, each with its stage and its parameters."""

import math
import re
from dataclasses import dataclass
from typing import Protocol

import keras

from tltk.foundation import keras_graph as graph
from tltk.foundation import keras_private as private
from tltk.foundation.errors import InvalidType

HEAD = "head"
_NORMALIZATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
    keras.layers.RMSNormalization,
)
_AFFINE = {"gamma", "beta", "scale", "shift", "offset", "weight", "bias"}


class HasStages(Protocol):
    """Anything that holds a Keras model and names the stage of each layer (a TransferModel does)."""

    @property
    def keras(self) -> keras.Model: ...

    @property
    def stages(self) -> dict[str, str]: ...


@dataclass(frozen=True)
class LayerRow:
    """One top-level layer of a model.

    Args:
        name: Name of the layer in the model.
        stage: "stem", "conv2" … "head", or "" where the model declares no stages.
        layer: The Keras layer or operation.
        parameters: Number of weights, moving statistics included.
    """

    name: str
    stage: str
    layer: keras.Operation
    parameters: int


def layer_rows(model: keras.Model | HasStages) -> list[LayerRow]:
    """List the layers of a model in graph order, without its inputs."""
    keras_model, stages = model_and_stages(model)
    layers = [layer for layer in keras_model.layers if not isinstance(layer, keras.layers.InputLayer)]
    return [LayerRow(layer.name, stages.get(layer.name, ""), layer, parameters(layer)) for layer in layers]


def model_and_stages(model: keras.Model | HasStages) -> tuple[keras.Model, dict[str, str]]:
    """Return the Keras model, and its stages by layer name: none for a model that tltk did not assemble.

    Raises:
        InvalidType: If `model` is neither a Keras model nor a TransferModel.
    """
    if isinstance(model, keras.Model):
        return model, {}
    if isinstance(getattr(model, "keras", None), keras.Model):
        return model.keras, dict(model.stages)
    raise InvalidType(f"`model` must be a keras.Model or returned by tltk.assemble. Received: {type(model).__name__}")


def sublayers(layer: keras.Operation) -> list[keras.Layer]:
    """List a layer and every layer inside it, outermost first; nothing for an operation that is not a layer."""
    return private.flattened_sublayers(layer) if isinstance(layer, keras.Layer) else []


def sublayers_by_path(layer: keras.Operation) -> dict[str, keras.Layer]:
    """Name every layer inside a layer by its path.

    Args:
        layer: A top-level layer of a model.

    Returns:
        Path → layer, each once, such as "self_attention_layer/query"; a layer without sublayers is listed under its own
        name. Names that Keras has numbered ("dense_17") are numbered anew within their parent, so that the same network
        has the same paths in every session.
    """
    if not isinstance(layer, keras.Layer):
        return {}
    if not private.direct_sublayers(layer):
        return {layer.name: layer}
    paths: dict[str, keras.Layer] = {}
    _add_sublayers(layer, "", paths, {id(layer)})
    return paths


def _add_sublayers(layer: keras.Layer, prefix: str, paths: dict[str, keras.Layer], visited: set[int]) -> None:
    counts: dict[str, int] = {}
    for sublayer in private.direct_sublayers(layer):
        name = graph.sibling_name(sublayer, counts)
        if id(sublayer) in visited or isinstance(sublayer, keras.layers.InputLayer):
            continue
        visited.add(id(sublayer))
        path = f"{prefix}{name}"
        while path in paths:  # two sublayers may have the same name
            path = f"{path}~"
        paths[path] = sublayer
        _add_sublayers(sublayer, f"{path}/", paths, visited)


def set_trainable(flags: list[tuple[keras.Layer, bool]]) -> None:
    """Set the `trainable` flags of many layers, containers first: setting a flag overwrites those of all sublayers."""
    for layer, flag in sorted(flags, key=lambda pair: -len(sublayers(pair[0]))):
        layer.trainable = flag


def parameters(layer: keras.Layer) -> int:
    """Count the weights of a layer, moving statistics included, random states excluded."""
    return sum(math.prod(weight.shape) for weight in getattr(layer, "weights", ()))


def is_normalization(layer: keras.Layer) -> bool:
    """Tell whether a layer scales and shifts normalized activations, and has no other trainable weights.

    These are Keras' own norms and, by the names of their classes, those that KerasHub and users define
    ("T5LayerNorm"): they have no common base class. A layer that contains others ("ConvNormAct") is not one.
    """
    if isinstance(layer, _NORMALIZATIONS):
        return True
    name_matches = bool(re.search(r"norm(alization)?(\d+d)?$", type(layer).__name__, re.IGNORECASE))
    is_composite = bool(private.direct_sublayers(layer))
    return name_matches and not is_composite and {weight.name for weight in own_trainable(layer)} <= _AFFINE


def own_trainable(layer: keras.Layer) -> list[keras.Variable]:
    """List the variables of the layer itself that can learn, frozen or not."""
    return private.own_trainable_variables(layer)


def own_state(layer: keras.Layer) -> list[keras.Variable]:
    """List the variables of the layer itself that never get a gradient, such as moving statistics."""
    return private.own_state_variables(layer)


def is_normalization_with_statistics(layer: keras.Layer) -> bool:
    """Tell whether a layer keeps moving statistics, as batch norm does."""
    return isinstance(layer, keras.layers.BatchNormalization)
