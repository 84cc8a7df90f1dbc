"""The graph of a functional Keras model: ordered nodes, ancestors, cuts, reproducible names, fingerprints."""

import hashlib
import itertools
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tltk.foundation import keras_private as private
from tltk.foundation.errors import InvalidInput

if TYPE_CHECKING:
    import keras


def nodes(model: "keras.Model") -> list[Any]:
    """List the nodes of a functional model from its inputs to its outputs, one per call of a layer."""
    by_depth = private.nodes_by_depth(model)
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]


def output_shapes(model: "keras.Model") -> dict[str, tuple[int | None, ...]]:
    """Return operation name → shape of its first output, ordered from the inputs to the outputs of the model."""
    return {node.operation.name: tuple(node.outputs[0].shape) for node in nodes(model)}


def ancestors(order: list[Any], name: str) -> set[str]:
    """Return the names of an operation and of all operations its output depends on.

    Args:
        order: Nodes in topological order, from `nodes`.
        name: Name of a layer or another operation.

    Returns:
        Names; empty if there is no such operation.
    """
    needed_tensors: set[int] = set()
    names: set[str] = set()
    for node in reversed(order):
        if node.operation.name == name or any(id(tensor) in needed_tensors for tensor in node.outputs):
            names.add(node.operation.name)
            needed_tensors.update(id(tensor) for tensor in node.input_tensors)
    return names


def descendants(tensors: "Iterable[keras.KerasTensor]", order: list[Any]) -> "list[keras.Operation]":
    """List the operations whose inputs depend on any of some tensors.

    Args:
        tensors: Symbolic tensors to start from.
        order: Nodes in topological order.

    Returns:
        Operations in order, each once.
    """
    reached = {id(tensor) for tensor in tensors}
    operations = []
    for node in order:
        if any(id(tensor) in reached for tensor in node.input_tensors):
            operations.append(node.operation)
            reached.update(id(tensor) for tensor in node.outputs)
    return list(dict.fromkeys(operations))


def ancestor_nodes(tensors: "Iterable[keras.KerasTensor]", *, until: "Iterable[keras.KerasTensor]" = ()) -> list[Any]:
    """List the nodes that compute some tensors, whether or not they belong to a model.

    Args:
        tensors: Symbolic tensors.
        until: Tensors to stop at; the nodes that compute these are not listed.

    Returns:
        Nodes in topological order: each one after the nodes whose outputs it takes.
    """
    seen = {id(tensor) for tensor in until}
    listed: list[Any] = []
    stack = [(tensor, False) for tensor in tensors]
    while stack:
        tensor, parents_are_listed = stack.pop()
        node = private.producing_node(tensor)
        if parents_are_listed:
            listed.append(node)
        elif id(tensor) not in seen and id(node) not in seen:
            seen.update((id(tensor), id(node)))
            stack.append((tensor, True))
            stack += [(parent, False) for parent in reversed(node.input_tensors)]
    return listed


def call_layers(model: "keras.Model", inputs: Any) -> Any:
    """Call the layers of a functional model one by one on new symbolic inputs, so that the graph stays flat.

    `model.call(inputs)` does the same, but first adds an operation that converts the inputs to tensors.

    Args:
        model: Functional model.
        inputs: Keras tensors in the structure of `model.input`.

    Returns:
        Keras tensors in the structure of `model.output`.
    """
    import keras

    tensors = dict(zip(map(id, model.inputs), keras.tree.flatten(inputs), strict=True))
    call_nodes(nodes(model), tensors)
    return keras.tree.map_structure(lambda tensor: tensors[id(tensor)], model.output)


def call_nodes(order: list[Any], tensors: "dict[int, keras.KerasTensor]") -> None:
    """Repeat the calls that nodes record, on new tensors.

    Args:
        order: Nodes in topological order; input nodes are skipped.
        tensors: Id of an old tensor → the new tensor; the new outputs are added in place.
    """
    import keras

    for node in order:
        if not node.is_input:
            args, kwargs = node.arguments.fill_in(tensors)
            outputs = keras.tree.flatten(node.operation(*args, **kwargs))
            tensors.update(zip(map(id, node.outputs), outputs, strict=True))


def cut_nodes(order: list[Any]) -> list[Any]:
    """List the nodes at which a model can be cut in two with a single tensor between the parts.

    Args:
        order: Nodes in topological order, of a model with one input and one output.

    Returns:
        The nodes whose output is that tensor, in order; the first is the input, the last the output.
    """
    uses: dict[int, int] = {}  # tensor id → number of nodes that take it
    for node in order:
        for tensor in node.input_tensors:
            uses[id(tensor)] = uses.get(id(tensor), 0) + 1
    open_uses: dict[int, int] = {}  # the same for computed tensors that later nodes still take
    cuts = []
    for node in order:
        for tensor in node.input_tensors:
            open_uses[id(tensor)] -= 1
            if not open_uses[id(tensor)]:
                del open_uses[id(tensor)]
        open_uses.update({id(tensor): uses[id(tensor)] for tensor in node.outputs if id(tensor) in uses})
        if len(open_uses) <= 1 and len(node.outputs) == 1:
            cuts.append(node)
    return cuts


def rename_automatic(model: "keras.Model") -> None:
    """Give layers with automatic names the names they would have in a fresh session.

    Keras counts through the whole process ("conv2d_94" in the second InceptionV3). Without new names, stages and the
    layer rules of a saved plan would not match their layers again.

    Args:
        model: Functional model that tltk has just built; its operations are renamed in place.
    """
    groups: dict[str, list[tuple[int, Any]]] = {}
    for operation in model.operations:
        base_name = _snake_case(type(operation).__name__)
        match = re.fullmatch(rf"{base_name}(?:_(\d+))?", operation.name)
        if match:
            groups.setdefault(base_name, []).append((int(match[1] or 0), operation))
    for base_name, members in groups.items():
        for index, (_, operation) in enumerate(sorted(members, key=lambda member: member[0])):
            operation.name = base_name if index == 0 else f"{base_name}_{index}"


def sibling_name(operation: Any, last_index: dict[str, int]) -> str:
    """Return a name of an operation that is the same in every session; it is not renamed.

    Args:
        operation: Layer or other operation.
        last_index: Automatic base name, such as "dense" → index of the last sibling with it; updated in place.

    Returns:
        The name the user gave, or for an automatic name "dense", "dense_1" … counted among its siblings.
    """
    base_name = _snake_case(type(operation).__name__)
    if not re.fullmatch(rf"{base_name}(?:_\d+)?", operation.name):
        return operation.name
    index = last_index[base_name] = last_index.get(base_name, -1) + 1
    return base_name if index == 0 else f"{base_name}_{index}"


def distinct_name(operation: Any, taken: set[str]) -> str:
    """Return an unused name for an operation, the same in every session; it is not renamed.

    Args:
        operation: Layer or other operation.
        taken: Names in use.

    Returns:
        The name the user gave, or for an automatic name the name of its class; with "_1", "_2" … if that is taken.
    """
    class_name = _snake_case(type(operation).__name__)
    base_name = class_name if re.fullmatch(rf"{class_name}(?:_\d+)?", operation.name) else operation.name
    numbered = (f"{base_name}_{number}" for number in itertools.count(1))
    return next(name for name in itertools.chain([base_name], numbered) if name not in taken)


def rename_added(network: "keras.Model", outputs: Any) -> list[Any]:
    """Rename operations that were added to a functional model, so that no name occurs twice.

    Keras counts automatic names through the whole process, so a new operation may get the name of a loaded one.

    Args:
        network: Functional model; its own operations are not renamed.
        outputs: Tensors computed from tensors of the network, in any structure.

    Returns:
        The nodes that lead from the network's tensors to `outputs`, in topological order.
    """
    import keras

    network_operations = {id(operation) for operation in network.operations}
    network_tensors = [tensor for node in nodes(network) for tensor in node.outputs]
    new_nodes = ancestor_nodes(keras.tree.flatten(outputs), until=network_tensors)
    added = [node for node in new_nodes if id(node.operation) not in network_operations]
    make_names_unique(added, {operation.name for operation in network.operations})
    return added


def make_names_unique(nodes: list[Any], taken: set[str]) -> None:
    """Rename the operations of nodes, so that their names differ from each other and from `taken`.

    Args:
        nodes: Nodes of operations that are in no model yet; these operations are renamed in place.
        taken: Names of the other operations of the future model.
    """
    taken = set(taken)
    for operation in dict.fromkeys(node.operation for node in nodes):
        name = distinct_name(operation, taken)
        taken.add(name)
        if name != operation.name:
            private.rename(operation, name)


def _snake_case(name: str) -> str:
    """Convert a class name as Keras does for automatic names (keras/src/utils/naming.py)."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def fingerprint(model: "keras.Model") -> str:
    """Return a SHA-256 of what a functional model computes: its operations, their connections and their weights.

    Names of layers are left out, since automatic ones depend on the models built before. The code of user-defined
    layers is not hashed, only their configuration, weights and `cache_version`.

    Args:
        model: Functional model.

    Returns:
        64 hexadecimal digits.

    Raises:
        InvalidInput: If the configuration of a layer is unknown: `get_config` is missing or fails.

    Examples:
        >>> import keras
        >>> x = keras.Input((2,))
        >>> len(fingerprint(keras.Model(x, keras.layers.ReLU()(x))))
        64
    """
    import keras

    digest = hashlib.sha256()
    positions: dict[int, tuple[int, int]] = {}
    for node_index, node in enumerate(nodes(model)):
        operation = node.operation
        nested = as_functional(operation)
        config = {} if nested is not None else _config(operation)
        config = {key: value for key, value in config.items() if key != "name"}
        input_positions = [positions.get(id(tensor)) for tensor in node.input_tensors]
        arguments = [value for value in _flat_arguments(node) if not isinstance(value, keras.KerasTensor)]
        contents = (type(operation).__name__, _without_names(config), input_positions, _without_names(arguments))
        digest.update(repr(contents).encode())
        digest.update(repr(_cache_versions(operation)).encode())
        digest.update(fingerprint(nested).encode() if nested is not None else b"")
        for weight in getattr(operation, "weights", ()):
            digest.update(repr((weight.shape, str(weight.dtype))).encode() + weight.numpy().tobytes())
        positions.update({id(tensor): (node_index, index) for index, tensor in enumerate(node.outputs)})
    digest.update(repr([positions.get(id(tensor)) for tensor in model.outputs]).encode())
    return digest.hexdigest()


def as_functional(operation: Any) -> "keras.Model | None":
    """Return a nested functional or Sequential model as a functional one; None for any other layer."""
    import keras

    if isinstance(operation, keras.Sequential) and getattr(operation, "inputs", None):  # raises until it is built
        return keras.Model(operation.inputs, operation.outputs)
    return operation if isinstance(operation, keras.Function) else None


def _flat_arguments(node: Any) -> list[Any]:
    import keras

    return keras.tree.flatten((node.arguments.args, node.arguments.kwargs))


def _without_names(config: Any) -> Any:
    """Return a configuration without the names and `trainable` flags of layers, in a form whose repr is complete.

    Only a dict with "trainable" describes a layer: the name of a dtype policy, for example, has to stay.
    """
    if isinstance(config, dict):
        omitted = ("name", "trainable") if "trainable" in config else ()
        return sorted((key, _without_names(value)) for key, value in config.items() if key not in omitted)
    if isinstance(config, list | tuple):
        return [_without_names(value) for value in config]
    if hasattr(config, "__array__"):  # the repr of a large array omits its middle
        array = config.__array__()
        return str(array.dtype), array.shape, hashlib.sha256(array.tobytes()).hexdigest()
    return repr(config)


def is_library_module(module: str | None) -> bool:
    """Tell whether a module belongs to Keras, KerasHub, TensorFlow, tltk or Python, rather than to the user."""
    return (module or "").split(".")[0] in ("keras", "keras_hub", "tltk", "tensorflow", "builtins")


def _config(operation: Any) -> dict:
    try:
        return operation.get_config() if hasattr(operation, "get_config") else {}
    except (NotImplementedError, TypeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise InvalidInput(
            f"the output of layer {operation.name!r} cannot be cached, because its `get_config` failed: {reason} "
            'Give the layer a `get_config`, or pass cache="memory" or "off".'
        ) from error


def _cache_versions(operation: Any) -> list[tuple[str, Any]]:
    """Return (class name, `cache_version`) of every user-defined layer in an operation, in order."""
    import keras

    layers = private.flattened_sublayers(operation) if isinstance(operation, keras.Layer) else [operation]
    user_layers = [layer for layer in layers if not is_library_module(type(layer).__module__)]
    return [(type(layer).__name__, repr(getattr(layer, "cache_version", None))) for layer in user_layers]
