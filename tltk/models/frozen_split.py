"""Phase views: a model split at its frozen boundary, sharing its layers, so that training it trains the model."""

from dataclasses import dataclass
from typing import Any

import keras

from tltk.foundation import keras_graph as graph
from tltk.foundation import keras_private as private
from tltk.trainability.effects import Decision
from tltk.trainability.layers import is_normalization_with_statistics, sublayers


@dataclass(frozen=True)
class View:
    """What one phase trains.

    Args:
        train: the model to compile and fit; inputs and outputs are those of the whole model.
        prefix: inputs → boundary, all frozen and run in inference mode; None if every layer learns.
        suffix: boundary → outputs; None if every layer learns.
    """

    train: keras.Model
    prefix: keras.Model | None
    suffix: keras.Model | None


def split(model: keras.Model, decided: dict[str, Decision]) -> View:
    """Split a functional model at its frozen boundary.

    The prefix is every layer that is frozen and above which (towards the input) all is frozen too, together with
    the weightless deterministic layers that follow, such as the head's pooling. It is called with `training=False`,
    so that a frozen dropout drops nothing.

    Args:
        model: functional; it is not changed, and its layers are shared.
        decided: layer name → what happens to it, from `applied`, inside of which this is called.

    Returns:
        The view; `prefix` and `suffix` are None if nothing is frozen at the input.

    Raises:
        ValueError: if everything is frozen, so that there is nothing to train.
    """
    if not model.trainable_variables:
        raise ValueError("the plan freezes every layer that has weights: there is nothing to train.")
    nodes = graph.nodes(model)
    frozen = _frozen_nodes(nodes, decided)
    boundary = _boundary(model, nodes, frozen)
    if all(any(tensor is given for given in model.inputs) for tensor in boundary):
        # Not the model itself: it would stay compiled with the phase's optimizer, and be saved with it.
        return View(keras.Model(model.inputs, model.output, name=f"{model.name}_view"), None, None)
    prefix = keras.Model(model.input, boundary, name="prefix")
    suffix = _suffix(model, nodes, boundary, frozen)
    return View(_Composed(prefix, suffix, name=f"{model.name}_view"), prefix, suffix)


class _Composed(keras.Model):
    """Suffix after prefix, the prefix always in inference mode.

    A functional composition cannot say that: since Keras 3 the `training=False` of `base(x, training=False)` is
    overridden by the `training=True` with which `fit` calls the outer model.
    """

    def __init__(self, prefix: keras.Model, suffix: keras.Model, name: str) -> None:
        super().__init__(name=name)
        self.prefix = prefix
        self.suffix = suffix

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.suffix(self.prefix(inputs, training=False), training=training)


def _suffix(model: keras.Model, nodes: list, boundary: list[keras.KerasTensor], frozen: set[int]) -> keras.Model:
    """Call every node beyond the boundary again, on fresh inputs.

    `keras.Model(boundary, outputs)` would do, but for a layer that is called on both sides of the boundary:
    Keras' cloning takes its second call for the input itself, and fails.
    """
    inputs = [_fresh_input(tensor) for tensor in boundary]
    tensors = dict(zip(map(id, boundary), inputs, strict=True))
    graph.call_nodes([node for node in nodes if not all(id(tensor) in frozen for tensor in node.outputs)], tensors)
    outputs = keras.tree.map_structure(lambda tensor: tensors[id(tensor)], model.output)
    suffix = keras.Model(inputs, outputs, name="suffix")
    private.forget_calls(suffix)  # `layer.output` and the saved model are about the calls of the model alone
    return suffix


def _fresh_input(tensor: keras.KerasTensor) -> keras.KerasTensor:
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name)


def _frozen_nodes(nodes: list, decided: dict[str, Decision]) -> set[int]:
    """Return ids of the tensors that come out of the frozen prefix."""
    ready: set[int] = set()
    for node in nodes:
        if node.is_input or (
            all(id(tensor) in ready for tensor in node.input_tensors) and _belongs(node.operation, decided)
        ):
            ready.update(id(tensor) for tensor in node.outputs)
    return ready


def _belongs(operation: keras.Operation, decided: dict[str, Decision]) -> bool:
    decision = decided.get(operation.name)
    if decision is None or decision.action == "frozen":
        return True
    return not getattr(operation, "weights", ()) and not _is_random(operation)


def _is_random(operation: keras.Operation) -> bool:
    """Tell whether a layer behaves differently in training: it draws random numbers, keeps statistics or adds a loss.

    A layer that is not from a known library is assumed to.
    """
    parts = sublayers(operation)
    unknown = any(not graph.is_library_module(type(part).__module__) for part in parts)
    seeded = any(private.seed_generators(part) or hasattr(part, "seed_generator") for part in parts)
    adds_loss = any(getattr(part, "activity_regularizer", None) is not None for part in parts)
    return unknown or seeded or adds_loss or any(is_normalization_with_statistics(part) for part in parts)


def _boundary(model: keras.Model, nodes: list, frozen: set[int]) -> list[keras.KerasTensor]:
    """List the tensors that go from the frozen part into the rest, in graph order, each once."""
    crossing = {}
    for node in nodes:
        inside = not node.is_input and all(id(tensor) in frozen for tensor in node.outputs)
        if node.is_input or inside:
            continue
        crossing.update({id(tensor): tensor for tensor in node.input_tensors if id(tensor) in frozen})
    crossing.update({id(tensor): tensor for tensor in model.outputs if id(tensor) in frozen})
    return list(crossing.values())
