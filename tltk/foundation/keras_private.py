"""Access to private attributes of Keras, KerasHub and tf.data, one small function each; no other module uses them.

`tests/foundation/test_keras_private.py` tests what each function relies on, and `make test-lowest` runs it with the
oldest supported versions. If Keras renames an attribute, `IncompatibleKeras` is raised with its name.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from tltk.foundation.errors import IncompatibleKeras

if TYPE_CHECKING:
    import keras

_MISSING = object()
_PRESET_MODULE = "keras_hub.src.utils.preset_utils"
_STATE_MODULE = "keras.src.backend.common.global_state"
# Attributes of an optimizer that hold one variable per trainable variable and are not state of its update rule.
_BOOKKEEPING = ("_trainable_variables", "_variables", "_model_variables_moving_average", "_accumulated_gradients")


def _attribute(owner: Any, name: str) -> Any:
    """Return a private attribute; raise `IncompatibleKeras` if it is missing."""
    value = getattr(owner, name, _MISSING)
    if value is _MISSING:
        raise _incompatible(f"{type(owner).__module__}.{type(owner).__qualname__}", name)
    return value


def require_tensorflow() -> None:
    """Raise unless Keras runs on TensorFlow.

    Raises:
        IncompatibleKeras: If Keras was configured for another backend.
    """
    import keras

    backend = keras.config.backend()
    if backend != "tensorflow":
        raise IncompatibleKeras.backend(backend)


def _incompatible(owner: str, name: str) -> IncompatibleKeras:
    from importlib.metadata import version

    require_tensorflow()  # other backends lack some of the attributes
    installed = ", ".join(f"{package} {version(package)}" for package in ("keras", "keras-hub"))
    return IncompatibleKeras(
        f"{owner} has no {name!r}, which tltk relies on (installed: {installed}). Install versions that tltk supports: "
        "`pip check` lists the packages that are out of range."
    )


# Graphs of operations


def nodes_by_depth(model: "keras.Function") -> dict[int, list[Any]]:
    """Return the nodes of a functional model, grouped by their distance from its outputs.

    Relies on `Function._nodes_by_depth`, which Keras itself iterates over in a call: depth → nodes, each with
    `operation`, `arguments`, `input_tensors`, `outputs` and `is_input`.
    """
    return _attribute(model, "_nodes_by_depth")


def producing_node(tensor: Any) -> Any:
    """Return the node that computes a Keras tensor; None for an array.

    Relies on `KerasTensor._keras_history` (operation, node index, tensor index) and `Operation._inbound_nodes`, the
    calls of an operation in order.
    """
    import keras

    if not isinstance(tensor, keras.KerasTensor):
        return None
    operation, index, _ = _attribute(tensor, "_keras_history")
    return _attribute(operation, "_inbound_nodes")[index]


def forget_calls(model: "keras.Model") -> None:
    """Remove the nodes of a functional model from its layers.

    A layer keeps a node for every call, and `layer.output` is the output of the first one. Calling the layers of a
    model on new inputs leaves two nodes on each layer, so the nodes of the old or the new model have to be removed.

    Relies on `Operation._inbound_nodes` and `Operation._outbound_nodes`, and on the position of a call in the former
    being the node index in `KerasTensor._keras_history`.

    Args:
        model: Functional model. It can still be called and trained, but not saved or cloned, and no new model can be
            built from its tensors. Its input layers keep their nodes.
    """
    nodes = [node for depth in nodes_by_depth(model).values() for node in depth if not node.is_input]
    removed = {id(node) for node in nodes}
    operations = {id(node.operation): node.operation for node in nodes}
    parents = [producing_node(tensor).operation for node in nodes for tensor in node.input_tensors]
    for parent in {id(parent): parent for parent in parents}.values():
        outbound = _attribute(parent, "_outbound_nodes")
        outbound[:] = [node for node in outbound if id(node) not in removed]
    for operation in operations.values():
        inbound = _attribute(operation, "_inbound_nodes")
        inbound[:] = [node for node in inbound if id(node) not in removed]
        for index, node in enumerate(inbound):
            for tensor in node.outputs:
                tensor._keras_history = _attribute(tensor, "_keras_history")._replace(node_index=index)


def rename(operation: "keras.Operation", name: str) -> None:
    """Rename an operation, and update the paths of its variables.

    Relies on `Layer._path`, `Layer._parent_path` and `Variable._path`, which are set when a layer is built and begin
    with its name.

    Args:
        operation: Operation that is in no model yet; a model checks that names are unique when it is created.
        name: New name.
    """
    import keras

    old_name, operation.name = operation.name, name
    if not isinstance(operation, keras.Layer):
        return

    def renamed(path: str | None) -> str | None:
        if path is not None and (path == old_name or path.startswith(f"{old_name}/")):
            return f"{name}{path[len(old_name) :]}"
        return path

    for layer in flattened_sublayers(operation):
        layer._path = renamed(_attribute(layer, "_path"))
        layer._parent_path = renamed(_attribute(layer, "_parent_path"))
    for variable in operation.variables:
        variable._path = renamed(_attribute(variable, "_path"))


def is_short_time_fourier_transform(operation: Any) -> bool:
    """Tell whether an operation is that of `keras.ops.stft`; relies on the class `STFT` and its attributes."""
    return (type(operation).__module__, type(operation).__name__) == ("keras.src.ops.math", "STFT")


@contextmanager
def without_weights() -> Iterator[None]:
    """Build layers within the context without allocating their weights, to infer shapes.

    Relies on `keras.StatelessScope`, which only declares variables, and on the list "uninitialized_variables" of Keras'
    global state: variables that stay in it are initialized at the end of the next such scope. Layers take seeds from
    Python's random generator, whose state is restored.
    """
    import keras

    state = random.getstate()
    try:
        with keras.StatelessScope(initialize_variables=False):
            previous = list(_declared_variables())
            try:
                yield
            finally:
                _declared_variables()[:] = previous
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
    """List the layer's own variables that were created as trainable, including frozen ones.

    Relies on `Layer._trainable_variables`: a variable is sorted into it when it is created, whereas the public
    `trainable_variables` follows the current flags and includes those of the sublayers.
    """
    return list(_attribute(layer, "_trainable_variables"))


def own_state_variables(layer: "keras.Layer") -> list["keras.Variable"]:
    """List the layer's own variables that never get a gradient, such as moving statistics.

    Relies on `Layer._non_trainable_variables`, the counterpart of `_trainable_variables`.
    """
    return list(_attribute(layer, "_non_trainable_variables"))


def seed_generators(layer: "keras.Layer") -> list[Any]:
    """List the random generators that a layer draws from.

    Relies on `Layer._seed_generators`, in which Keras tracks generators assigned to an attribute.
    """
    return list(_attribute(layer, "_seed_generators"))


def kernel_variable(layer: "keras.Layer") -> "keras.Variable":
    """Return the weight that LoRA adds its product to.

    Relies on `_embeddings` of Embedding and `_kernel` of Dense, EinsumDense and the convolutions: while LoRA is
    enabled, the public `embeddings` and `kernel` are sums of tensors.

    Args:
        layer: Built layer with a method `enable_lora`.
    """
    import keras

    return _attribute(layer, "_embeddings" if isinstance(layer, keras.layers.Embedding) else "_kernel")


def remove_weight(layer: "keras.Layer", name: str) -> None:
    """Remove a weight from a layer: it is no longer tracked or an attribute.

    Relies on `Layer._untrack_variable`. `del layer.name` does the same but runs the garbage collector each time,
    which takes minutes for the weights of a large transformer.

    Args:
        layer: Layer; it may be locked.
        name: Attribute that holds the weight.
    """
    import keras

    _attribute(layer, "_untrack_variable")(getattr(layer, name))
    super(keras.Layer, layer).__delattr__(name)


# Compilation

_SHARED = ("optimizer", "loss", "compiled", "_loss_tracker", "_compile_loss", "_compile_metrics")
_FUNCTIONS = ("train_function", "test_function", "predict_function")  # traced for one optimizer, loss and metrics
_COMPILED = (*_SHARED, *_FUNCTIONS, "stop_training", "_compile_config")


def compilation(model: "keras.Model") -> dict[str, Any]:
    """Return all attributes that `Trainer.compile` sets, and the traced functions, for `set_compilation`."""
    return {name: vars(model)[name] for name in _COMPILED if name in vars(model)}


def shared_compilation(model: "keras.Model") -> dict[str, Any]:
    """Return optimizer, loss and metrics of a compiled model, with which another model can be evaluated.

    The configuration that `Trainer.compile` keeps is left out, so that `model.save` stores no optimizer.
    """
    return {**{name: vars(model)[name] for name in _SHARED}, **dict.fromkeys(_FUNCTIONS), "stop_training": False}


def set_compilation(model: "keras.Model", values: dict[str, Any]) -> None:
    """Give a model values from `compilation` or `shared_compilation`, without Keras' tracking of attributes."""
    for name in _COMPILED:
        vars(model).pop(name, None)
    vars(model).update(values)


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
    """List the accumulated gradients of an unfinished optimizer step, one per variable.

    Relies on `Optimizer._accumulated_gradients`, which a built optimizer has with `gradient_accumulation_steps`.
    """
    return list(_attribute(optimizer, "_accumulated_gradients"))


def moving_averages(optimizer: "keras.optimizers.Optimizer") -> list["keras.Variable"]:
    """List the moving averages of the weights, one per variable.

    Relies on `Optimizer._model_variables_moving_average`, which a built optimizer has with `use_ema`.
    """
    return list(_attribute(optimizer, "_model_variables_moving_average"))


def assign_moving_averages(optimizer: "keras.optimizers.Optimizer") -> None:
    """Overwrite the weights with their moving averages.

    Relies on `Optimizer._overwrite_model_variables_with_average_value`, which assigns on every device.
    """
    _attribute(optimizer, "_overwrite_model_variables_with_average_value")(optimizer_variables(optimizer))


def weight_decay_of(optimizer: "keras.optimizers.Optimizer", variable: "keras.Variable") -> float:
    """Return the weight decay of a variable as a fraction of the learning rate; 0.0 for none.

    Relies on `Muon._should_use_adamw`: Muon updates some variables as AdamW does, with a weight decay of their own.
    """
    import keras

    if isinstance(optimizer, keras.optimizers.Muon) and _attribute(optimizer, "_should_use_adamw")(variable):
        return float(optimizer.adam_weight_decay or 0.0)
    return float(optimizer.weight_decay or 0.0)


def weight_decay_exclusions(optimizer: "keras.optimizers.Optimizer") -> tuple[bool, str]:
    """Return what `exclude_from_weight_decay` was given: whether variables were, and the pattern of names, or "".

    Relies on `Optimizer._exclude_from_weight_decay`, a set that only this call creates, and `…_decay_pattern`.
    """
    pattern = getattr(optimizer, "_exclude_from_weight_decay_pattern", None)
    return bool(getattr(optimizer, "_exclude_from_weight_decay", ())), "" if pattern is None else pattern.pattern


def learning_rate_of(optimizer: "keras.optimizers.Optimizer") -> Any:
    """Return the learning rate that an optimizer was created with: a schedule, a function, or a variable.

    Relies on `Optimizer._learning_rate`; the public `learning_rate` is the current value of a schedule.
    """
    return _attribute(optimizer, "_learning_rate")


def step_products(optimizer: "keras.optimizers.Optimizer") -> list["keras.Variable"]:
    """List the scalars of an update rule that change with every step, whatever the gradients are.

    Relies on `Nadam._u_product`, which a built Nadam has; no other Keras optimizer has such a scalar.
    """
    import keras

    return [_attribute(optimizer, "_u_product")] if isinstance(optimizer, keras.optimizers.Nadam) else []


def update_state(optimizer: "keras.optimizers.Optimizer") -> dict[str, list[Any]]:
    """Return the per-variable state of the update rule of any optimizer.

    Relies on every Keras optimizer keeping its state in lists, in the order of its variables. Moving averages of
    weights and accumulated gradients are not included.

    Returns:
        Attribute name without a leading underscore → variables, None for a variable without such state.
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
    variables = [item for item in value if item is not None]
    return bool(variables) and all(isinstance(item, keras.Variable) for item in variables)


OPTIMIZER_HOOKS = (
    "_clip_gradients",
    "_all_reduce_sum_gradients",
    "_apply_weight_decay",
    "_update_model_variables_moving_average",
    "_overwrite_model_variables_with_average_value",
)


class PerVariableHooks:
    """Base of optimizers that apply weight decay and averages in `update_step`, one variable at a time.

    Keras applies them to lists of variables instead, at points where gradient accumulation, loss scaling or several
    replicas change the result. List this class before a Keras optimizer among the bases. Defining the subclass raises
    `IncompatibleKeras` if Keras no longer has a hook: otherwise it would clip twice or not at all.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for hook in OPTIMIZER_HOOKS:
            if not hasattr(super(), hook):
                raise _incompatible("the optimizer class of Keras", hook)

    def _clip_gradients(self, grads: list[Any]) -> list[Any]:
        """Do nothing: `_all_reduce_sum_gradients` clips."""
        return grads

    def _all_reduce_sum_gradients(self, grads_and_vars: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        """Clip the sum over replicas; Keras clips per replica, so the sum may exceed the bound."""
        import tensorflow as tf

        # Of one replica there is nothing to sum, and the graph of the sum would stay in memory for good.
        is_single = tf.distribute.get_strategy().num_replicas_in_sync == 1
        summed = grads_and_vars if is_single else super()._all_reduce_sum_gradients(grads_and_vars)  # type: ignore[misc]
        clipped = super()._clip_gradients([gradient for gradient, _ in summed])  # type: ignore[misc]
        return [(gradient, variable) for gradient, (_, variable) in zip(clipped, summed, strict=True)]

    def _apply_weight_decay(self, variables: list[Any]) -> None:
        """Do nothing: `update_step` applies the decay, scaled by the variable's learning-rate multiplier."""

    def _update_model_variables_moving_average(self, trainable_variables: list[Any]) -> None:
        """Do nothing: `update_step` updates the average; Keras would also do so while gradients accumulate."""

    def _overwrite_model_variables_with_average_value(self, trainable_variables: list[Any]) -> None:
        # Keras pairs the model's variables with the optimizer's by position, but `trainable` flags may have changed.
        variables = optimizer_variables(self)
        super()._overwrite_model_variables_with_average_value(variables)  # type: ignore[misc]


# tf.data


class DatasetStep(NamedTuple):
    """A transformation in a `tf.data.Dataset`: its class, the TensorFlow operations in its functions, its options."""

    name: str
    operations: frozenset[str]
    reshuffles: bool
    deterministic: str


def dataset_steps(dataset: Any) -> Iterator[DatasetStep]:
    """Yield the transformations of a `tf.data.Dataset`, from the last one to its sources.

    Relies on `DatasetV2._inputs()` and `_functions()`, `_reshuffle_each_iteration` and `_deterministic`.
    """
    operations: set[str] = set()
    for function in _attribute(dataset, "_functions")():
        graph = function.function.graph.as_graph_def()
        operations.update(node.op for node in graph.node)
        operations.update(node.op for inner in graph.library.function for node in inner.node_def)
    deterministic = str(getattr(dataset, "_deterministic", None) or "default").lower()
    reshuffles = bool(getattr(dataset, "_reshuffle_each_iteration", False))
    yield DatasetStep(type(dataset).__name__, frozenset(operations), reshuffles, deterministic)
    for parent in _attribute(dataset, "_inputs")():
        yield from dataset_steps(parent)


# KerasHub


def preset_function(name: str) -> Any:
    """Return a function of KerasHub that reads files of a preset.

    Relies on `keras_hub.src.utils.preset_utils`; KerasHub has no public function for a single file of a preset.

    Args:
        name: "check_file_exists" or "load_json", which take (preset, file name), or "get_preset_loader" (preset).
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
    DisentangledAttentionEncoder. That layer applies its own activation; `block.activation` is only saved.
    """
    return _attribute(block, "_feedforward_intermediate_dense")
