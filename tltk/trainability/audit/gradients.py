"""Which weights got a gradient, as far as an optimizer's state shows it."""

from typing import Any

import keras
import numpy as np

from tltk.foundation import keras_private as private
from tltk.optimizers.state import without_loss_scaling

_FADING = "momentums"  # decays by 0.9 per step: some thousand steps without a gradient leave nothing of it
_FADED = 500  # steps


def got_gradient(optimizer: Any) -> dict[int, bool]:
    """Tell which weights have had a gradient other than zero.

    Args:
        optimizer: Any built Keras optimizer. None and those without state (plain SGD) show nothing.

    Returns:
        `id` of a variable → whether there was a gradient; without variables for which the state does not show it.
    """
    if optimizer is None:
        return {}
    inner = without_loss_scaling(optimizer)
    # The anchors of L2-SP, in tltk's own optimizers, are weights.
    lists = {name: values for name, values in private.update_state(inner).items() if name != "anchors"}
    steps = int(keras.ops.convert_to_numpy(inner.iterations))
    had_gradient: dict[int, bool] = {}
    for index, variable in enumerate(private.optimizer_variables(inner)):
        state = {name: values[index] for name, values in lists.items() if values[index] is not None}
        changed = any(np.any(keras.ops.convert_to_numpy(value) != _start(inner, name)) for name, value in state.items())
        lasting = any(not name.endswith(_FADING) for name in state) or steps <= _FADED
        if state and (changed or lasting):
            had_gradient[id(variable)] = bool(changed)
    return had_gradient


def moves_without_gradient(optimizer: Any) -> bool:
    """Tell whether an optimizer moves weights without a gradient: by weight decay, or by tltk's L2-SP."""
    inner = without_loss_scaling(optimizer) if optimizer is not None else None
    l2_sp = getattr(getattr(inner, "settings", None), "l2_sp", 0)
    return bool(getattr(inner, "weight_decay", 0) or getattr(inner, "adam_weight_decay", 0) or l2_sp)


def _start(optimizer: Any, name: str) -> float:
    """Return the initial value of a state: Adagrad and Ftrl do not start at zero."""
    return getattr(optimizer, "initial_accumulator_value", 0.0) if name.endswith("accumulators") else 0.0
