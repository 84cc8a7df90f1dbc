"""Which weights got a gradient, as far as an optimizer remembers."""

from typing import Any

import keras
import numpy as np

from tltk.foundation import keras_private as private
from tltk.optimizers.state import unwrapped

_FADING = "momentums"  # 0.9 a step: after some thousand steps without a gradient nothing is left
_FADED = 500  # steps


def got_gradient(optimizer: Any) -> dict[int, bool]:
    """Tell of which weights an optimizer remembers a gradient other than zero.

    Args:
        optimizer: any of Keras', built; None and those without slots (plain SGD) remember nothing.

    Returns:
        `id` of a variable → whether there was a gradient; without those of which nothing is remembered.
    """
    if optimizer is None:
        return {}
    inner = unwrapped(optimizer)
    # The anchors of L2-SP, in tltk's own optimizers, are weights.
    lists = {name: state for name, state in private.update_state(inner).items() if name != "anchors"}
    steps = int(keras.ops.convert_to_numpy(inner.iterations))
    found: dict[int, bool] = {}
    for index, variable in enumerate(private.optimizer_variables(inner)):
        slots = {name: held[index] for name, held in lists.items() if held[index] is not None}
        seen = any(np.any(keras.ops.convert_to_numpy(slot) != _start(inner, name)) for name, slot in slots.items())
        lasting = any(not name.endswith(_FADING) for name in slots) or steps <= _FADED
        if slots and (seen or lasting):
            found[id(variable)] = bool(seen)
    return found


def decays(optimizer: Any) -> bool:
    """Tell whether an optimizer moves weights that have no gradient: by weight decay, or a pull of tltk's own."""
    inner = unwrapped(optimizer) if optimizer is not None else None
    pull = getattr(getattr(inner, "terms", None), "pull", 0)
    return bool(getattr(inner, "weight_decay", 0) or getattr(inner, "adam_weight_decay", 0) or pull)


def _start(optimizer: Any, name: str) -> float:
    """Return what a slot holds before the first gradient: Adagrad and Ftrl do not begin at zero."""
    return getattr(optimizer, "initial_accumulator_value", 0.0) if name.endswith("accumulators") else 0.0
