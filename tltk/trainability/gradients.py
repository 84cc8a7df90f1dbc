"""Which weights got a gradient, as far as an optimizer remembers."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tltk.trainability.slots import unwrapped

_COPIES = ("_average", "_anchor")  # slots that hold the weights themselves and not their gradients


def got_gradient(optimizer: Any, variables: Sequence[keras.Variable]) -> set[str]:
    """Name the variables of which an optimizer remembers a gradient other than zero.

    Args:
        optimizer: any of Keras', built; None and those without slots (plain SGD) remember nothing.
        variables: those to ask about.

    Returns:
        Their paths.
    """
    remembered = [slot.name for slot in _gradients(optimizer) if np.any(keras.ops.convert_to_numpy(slot))]
    every = [*getattr(unwrapped(optimizer), "_trainable_variables", ()), *variables] if optimizer is not None else []
    begins = {f"{variable.path.replace('/', '_')}_": variable.path for variable in every}
    # Of "a/kernel" and a layer called "a_kernel" the longer name is meant.
    owners = (max((begin for begin in begins if name.startswith(begin)), key=len, default="") for name in remembered)
    found = {begins[owner] for owner in owners if owner}
    return found & {variable.path for variable in variables}


def remembers_gradients(optimizer: Any) -> bool:
    """Tell whether an optimizer keeps something of every gradient: Adam and momentum do, plain SGD does not."""
    return bool(_gradients(optimizer))


def _gradients(optimizer: Any) -> list[keras.Variable]:
    held = [] if optimizer is None else unwrapped(optimizer).variables
    return [slot for slot in held if len(slot.shape) and not slot.name.endswith(_COPIES)]
