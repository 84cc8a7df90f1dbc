"""One view of any Keras model for plans: its layers in order, each with its stage and its parameters."""

import math
from dataclasses import dataclass
from typing import Protocol

import keras

HEAD_PREFIX = "head_"


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
    # Keras has no public walk over the sublayers of a composite *layer*; `layers` exists on models only.
    return list(layer._flatten_layers(include_self=True, recursive=True))


def parameters(layer: keras.Layer) -> int:
    """Count the weights of a layer, moving statistics included, random states left out."""
    return sum(math.prod(weight.shape) for weight in getattr(layer, "weights", ()))


def is_normalization_with_statistics(layer: keras.Layer) -> bool:
    """Tell whether a layer keeps moving statistics, as batch norm does."""
    return isinstance(layer, keras.layers.BatchNormalization)
