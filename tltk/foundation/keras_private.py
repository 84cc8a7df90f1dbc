"""The only module that touches private attributes of Keras and KerasHub: one small function for each.

`tests/foundation/test_keras_private.py` tests what each function relies on, and `make test-lowest` runs it with the
oldest supported versions. Where Keras renames an attribute, `IncompatibleKeras` names it: nothing is skipped silently.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tltk.foundation.errors import IncompatibleKeras

if TYPE_CHECKING:
    import keras

_MISSING = object()
_PRESET_MODULE = "keras_hub.src.utils.preset_utils"
_STATE_MODULE = "keras.src.backend.common.global_state"
# Attributes of an optimizer that hold one variable per trainable variable and are not state of its update rule.
_BOOKKEEPING = ("_trainable_variables", "_variables", "_model_variables_moving_average", "_accumulated_gradients")


def _attribute(owner: Any, name: str) -> Any:
    """Return a private attribute, or raise an error that names it."""
    value = getattr(owner, name, _MISSING)
    if value is _MISSING:
        raise _incompatible(f"{type(owner).__module__}.{type(owner).__qualname__}", name)
    return value


def _incompatible(owner: str, name: str) -> IncompatibleKeras:
    from importlib.metadata import version

    installed = ", ".join(f"{package} {version(package)}" for package in ("keras", "keras-hub"))
    return IncompatibleKeras(
        f"{owner} has no {name!r}, which tltk relies on (installed: {installed}). Install versions that tltk supports: "
        "`pip check` lists the ones that are out of range."
    )


# Graphs of operations


def nodes_by_depth(model: "keras.Function") -> dict[int, list[Any]]:
    """Return the nodes of a functional model by their distance from its outputs.

    Relies on `Function._nodes_by_depth`, which Keras' own runner walks: depth → nodes, each with `operation`,
    `arguments`, `input_tensors`, `outputs` and `is_input`.
    """
    return _attribute(model, "_nodes_by_depth")


def producing_node(tensor: Any) -> Any:
    """Return the node that a Keras tensor is an output of; None for an array.

    Relies on `KerasTensor._keras_history` (operation, node index, tensor index) and `Operation._inbound_nodes`, the
    calls of an operation in order.
    """
    import keras

    if not isinstance(tensor, keras.KerasTensor):
        return None
    operation, index, _ = _attribute(tensor, "_keras_history")
    return _attribute(operation, "_inbound_nodes")[index]


def forget_calls(model: "keras.Model") -> None:
    """Make the layers of a functional model forget the calls that the model consists of.

    A layer keeps a node for every call, and `layer.output` is that of the first one. A model that is called layer by
    layer on new inputs therefore leaves two nodes on each of its layers; one of the two models has to be forgotten.

    Relies on `Operation._inbound_nodes` and `Operation._outbound_nodes`, and on the position of a call in the former
    being the node index in `KerasTensor._keras_history`.

    Args:
        model: functional. It can still be called and trained, but no longer saved or cloned, and no new model can be
            built from its tensors. Its input layers keep their nodes.
    """
    nodes = [node for depth in nodes_by_depth(model).values() for node in depth if not node.is_input]
    forgotten = {id(node) for node in nodes}
    operations = {id(node.operation): node.operation for node in nodes}
    parents = [producing_node(tensor).operation for node in nodes for tensor in node.input_tensors]
    for parent in {id(parent): parent for parent in parents}.values():
        outbound = _attribute(parent, "_outbound_nodes")
        outbound[:] = [node for node in outbound if id(node) not in forgotten]
    for operation in operations.values():
        inbound = _attribute(operation, "_inbound_nodes")
        inbound[:] = [node for node in inbound if id(node) not in forgotten]
        for index, node in enumerate(inbound):
            for tensor in node.outputs:
                tensor._keras_history = _attribute(tensor, "_keras_history")._replace(node_index=index)


def rename(operation: "keras.Operation", name: str) -> None:
    """Give an operation another name; the paths of a layer's variables follow.

    Relies on `Layer._path`, `Layer._parent_path` and `Variable._path`, which are set when a layer is built and begin
    with its name.

    Args:
        operation: in no model yet; Keras refuses two operations of one name when a model is made.
        name: the new name.
    """
    import keras

    before, operation.name = operation.name, name
    if not isinstance(operation, keras.Layer):
        return

    def moved(path: str | None) -> str | None:
        inside = path is not None and (path == before or path.startswith(f"{before}/"))
        return f"{name}{path[len(before) :]}" if path is not None and inside else path

    for layer in flattened_sublayers(operation):
        layer._path = moved(_attribute(layer, "_path"))
        layer._parent_path = moved(_attribute(layer, "_parent_path"))
    for variable in operation.variables:
        variable._path = moved(_attribute(variable, "_path"))


@contextmanager
def without_weights() -> Iterator[None]:
    """Build layers inside without drawing their initial weights, to read shapes off them.

    Relies on `keras.StatelessScope`, under which a variable is only declared, and on the list "uninitialized_variables"
    of Keras' global state: what stays in it gets its numbers, and its memory, at the end of the next such scope. Layers
    take seeds from Python's generator, whose state is put back.
    """
    import keras

    state = random.getstate()
    try:
        with keras.StatelessScope(initialize_variables=False):
            before = list(_declared_variables())
            try:
                yield
            finally:
                _declared_variables()[:] = before
    finally:
        random.setstate(state)


def _declared_variables() -> list[Any]:
    try:
        module = import_module(_STATE_MODULE)
    except ImportError as error:
        raise _incompatible("Keras", _STATE_MODULE) from error
    get_global_attribute = getattr(module, "get_global_attribute", None)
    if get_global_attribute is None:
        raise _incompatible(_STATE_MODULE, "get_global_attribute")
    return get_global_attribute("uninitialized_variables", [], set_to_default=True)


# Layers


def direct_sublayers(layer: "keras.Layer") -> list["keras.Layer"]:
    """List the layers that a layer holds directly.

    Relies on `Layer._layers`, in which Keras tracks every layer that is assigned to an attribute.
    """
    return list(_attribute(layer, "_layers"))


def flattened_sublayers(layer: "keras.Layer") -> list["keras.Layer"]:
    """List a layer and every layer inside it, each once, outermost first.

    Relies on `Layer._flatten_layers`; the public `layers` exists on models only.
    """
    return list(_attribute(layer, "_flatten_layers")(include_self=True, recursive=True))


def own_trainable_variables(layer: "keras.Layer") -> list["keras.Variable"]:
    """List the variables of the layer itself that were created as trainable, frozen or not.

    Relies on `Layer._trainable_variables`: a variable is sorted into it when it is created, whereas the public
    `trainable_variables` follows the current flags and includes those of the sublayers.
    """
    return list(_attribute(layer, "_trainable_variables"))


def own_state_variables(layer: "keras.Layer") -> list["keras.Variable"]:
    """List the variables of the layer itself that never get a gradient, such as moving statistics.

    Relies on `Layer._non_trainable_variables`, the counterpart of `_trainable_variables`.
    """
    return list(_attribute(layer, "_non_trainable_variables"))


def seed_generators(layer: "keras.Layer") -> list[Any]:
    """List the random generators that a layer draws from.

    Relies on `Layer._seed_generators`, in which Keras tracks those that are assigned to an attribute.
    """
    return list(_attribute(layer, "_seed_generators"))


def kernel_variable(layer: "keras.Layer") -> "keras.Variable":
    """Return the variable that LoRA adds to.

    Relies on `_embeddings` of Embedding and `_kernel` of Dense, EinsumDense and the convolutions: while LoRA is
    enabled, the public `embeddings` and `kernel` are sums of tensors.

    Args:
        layer: built, with a method `enable_lora`.
    """
    import keras

    return _attribute(layer, "_embeddings" if isinstance(layer, keras.layers.Embedding) else "_kernel")


def remove_weight(layer: "keras.Layer", name: str) -> None:
    """Remove a weight from a layer, so that it is neither tracked nor an attribute of it.

    Relies on `Layer._untrack_variable`. `del layer.name` does the same and then collects garbage each time, which
    takes minutes for the weights of a large transformer.

    Args:
        layer: the layer; it may be locked.
        name: name of the attribute that holds the weight.
    """
    import keras

    _attribute(layer, "_untrack_variable")(getattr(layer, name))
    super(keras.Layer, layer).__delattr__(name)


# Optimizers


def optimizer_variables(optimizer: "keras.optimizers.Optimizer") -> list["keras.Variable"]:
    """List the variables that an optimizer was built for.

    Relies on `Optimizer._trainable_variables`; per-variable state has the same order.
    """
    return list(_attribute(optimizer, "_trainable_variables"))


def variable_index(optimizer: "keras.optimizers.Optimizer", variable: Any) -> int:
    """Return the position of a variable among those that an optimizer was built for.

    Relies on `Optimizer._get_variable_index`, which also knows the backend variables that `update_step` receives.
    """
    return _attribute(optimizer, "_get_variable_index")(variable)


def batch_counter(optimizer: "keras.optimizers.Optimizer") -> "keras.Variable":
    """Return the variable that counts the batches an optimizer has seen.

    Relies on `Optimizer._iterations`; the public `iterations` counts steps under gradient accumulation, and cannot be
    assigned.
    """
    return _attribute(optimizer, "_iterations")


def accumulated_gradients(optimizer: "keras.optimizers.Optimizer") -> list["keras.Variable"]:
    """List the sums of gradients of a step that is not complete yet, one per variable.

    Relies on `Optimizer._accumulated_gradients`, which a built optimizer has under gradient accumulation.
    """
    return list(_attribute(optimizer, "_accumulated_gradients"))


def moving_averages(optimizer: "keras.optimizers.Optimizer") -> list["keras.Variable"]:
    """List the moving averages of the weights, one per variable.

    Relies on `Optimizer._model_variables_moving_average`, which a built optimizer has under `use_ema`.
    """
    return list(_attribute(optimizer, "_model_variables_moving_average"))


def assign_moving_averages(optimizer: "keras.optimizers.Optimizer") -> None:
    """Overwrite the weights by their moving averages.

    Relies on `Optimizer._overwrite_model_variables_with_average_value`, which assigns on every device.
    """
    _attribute(optimizer, "_overwrite_model_variables_with_average_value")(optimizer_variables(optimizer))


def adam_moments(optimizer: "keras.optimizers.Adam") -> dict[str, list["keras.Variable"]]:
    """Return Adam's first and second moments as "momentum" and "velocity", one variable each per trained variable.

    Relies on `Adam._momentums` and `Adam._velocities`, which a built optimizer has.
    """
    return {"momentum": _attribute(optimizer, "_momentums"), "velocity": _attribute(optimizer, "_velocities")}


def update_state(optimizer: "keras.optimizers.Optimizer") -> dict[str, list[Any]]:
    """Find the per-variable state of an optimizer's update rule, whatever the optimizer.

    Relies on every Keras optimizer holding its state as lists in the order of its variables. Averages of weights and
    accumulated gradients are left out.

    Returns:
        Name of the attribute, without a leading underscore → variables, with None where a variable has no such state.
    """
    count = len(optimizer_variables(optimizer))
    return {
        name.removeprefix("_"): list(value)
        for name, value in vars(optimizer).items()
        if name not in _BOOKKEEPING and _is_variable_list(value, count)
    }


def _is_variable_list(value: Any, count: int) -> bool:
    import keras

    if not isinstance(value, list | tuple) or len(value) != count:
        return False
    present = [item for item in value if item is not None]
    return bool(present) and all(isinstance(item, keras.Variable) for item in present)


OPTIMIZER_HOOKS = (
    "_clip_gradients",
    "_all_reduce_sum_gradients",
    "_apply_weight_decay",
    "_update_model_variables_moving_average",
    "_overwrite_model_variables_with_average_value",
)


class PerVariableHooks:
    """Base of optimizers that apply weight decay and averages in `update_step`, one variable at a time.

    Keras applies them to lists of variables instead, at places where gradient accumulation, loss scaling or several
    replicas make a difference. List this class before a Keras optimizer among the bases. A hook that is overridden
    here and that Keras no longer has is an error when the subclass is defined: otherwise Keras would clip twice, or
    not at all.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for hook in OPTIMIZER_HOOKS:
            if not hasattr(super(), hook):
                raise _incompatible("the optimizer class of Keras", hook)

    def _clip_gradients(self, grads: list[Any]) -> list[Any]:
        """Leave the clipping to `_all_reduce_sum_gradients`."""
        return grads

    def _all_reduce_sum_gradients(self, grads_and_vars: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        """Clip the sum over replicas: Keras clips each replica's share, and the sum may exceed the bound."""
        summed = super()._all_reduce_sum_gradients(grads_and_vars)  # type: ignore[misc]
        clipped = super()._clip_gradients([gradient for gradient, _ in summed])  # type: ignore[misc]
        return [(gradient, variable) for gradient, (_, variable) in zip(clipped, summed, strict=True)]

    def _apply_weight_decay(self, variables: list[Any]) -> None:
        """Leave the decay to `update_step`, which scales it by the variable's learning-rate multiplier."""

    def _update_model_variables_moving_average(self, trainable_variables: list[Any]) -> None:
        """Leave the average to `update_step`: Keras would also update it on batches that only accumulate."""

    def _overwrite_model_variables_with_average_value(self, trainable_variables: list[Any]) -> None:
        # Keras pairs the model's list with the optimizer's by position; they differ once a flag has changed.
        variables = optimizer_variables(self)
        super()._overwrite_model_variables_with_average_value(variables)  # type: ignore[misc]


# KerasHub


def preset_function(name: str) -> Any:
    """Return a function of KerasHub that reads the files of a preset.

    Relies on `keras_hub.src.utils.preset_utils`; KerasHub has no public way to a single file of a preset.

    Args:
        name: "check_file_exists" or "load_json", both of (preset, file name), or "get_preset_loader" of a preset.
    """
    try:
        module = import_module(_PRESET_MODULE)
    except ImportError as error:
        raise _incompatible("KerasHub", _PRESET_MODULE) from error
    function = getattr(module, name, None)
    if function is None:
        raise _incompatible(_PRESET_MODULE, name)
    return function


def feedforward_layer(block: "keras.Layer") -> "keras.layers.Dense":
    """Return the dense layer of a transformer block that applies the activation.

    Relies on `_feedforward_intermediate_dense` of KerasHub's TransformerEncoder, TransformerDecoder and
    DisentangledAttentionEncoder. It holds the activation that is used; `block.activation` is what is saved.
    """
    return _attribute(block, "_feedforward_intermediate_dense")
