"""Outputs of a user's own model, checked and turned into those of a task: logits become probabilities."""

from collections.abc import Mapping
from typing import Any

import keras

from tltk.foundation import checks as check
from tltk.foundation import keras_private as private
from tltk.foundation.errors import InvalidInput

_SAME_VALUES = ("Cast", "ExpandDims", "Flatten", "Identity", "Permute", "Reshape", "Squeeze")
_ACTIVATIONS = {"Softmax": "softmax", "Sigmoid": "sigmoid"}  # of layers and operations without an `activation`
_SCORES = ("elu", "gelu", "leaky_relu", "linear", "log_softmax", "relu", "selu", "silu", "softplus", "tanh")


def check_outputs(outputs: Any, described: Mapping[str, tuple[str, ...]], *, rank: int | None = None) -> None:
    """Raise unless a model has the outputs that a task describes.

    Args:
        outputs: Output of the model, or a dict of outputs.
        described: Result of `Task.describe_outputs`.
        rank: Number of axes of each output, batch included; None for any.

    Raises:
        InvalidInput: Listing every output that is missing, unexpected, or has another shape.
    """
    if len(described) == 1:
        named = {next(iter(described)): single_output(outputs)}
    elif isinstance(outputs, dict) and set(outputs) == set(described):
        named = outputs
    else:
        received = f"outputs {check.listing(outputs)}" if isinstance(outputs, dict) else type(outputs).__name__
        raise InvalidInput(f"the task needs a dict of the outputs {check.listing(described)}. Received: {received}")
    problems = check.Problems()
    for name, tensor in named.items():
        problem = shape_problem(tensor, len(described[name]), rank=rank)
        if problem:
            problems.add(problem if len(named) == 1 else f"{name}: {problem}")
    problems.raise_if_any()


def single_output(outputs: Any) -> keras.KerasTensor:
    """Return the only output of a model.

    Raises:
        InvalidInput: If there are several, or it is in a dict or list.
    """
    if isinstance(outputs, keras.KerasTensor):
        return outputs
    names = [repr(name) for name in outputs] if isinstance(outputs, dict) else [str(n) for n in range(len(outputs))]
    example = names[0] if names else "…"
    raise InvalidInput(
        f"the task needs one output. Received: a {type(outputs).__name__} of {len(names)} outputs "
        f"({check.listing(names, limit=6)}). Pass a model of one of them: "
        f"keras.Model(model.input, model.output[{example}])"
    )


def shape_problem(tensor: keras.KerasTensor, units: int, *, rank: int | None) -> str:
    """Describe how the shape of an output differs from [batch, …, units]; "" if it does not."""
    if rank is not None and len(tensor.shape) != rank:
        axes = ", ".join(("batch", "tokens", str(units))[-rank:] if rank == 3 else ("batch", str(units)))
        return f"the task needs outputs of shape [{axes}]. Received: a model with outputs of shape {tensor.shape}"
    if tensor.shape[-1] != units:
        return f"the task needs {units} outputs. Received: a model with {tensor.shape[-1]}"
    return ""


def probabilities(
    outputs: Any, names: tuple[str, ...], *, activation: str, from_logits: bool | None, rank: int = 2
) -> keras.KerasTensor:
    """Turn the output of a model into probabilities of classes, in class order.

    Args:
        outputs: Output of the model: probabilities or logits [batch, classes] ([batch, tokens, classes] with rank 3);
            for two classes also [batch, 1], those of the second class.
        names: Class names.
        activation: "softmax" for one class per example, "sigmoid" for any number.
        from_logits: Whether the output are logits; None if that follows from the activation of the last layer.
        rank: Number of axes of the output.

    Returns:
        float [batch, …, classes]; the output itself if it needs no change.

    Raises:
        InvalidInput: If the shape does not fit, the last activation is a wrong one, or it is unknown.
    """
    tensor = single_output(outputs)
    is_binary = activation == "softmax" and len(names) == 2 and tuple(tensor.shape[1:]) == (1,)
    problem = "" if is_binary else shape_problem(tensor, len(names), rank=rank)
    if problem:
        raise InvalidInput(problem)
    expected = "sigmoid" if is_binary else activation
    if _are_logits(tensor, expected, from_logits):
        tensor = keras.layers.Activation(expected, dtype="float32", name="head_probabilities")(tensor)
    return keras.ops.concatenate([1.0 - tensor, tensor], axis=-1) if is_binary else tensor


def _are_logits(tensor: keras.KerasTensor, expected: str, from_logits: bool | None) -> bool:
    """Tell whether outputs are logits, from what the caller says or from the last activation."""
    layer, last = last_activation(tensor)
    _require_last_axis(tensor)
    if from_logits and last in ("softmax", "sigmoid"):
        raise InvalidInput(f"`from_logits=True`, but the last layer {layer!r} already applies {last}")
    if from_logits is False and last in _SCORES:
        raise InvalidInput(
            f"`from_logits=False`, but the outputs of the last layer {layer!r} (activation {last!r}) are not "
            "probabilities: pass `from_logits=True` if they are unbounded scores"
        )
    if from_logits is not None:
        return from_logits
    if last in ("softmax", "sigmoid") and last != expected:
        fix = {
            "softmax": "one class per example needs softmax. For any number of labels per example, pass "
            "tltk.classification(tltk.LabelSpec(names, 'multilabel'))",
            "sigmoid": "independent labels need sigmoid. For one class per example, pass "
            "tltk.classification(names) with labels of type 'categorical'",
        }[expected]
        raise InvalidInput(f"the last layer {layer!r} applies {last}: {fix}")
    if last not in ("linear", expected):
        what = f"activation {last!r}" if last else "no known activation"
        raise InvalidInput(
            f"it is unknown whether the outputs of the last layer {layer!r} ({what}) are probabilities: pass "
            "`from_logits=False` if they are, `from_logits=True` if they are unbounded scores"
        )
    return last == "linear"


def last_activation(tensor: keras.KerasTensor) -> tuple[str, str]:
    """Return the name of the operation that computes the values of a tensor, and the name of its activation.

    Args:
        tensor: Output of a functional model; operations that only change its shape or dtype are skipped.

    Returns:
        (name of the operation, "softmax", "sigmoid", "linear" or another function); "" if there is no activation.
    """
    operation = _last_operation(tensor)
    return operation.name, _activation_name(operation)


def _activation_name(operation: keras.Operation) -> str:
    function = getattr(operation, "activation", None)
    return _ACTIVATIONS.get(type(operation).__name__, "") if function is None else getattr(function, "__name__", "")


def _last_operation(tensor: keras.KerasTensor) -> keras.Operation:
    """Return the operation that computes the values of a tensor."""
    node = private.producing_node(tensor)
    while type(node.operation).__name__ in _SAME_VALUES or _is_linear_activation(node.operation):
        node = private.producing_node(node.input_tensors[0])
    return node.operation


def _is_linear_activation(operation: keras.Operation) -> bool:
    """Tell whether an operation is an `Activation("linear")`, which casts outputs in mixed precision."""
    return isinstance(operation, keras.layers.Activation) and _activation_name(operation) == "linear"


def _require_last_axis(tensor: keras.KerasTensor) -> None:
    """Raise if the last layer is a softmax over other axes than the classes."""
    operation = _last_operation(tensor)
    if type(operation).__name__ != "Softmax":
        return
    axis = operation.axis
    last = len(operation.output.shape) - 1
    if axis not in (-1, last) and tuple(keras.tree.flatten(axis)) not in ((-1,), (last,)):
        raise InvalidInput(
            f"the last layer {operation.name!r} applies softmax over axis {axis}, but the classes are the last axis: "
            "build it with axis=-1"
        )
