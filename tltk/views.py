"""Phase views: a model split at its frozen boundary, sharing its layers, so that training it trains the model."""

from dataclasses import dataclass

import keras

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


def split(model: keras.Model, decided: dict[str, str]) -> View:
    """Split a functional model at its frozen boundary.

    The prefix is every layer that is frozen and above which (towards the input) all is frozen too, together with
    the weightless deterministic layers that follow, such as the head's pooling. It is called with `training=False`,
    so that a frozen dropout drops nothing.

    Args:
        model: functional; it is not changed, and its layers are shared.
        decided: layer name → "frozen" or "train", from `Plan.resolve`.

    Returns:
        The view; `prefix` and `suffix` are None if nothing is frozen at the input.

    Raises:
        ValueError: if everything is frozen, so that there is nothing to train.
    """
    if "train" not in decided.values() or not model.trainable_variables:
        raise ValueError("the plan freezes every layer that has weights: there is nothing to train.")
    nodes = _nodes(model)
    frozen = _frozen_nodes(nodes, decided)
    boundary = _boundary(model, nodes, frozen)
    if all(any(tensor is given for given in model.inputs) for tensor in boundary):
        return View(model, None, None)
    prefix = keras.Model(model.inputs, boundary, name="prefix")
    suffix = keras.Model(boundary, model.outputs, name="suffix")
    inputs = [keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=tensor.name) for tensor in model.inputs]
    crossing = prefix(inputs, training=False)
    outputs = suffix(crossing)
    return View(keras.Model(inputs, outputs, name=f"{model.name}_view"), prefix, suffix)


def _nodes(model: keras.Model) -> list:
    """List the graph's nodes from inputs to outputs; a layer that is called twice has two."""
    # `_nodes_by_depth` is what Keras' own functional runner walks; there is no public listing of nodes.
    by_depth = model._nodes_by_depth
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]


def _frozen_nodes(nodes: list, decided: dict[str, str]) -> set[int]:
    """Return ids of the tensors that come out of the frozen prefix."""
    ready: set[int] = set()
    for node in nodes:
        if node.is_input or (
            all(id(tensor) in ready for tensor in node.input_tensors) and _belongs(node.operation, decided)
        ):
            ready.update(id(tensor) for tensor in node.outputs)
    return ready


def _belongs(operation: keras.Operation, decided: dict[str, str]) -> bool:
    if decided.get(operation.name, "frozen") == "frozen":
        return True
    return not getattr(operation, "weights", ()) and not _is_random(operation)


def _is_random(operation: keras.Operation) -> bool:
    """Tell whether a layer behaves differently in training: it draws random numbers or keeps statistics."""
    parts = sublayers(operation)
    seeded = any(part._seed_generators or hasattr(part, "seed_generator") for part in parts)
    return seeded or any(is_normalization_with_statistics(part) for part in parts)


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
