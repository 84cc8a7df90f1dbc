"""Reading the graph of a functional Keras model: order, ancestors, single-tensor cuts, reproducible names."""

import hashlib
import itertools
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tltk.foundation import keras_private as private

if TYPE_CHECKING:
    import keras


def nodes(model: "keras.Model") -> list[Any]:
    """List the nodes of a functional model from its inputs to its outputs; a layer that is called twice has two."""
    by_depth = private.nodes_by_depth(model)
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]


def output_shapes(model: "keras.Model") -> dict[str, tuple[int | None, ...]]:
    """Return operation name → shape of its output, from the input to the output, which is the last."""
    return {node.operation.name: tuple(node.outputs[0].shape) for node in nodes(model)}


def leading_to(order: list[Any], name: str) -> set[str]:
    """Name the operation called `name` and every operation whose output reaches it.

    Args:
        order: from `nodes`.
        name: of a layer or an operation.

    Returns:
        Names; empty if there is no such operation.
    """
    wanted: set[int] = set()
    found: set[str] = set()
    for node in reversed(order):
        if node.operation.name == name or any(id(tensor) in wanted for tensor in node.outputs):
            found.add(node.operation.name)
            wanted.update(id(tensor) for tensor in node.input_tensors)
    return found


def behind(tensors: "Iterable[keras.KerasTensor]", order: list[Any]) -> "list[keras.Operation]":
    """List the operations that take tensors, or what was made of them.

    Args:
        tensors: where to start.
        order: nodes in topological order.

    Returns:
        Operations in order, each once.
    """
    reached = {id(tensor) for tensor in tensors}
    found = []
    for node in order:
        if any(id(tensor) in reached for tensor in node.input_tensors):
            found.append(node.operation)
            reached.update(id(tensor) for tensor in node.outputs)
    return list(dict.fromkeys(found))


def calls_behind(tensors: "Iterable[keras.KerasTensor]", *, until: "Iterable[keras.KerasTensor]" = ()) -> list[Any]:
    """List the calls of operations that lead to tensors, whether or not they are in a model.

    Args:
        tensors: symbolic tensors.
        until: where to stop: what leads to these is left out.

    Returns:
        Nodes in topological order: each after those whose outputs it takes.
    """
    seen = {id(tensor) for tensor in until}
    found: list[Any] = []
    waiting = [(tensor, False) for tensor in tensors]
    while waiting:
        tensor, parents_are_listed = waiting.pop()
        node = private.producing_node(tensor)
        if parents_are_listed:
            found.append(node)
        elif id(tensor) not in seen and id(node) not in seen:
            seen.update((id(tensor), id(node)))
            waiting.append((tensor, True))
            waiting += [(parent, False) for parent in reversed(node.input_tensors)]
    return found


def call_layers(model: "keras.Model", inputs: Any) -> Any:
    """Call the layers of a functional model one by one on other symbolic inputs, which keeps the graph flat.

    Args:
        model: functional.
        inputs: Keras tensors in the structure of `model.input`. `model.call(inputs)` does the same, but puts an
            operation that converts to a tensor in front.

    Returns:
        Keras tensors in the structure of `model.output`.
    """
    import keras

    tensors = dict(zip(map(id, model.inputs), keras.tree.flatten(inputs), strict=True))
    call_nodes(nodes(model), tensors)
    return keras.tree.map_structure(lambda tensor: tensors[id(tensor)], model.output)


def call_nodes(order: list[Any], tensors: "dict[int, keras.KerasTensor]") -> None:
    """Call operations again as nodes say, with other tensors in the place of their arguments.

    Args:
        order: nodes in topological order; inputs are skipped.
        tensors: id of an old tensor → the new one; filled with the new outputs.
    """
    import keras

    for node in order:
        if not node.is_input:
            args, kwargs = node.arguments.fill_in(tensors)
            outputs = keras.tree.flatten(node.operation(*args, **kwargs))
            tensors.update(zip(map(id, node.outputs), outputs, strict=True))


def cuts(order: list[Any]) -> list[Any]:
    """List the nodes whose single output is all that goes from the graph's earlier part into its later part.

    Args:
        order: from `nodes`, of a model with one input and one output.

    Returns:
        Those nodes, in order; the first is the input, the last the output.
    """
    readers: dict[int, int] = {}
    for node in order:
        for tensor in node.input_tensors:
            readers[id(tensor)] = readers.get(id(tensor), 0) + 1
    alive: dict[int, int] = {}
    found = []
    for node in order:
        for tensor in node.input_tensors:
            alive[id(tensor)] -= 1
            if not alive[id(tensor)]:
                del alive[id(tensor)]
        alive.update({id(tensor): readers[id(tensor)] for tensor in node.outputs if id(tensor) in readers})
        if len(alive) <= 1 and len(node.outputs) == 1:
            found.append(node)
    return found


def rename_automatic(model: "keras.Model") -> None:
    """Give layers that Keras named by a counter the names they have in a fresh session.

    The counter runs on from model to model ("conv2d_94" in the second InceptionV3 of a process), so without this
    neither stages nor the layer rules of a saved plan would find their layers again.

    Args:
        model: built by tltk and nobody else's yet; its operations are renamed in place.
    """
    groups: dict[str, list[tuple[int, Any]]] = {}
    for operation in model.operations:
        kind = _snake_case(type(operation).__name__)
        match = re.fullmatch(rf"{kind}(?:_(\d+))?", operation.name)
        if match:
            groups.setdefault(kind, []).append((int(match[1] or 0), operation))
    for kind, members in groups.items():
        for index, (_, operation) in enumerate(sorted(members, key=lambda member: member[0])):
            operation.name = kind if index == 0 else f"{kind}_{index}"


def counted_anew(operation: Any, counts: dict[str, int]) -> str:
    """Name an operation as in a fresh session: a name that Keras made up by a counter is counted within its siblings.

    Args:
        operation: a layer or operation; it is not renamed.
        counts: how many automatic names of each kind came before among the siblings; updated.

    Returns:
        Its own name, or "dense", "dense_1" … in order.
    """
    kind = _snake_case(type(operation).__name__)
    if not re.fullmatch(rf"{kind}(?:_\d+)?", operation.name):
        return operation.name
    index = counts[kind] = counts.get(kind, -1) + 1
    return kind if index == 0 else f"{kind}_{index}"


def distinct_name(operation: Any, taken: set[str]) -> str:
    """Return a name for an operation that no other one has, the same in every session.

    Args:
        operation: a layer or operation; it is not renamed.
        taken: names that are in use.

    Returns:
        Its own name, or for a name that Keras made up, the name of its class; with "_1", "_2" … if that is taken.
    """
    kind = _snake_case(type(operation).__name__)
    base = kind if re.fullmatch(rf"{kind}(?:_\d+)?", operation.name) else operation.name
    numbered = (f"{base}_{number}" for number in itertools.count(1))
    return next(name for name in itertools.chain([base], numbered) if name not in taken)


def name_added(network: "keras.Model", outputs: Any) -> list[Any]:
    """Give the operations that were put on a functional model names that the model does not have.

    Keras counts its own names through a whole process, so that a new operation may get the name of one that was loaded.

    Args:
        network: functional; nothing of it is renamed.
        outputs: tensors made of the network's own, in any structure.

    Returns:
        The calls that lead from the network's tensors to `outputs`, in topological order.
    """
    import keras

    own = {id(operation) for operation in network.operations}
    held = [tensor for node in nodes(network) for tensor in node.outputs]
    calls = calls_behind(keras.tree.flatten(outputs), until=held)
    added = [call for call in calls if id(call.operation) not in own]
    name_apart(added, {operation.name for operation in network.operations})
    return added


def name_apart(nodes: list[Any], taken: set[str]) -> None:
    """Give the operations of nodes names that no other operation has.

    Args:
        nodes: calls of operations of tltk's own, in no model yet; those operations are renamed in place.
        taken: names of the other operations of the model to be.
    """
    taken = set(taken)
    for operation in dict.fromkeys(node.operation for node in nodes):
        name = distinct_name(operation, taken)
        taken.add(name)
        if name != operation.name:
            private.rename(operation, name)


def _snake_case(name: str) -> str:
    """Spell a class name as Keras does for automatic names (keras/src/utils/naming.py)."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def fingerprint(model: "keras.Model") -> str:
    """Return a SHA-256 of what a functional model computes: its operations, their connections and their weights.

    The names of layers are left out, since Keras numbers some of them by how many there were before. The code of own
    layers is not looked at: their configuration, weights and `cache_version` count.

    Args:
        model: Functional model.

    Returns:
        64 hexadecimal digits.

    Raises:
        ValueError: If a layer cannot be described: it has no `get_config`, or one that Keras cannot serialize.

    Example:
        >>> import keras
        >>> x = keras.Input((2,))
        >>> len(fingerprint(keras.Model(x, keras.layers.ReLU()(x))))
        64
    """
    import keras

    digest = hashlib.sha256()
    positions: dict[int, tuple[int, int]] = {}
    for number, node in enumerate(nodes(model)):
        operation = node.operation
        nested = _as_functional(operation)
        config = {} if nested is not None else _config(operation)
        config = {key: value for key, value in config.items() if key != "name"}
        sources = [positions.get(id(tensor)) for tensor in node.input_tensors]
        arguments = [value for value in _flat(node.arguments) if not isinstance(value, keras.KerasTensor)]
        digest.update(repr((type(operation).__name__, _nameless(config), sources, _nameless(arguments))).encode())
        digest.update(repr(_cache_versions(operation)).encode())
        digest.update(fingerprint(nested).encode() if nested is not None else b"")
        for weight in getattr(operation, "weights", ()):
            digest.update(repr((weight.shape, str(weight.dtype))).encode() + weight.numpy().tobytes())
        positions.update({id(tensor): (number, index) for index, tensor in enumerate(node.outputs)})
    digest.update(repr([positions.get(id(tensor)) for tensor in model.outputs]).encode())
    return digest.hexdigest()


def _as_functional(operation: Any) -> "keras.Model | None":
    """Return the functional model that a layer is, or that a Sequential consists of; None for any other layer."""
    import keras

    if isinstance(operation, keras.Sequential) and getattr(operation, "inputs", None):  # an error until it is built
        return keras.Model(operation.inputs, operation.outputs)
    return operation if isinstance(operation, keras.Function) else None


def _flat(arguments: Any) -> list[Any]:
    import keras

    return keras.tree.flatten((arguments.args, arguments.kwargs))


def _nameless(config: Any) -> Any:
    """Leave out the names of layers, but nothing else: the name of a dtype policy is its whole configuration."""
    if isinstance(config, dict):
        left_out = ("name", "trainable") if "trainable" in config else ()
        return sorted((key, _nameless(value)) for key, value in config.items() if key not in left_out)
    if isinstance(config, list | tuple):
        return [_nameless(value) for value in config]
    if hasattr(config, "__array__"):  # the repr of a large array omits its middle
        array = config.__array__()
        return str(array.dtype), array.shape, hashlib.sha256(array.tobytes()).hexdigest()
    return repr(config)


def is_library_module(module: str | None) -> bool:
    """Tell whether code belongs to Keras, KerasHub, TensorFlow or tltk, and is not somebody's own."""
    return (module or "").split(".")[0] in ("keras", "keras_hub", "tltk", "tensorflow", "builtins")


def _config(operation: Any) -> dict:
    try:
        return operation.get_config() if hasattr(operation, "get_config") else {}
    except (NotImplementedError, TypeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise ValueError(
            f"the output of layer {operation.name!r} cannot be cached, since its configuration is unknown: {reason} "
            'Give the layer a `get_config`, or pass cache="memory" or "off".'
        ) from error


def _cache_versions(operation: Any) -> list[tuple[str, Any]]:
    """List the `cache_version` of every own layer in an operation, in order."""
    import keras

    layers = private.flattened_sublayers(operation) if isinstance(operation, keras.Layer) else [operation]
    own = [type(layer) for layer in layers if not is_library_module(type(layer).__module__)]
    versions = [getattr(layer, "cache_version", None) for layer in layers if type(layer) in own]
    return [(cls.__name__, repr(version)) for cls, version in zip(own, versions, strict=True)]
