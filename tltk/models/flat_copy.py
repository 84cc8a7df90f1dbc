"""A copy of a functional model without nested models, on inputs that other operations may precede."""

from dataclasses import dataclass, field
from typing import Any

import keras

from tltk.foundation import keras_graph as graph
from tltk.foundation import keras_private as private
from tltk.foundation.errors import InvalidInput


@dataclass
class FlatCopy:
    """Copies the layers of a model, those of nested models included, as one flat graph.

    The copies have the weights of the originals, but share nothing with them. A layer whose name is taken gets a
    numbered name.

    Attributes:
        taken: Names of the operations of the new model; those of operations before the copy have to be given.
        nested_ends: Name of each nested model that has weights → name of the operation that computes its output.
    """

    taken: set[str] = field(default_factory=set)
    nested_ends: dict[str, str] = field(default_factory=dict)
    _copies: dict[int, Any] = field(default_factory=dict)

    def call(self, model: keras.Model, inputs: keras.KerasTensor) -> Any:
        """Copy a model onto new inputs.

        Args:
            model: Functional model with one input.
            inputs: Keras tensor that takes the place of its input.

        Returns:
            Keras tensors in the structure of `model.output`.

        Raises:
            InvalidInput: If a layer cannot be copied, such as one without `get_config`.
        """
        outputs = self._call(model, [inputs])
        for original, copied in self._copies.values():
            if getattr(original, "weights", ()):
                copied.set_weights(original.get_weights())
        return outputs

    def _call(self, model: keras.Model, inputs: list[keras.KerasTensor]) -> Any:
        tensors = dict(zip(map(id, model.inputs), inputs, strict=True))
        for node in graph.nodes(model):
            if node.is_input:
                continue
            arguments, options = node.arguments.fill_in(tensors)
            nested = graph.as_functional(node.operation)
            if nested is None:
                outputs = self._copy(node.operation)(*arguments, **options)
            else:
                outputs = self._call(nested, keras.tree.flatten(arguments[0]))
                if nested.weights:
                    self.nested_ends[node.operation.name] = _producer(outputs).name
            tensors.update(zip(map(id, node.outputs), keras.tree.flatten(outputs), strict=True))
        return keras.tree.map_structure(lambda tensor: tensors[id(tensor)], model.output)

    def _copy(self, operation: Any) -> Any:
        if id(operation) not in self._copies:
            name = operation.name if operation.name not in self.taken else graph.distinct_name(operation, self.taken)
            self.taken.add(name)
            try:
                copied = type(operation).from_config({**operation.get_config(), "name": name})
            except (NotImplementedError, TypeError, ValueError) as error:
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise InvalidInput(
                    f"layer {operation.name!r} cannot be copied: {reason} Give it a `get_config`, or pass a model "
                    "without nested models that takes RGB pixels in [0, 255], which needs no copy."
                ) from error
            self._copies[id(operation)] = operation, copied
        return self._copies[id(operation)][1]


def has_nested_models(model: keras.Model) -> bool:
    """Tell whether any layer of a model is a functional or sequential model itself."""
    return any(graph.as_functional(operation) is not None for operation in model.operations)


def _producer(outputs: Any) -> Any:
    """Return the operation that computes the first of some tensors."""
    return private.producing_node(keras.tree.flatten(outputs)[0]).operation
