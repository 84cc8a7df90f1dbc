"""One view of any Keras model for plans: its layers in order, each with its stage and its parameters."""

import math
import re
from dataclasses import dataclass
from typing import Protocol

import keras

from tltk.foundation import keras_graph as graph
from tltk.foundation import keras_private as private

HEAD = "head"
_NORMALIZATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
    keras.layers.RMSNormalization,
)
_AFFINE = {"gamma", "beta", "scale", "shift", "offset", "weight", "bias"}


class HasStages(Protocol):
    """Anything that carries a Keras model and says which stage each layer belongs to (a TransferModel does)."""

    @property
    def keras(self) -> keras.Model: ...

    @property
    def stages(self) -> dict[str, str]: ...


@dataclass(frozen=True)
class LayerRow:
    """One top-level layer as a plan sees it.

    Args:
        name: its name in the model.
        stage: "stem", "conv2" … "head", or "" where the model declares no stages.
        layer: the Keras layer (or operation) itself.
        parameters: number of weights, moving statistics included.
    """

    name: str
    stage: str
    layer: keras.Operation
    parameters: int


def rows(model: keras.Model | HasStages) -> list[LayerRow]:
    """List the layers of a model in the order of its graph, inputs left out."""
    plain, stages = model_and_stages(model)
    found = [layer for layer in plain.layers if not isinstance(layer, keras.layers.InputLayer)]
    return [LayerRow(layer.name, stages.get(layer.name, ""), layer, parameters(layer)) for layer in found]


def model_and_stages(model: keras.Model | HasStages) -> tuple[keras.Model, dict[str, str]]:
    """Return the plain Keras model and its stage table, which is empty for a model that tltk did not assemble."""
    if isinstance(model, keras.Model):
        return model, {}
    if isinstance(getattr(model, "keras", None), keras.Model):
        return model.keras, dict(model.stages)
    raise TypeError(f"`model` must be a keras.Model or what tltk.assemble returned. Received: {type(model).__name__}")


def sublayers(layer: keras.Operation) -> list[keras.Layer]:
    """List a layer and every layer inside it, outermost first; an operation that is no layer has none."""
    if not isinstance(layer, keras.Layer):
        return []
    return private.flattened_sublayers(layer)


def named_parts(layer: keras.Operation) -> dict[str, keras.Layer]:
    """Name every layer inside a layer by its path there.

    Args:
        layer: a top-level layer of a model.

    Returns:
        Path → layer, each once: "self_attention_layer/query"; a layer without sublayers has its own name alone.
        Names that Keras made up with a counter ("dense_17") are counted anew within their parent, so that the same
        network has the same paths in every session.
    """
    if not isinstance(layer, keras.Layer):
        return {}
    if not private.direct_sublayers(layer):
        return {layer.name: layer}
    found: dict[str, keras.Layer] = {}
    _walk(layer, "", found, {id(layer)})
    return found


def _walk(layer: keras.Layer, before: str, found: dict[str, keras.Layer], seen: set[int]) -> None:
    counts: dict[str, int] = {}
    for part in private.direct_sublayers(layer):
        name = graph.counted_anew(part, counts)
        if id(part) in seen or isinstance(part, keras.layers.InputLayer):
            continue
        seen.add(id(part))
        path = f"{before}{name}"
        while path in found:  # two parts of one name: Keras allows it
            path = f"{path}~"
        found[path] = part
        _walk(part, f"{path}/", found, seen)


def set_trainable(flags: list[tuple[keras.Layer, bool]]) -> None:
    """Set the `trainable` flag of many layers, containers first: setting one overwrites all that is inside it."""
    for layer, flag in sorted(flags, key=lambda pair: -len(sublayers(pair[0]))):
        layer.trainable = flag


def parameters(layer: keras.Layer) -> int:
    """Count the weights of a layer, moving statistics included, random states left out."""
    return sum(math.prod(weight.shape) for weight in getattr(layer, "weights", ()))


def is_normalization(layer: keras.Layer) -> bool:
    """Tell whether a layer scales and shifts normalized activations, and does nothing else that learns.

    Keras' own kinds, and by their names those that KerasHub and users define ("T5LayerNorm"): there is no common
    base class. A layer that holds others ("ConvNormAct") is none itself.
    """
    if isinstance(layer, _NORMALIZATIONS):
        return True
    named = re.search(r"norm(alization)?(\d+d)?$", type(layer).__name__, re.IGNORECASE)
    composite = bool(private.direct_sublayers(layer))
    return bool(named) and not composite and {variable.name for variable in own_trainable(layer)} <= _AFFINE


def own_trainable(layer: keras.Layer) -> list[keras.Variable]:
    """List the variables that a layer itself holds and that can learn, whether or not they are switched off."""
    return private.own_trainable_variables(layer)


def own_state(layer: keras.Layer) -> list[keras.Variable]:
    """List the variables that a layer itself holds and that never get a gradient, such as moving statistics."""
    return private.own_state_variables(layer)


def is_normalization_with_statistics(layer: keras.Layer) -> bool:
    """Tell whether a layer keeps moving statistics, as batch norm does."""
    return isinstance(layer, keras.layers.BatchNormalization)
