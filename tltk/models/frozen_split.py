"""The frozen split: a model divided at the end of its frozen prefix; both parts share its layers."""

from dataclasses import dataclass
from typing import Any

import keras

from tltk.foundation import keras_graph as graph
from tltk.foundation import keras_private as private
from tltk.foundation.errors import InvalidInput
from tltk.trainability.effects import Decision
from tltk.trainability.layers import is_normalization_with_statistics, sublayers


@dataclass(frozen=True)
class FrozenSplit:
    """A model divided at the end of its frozen prefix.

    Args:
        model: Inputs → outputs of the whole model; this is compiled and fitted. It shares the layers of the model.
        prefix: Inputs → tensors at the boundary; frozen, runs in inference mode. None if the first layers are trained.
        suffix: Tensors at the boundary → outputs; None if `prefix` is None.
    """

    model: keras.Model
    prefix: keras.Model | None
    suffix: keras.Model | None


def split_frozen_prefix(model: keras.Model, decisions: dict[str, Decision]) -> FrozenSplit:
    """Split a functional model at the end of its frozen prefix.

    The prefix consists of all frozen layers that depend on frozen layers only, and of the deterministic layers without
    weights that follow them, such as the pooling of the head. It is called with `training=False`, so that dropout in
    it is inactive.

    Args:
        model: A functional model. It is not changed; its layers are shared.
        decisions: Layer name → decision, from `apply_plan`; call this function inside its block.

    Returns:
        The split; `prefix` and `suffix` are None if nothing is frozen at the input.

    Raises:
        InvalidInput: If every layer with weights is frozen.
    """
    if not model.trainable_variables:
        raise InvalidInput("the plan freezes every layer that has weights: there is nothing to train.")
    nodes = graph.nodes(model)
    frozen_tensors = _frozen_tensors(nodes, decisions)
    boundary = _boundary(model, nodes, frozen_tensors)
    inputs = {id(tensor) for tensor in model.inputs}
    if all(id(tensor) in inputs for tensor in boundary):
        # A new model: the original would stay compiled with the optimizer of the phase, and be saved with it.
        return FrozenSplit(keras.Model(model.inputs, model.output, name=f"{model.name}_split"), None, None)
    prefix = keras.Model(model.input, boundary, name="prefix")
    suffix = _suffix(model, nodes, boundary, frozen_tensors)
    return FrozenSplit(_PrefixSuffixModel(prefix, suffix, name=f"{model.name}_split"), prefix, suffix)


def part_above_prefix(model: keras.Model, frozen_split: FrozenSplit, tensor: keras.KerasTensor) -> keras.Model:
    """Build the part of a model between its frozen prefix and one of its tensors.

    Args:
        model: The model that was split.
        frozen_split: Its split.
        tensor: A tensor of `model` that depends on the prefix.

    Returns:
        Outputs of the prefix, or inputs of the model if it has none → the tensor. It shares the layers of the model.
    """
    boundary = model.inputs if frozen_split.prefix is None else frozen_split.prefix.outputs
    inputs = [keras.Input(batch_shape=item.shape, dtype=item.dtype) for item in boundary]
    tensors = dict(zip(map(id, boundary), inputs, strict=True))
    graph.call_nodes(graph.ancestor_nodes([tensor], until=boundary), tensors)
    part = keras.Model(inputs, tensors[id(tensor)])
    private.forget_calls(part)
    return part


class _PrefixSuffixModel(keras.Model):
    """Prefix and suffix in sequence, the prefix always in inference mode.

    A functional model cannot do this: since Keras 3 the `training=False` of `base(x, training=False)` is overridden by
    the `training=True` with which `fit` calls the outer model.
    """

    def __init__(self, prefix: keras.Model, suffix: keras.Model, name: str) -> None:
        super().__init__(name=name)
        self.prefix = prefix
        self.suffix = suffix

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.suffix(self.prefix(inputs, training=False), training=training)


def functional_parts(model: keras.Model) -> tuple[keras.Model, ...]:
    """Return the functional models that run one after the other: prefix and suffix of a split, or the model itself.

    Args:
        model: The `model` of a `FrozenSplit`, or any functional model.
    """
    return (model.prefix, model.suffix) if isinstance(model, _PrefixSuffixModel) else (model,)


def _suffix(
    model: keras.Model, nodes: list, boundary: list[keras.KerasTensor], frozen_tensors: set[int]
) -> keras.Model:
    """Build the suffix by calling every node after the boundary again, on new inputs.

    `keras.Model(boundary, outputs)` fails if a layer is called on both sides of the boundary.
    """
    inputs = [keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name) for tensor in boundary]
    tensors = dict(zip(map(id, boundary), inputs, strict=True))
    suffix_nodes = [node for node in nodes if not all(id(tensor) in frozen_tensors for tensor in node.outputs)]
    graph.call_nodes(suffix_nodes, tensors)
    outputs = keras.tree.map_structure(lambda tensor: tensors[id(tensor)], model.output)
    suffix = keras.Model(inputs, outputs, name="suffix")
    private.forget_calls(suffix)  # so that `layer.output` and saving see the calls of the original model only
    return suffix


def _frozen_tensors(nodes: list, decisions: dict[str, Decision]) -> set[int]:
    """Return the ids of all tensors computed by the frozen prefix, model inputs included."""
    frozen: set[int] = set()
    for node in nodes:
        depends_on_frozen_only = all(id(tensor) in frozen for tensor in node.input_tensors)
        if node.is_input or (depends_on_frozen_only and _may_be_in_prefix(node.operation, decisions)):
            frozen.update(id(tensor) for tensor in node.outputs)
    return frozen


def _may_be_in_prefix(operation: keras.Operation, decisions: dict[str, Decision]) -> bool:
    decision = decisions.get(operation.name)
    if decision is None or decision.action == "frozen":
        return True
    return not getattr(operation, "weights", ()) and not _differs_in_training(operation)


def _differs_in_training(operation: keras.Operation) -> bool:
    """Return whether a layer behaves differently in training: it is random, updates statistics or adds a loss.

    Layers from unknown libraries are assumed to do so.
    """
    parts = sublayers(operation)
    is_unknown = any(not graph.is_library_module(type(part).__module__) for part in parts)
    is_random = any(private.seed_generators(part) or hasattr(part, "seed_generator") for part in parts)
    adds_loss = any(getattr(part, "activity_regularizer", None) is not None for part in parts)
    return is_unknown or is_random or adds_loss or any(is_normalization_with_statistics(part) for part in parts)


def _boundary(model: keras.Model, nodes: list, frozen_tensors: set[int]) -> list[keras.KerasTensor]:
    """List the tensors that the prefix passes on to the suffix, in graph order, each once."""
    boundary = {}
    for node in nodes:
        if node.is_input or all(id(tensor) in frozen_tensors for tensor in node.outputs):
            continue
        boundary.update({id(tensor): tensor for tensor in node.input_tensors if id(tensor) in frozen_tensors})
    boundary.update({id(tensor): tensor for tensor in model.outputs if id(tensor) in frozen_tensors})
    return list(boundary.values())
