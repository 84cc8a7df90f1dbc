"""What a checkpoint holds of the objects that change during training, and how it is given back to them."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import keras
import numpy as np

from tltk.foundation.errors import InvalidInput


class Stateful(Protocol):
    """An object whose state is saved in checkpoints: nested dicts, lists and tuples of arrays, numbers and texts."""

    def get_state(self) -> Any:
        """Return the state; arrays in it are not changed afterwards."""

    def set_state(self, state: Any) -> None:
        """Continue from a state that `get_state` returned."""


class Variables:
    """The values of Keras variables, in a fixed order.

    Args:
        name: What they are, for messages, such as "the optimizer".
        variables: Returns the variables; called whenever the state is read or set, since some are created late.
    """

    def __init__(self, name: str, variables: Callable[[], Sequence[keras.Variable]]) -> None:
        self.name = name
        self.variables = variables

    def get_state(self) -> list[np.ndarray]:
        """Return a copy of each value."""
        return [np.array(keras.ops.convert_to_numpy(variable)) for variable in self.variables()]

    def set_state(self, state: list[np.ndarray]) -> None:
        """Assign the values.

        Raises:
            InvalidInput: If there are other variables than when the checkpoint was written.
        """
        variables = list(self.variables())
        shapes, stored = [tuple(variable.shape) for variable in variables], [value.shape for value in state]
        if shapes != stored:
            raise InvalidInput(
                f"the checkpoint does not fit {self.name}: it has {len(stored)} arrays, of which "
                f"{sum(shape not in shapes for shape in stored)} have a shape that no variable has now, and there are "
                f"{len(shapes)} variables."
            )
        for variable, value in zip(variables, state, strict=True):
            variable.assign(value)
