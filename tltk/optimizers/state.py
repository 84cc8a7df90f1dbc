"""Slots: what an optimizer remembers of each variable, carried from one phase to the next."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np

from tltk.foundation import checks as check
from tltk.foundation import keras_private as private
from tltk.optimizers.per_variable import SGD, AdamW


@dataclass(frozen=True)
class Slots:
    """What an optimizer remembers, by variable path.

    Args:
        kind: "adamw" or "sgd".
        values: variable path → slot name ("momentum", "velocity") → array of the variable's shape.
        steps: variable path → optimizer steps it has taken, phases before included; for Adam's bias correction.
    """

    kind: str
    values: Mapping[str, Mapping[str, np.ndarray]]
    steps: Mapping[str, int]


def slots(optimizer: keras.optimizers.Optimizer) -> Slots:
    """Copy what a trained optimizer remembers.

    SGD's momentum is taken without the variable's multiplier, which may be another one in the next phase. It does hold
    the learning rates it was gathered at, as everywhere in Keras. Averages (EMA) and half-accumulated gradients are
    not taken: the phase ends with the averages in the model, and a new one starts with a whole step.

    Args:
        optimizer: from `optimizers.build`, loss scaling or not.

    Returns:
        A copy in host memory: twice the size of the learning weights for AdamW, once for SGD.

    Raises:
        TypeError: if the optimizer is not one that `build` made.
        ValueError: if two of its variables have the same path, so that they cannot be told apart.

    Example:
        >>> import keras
        >>> from tltk.optimizers.spec import build, sgd
        >>> variable = keras.Variable([1.0, 2.0], name="kernel")
        >>> slots(build(sgd(), 0.1, [variable])).values["kernel"]["momentum"]
        array([0., 0.], dtype=float32)
    """
    inner = unwrapped(optimizer)
    if not isinstance(inner, AdamW | SGD):
        raise TypeError(f"`optimizer` must come from optimizers.build. Received: {type(inner).__name__}")
    variables = private.optimizer_variables(inner)
    require_own_paths(variables)
    values = {}
    for index, variable in enumerate(variables):
        factor = inner._multipliers[index] if inner.rate_in_momentum else 1.0
        lists = inner.state_lists()
        values[variable.path] = {name: _array(state[index]) / factor for name, state in lists.items() if state}
    before = _array(inner.steps_before) if isinstance(inner, AdamW) else np.zeros(len(variables), int)
    taken = int(_array(inner.iterations))
    steps = {variable.path: taken + int(more) for variable, more in zip(variables, before, strict=True)}
    return Slots(inner.kind, values, steps)


def put(carried: Slots, optimizer: AdamW | SGD) -> None:
    """Put slots into a built optimizer of the same kind; with another kind nothing is carried.

    Args:
        carried: from `slots`.
        optimizer: freshly built; variables that `carried` does not know stay at zero.

    Raises:
        ValueError: naming every variable whose shape has changed.
    """
    if carried.kind != optimizer.kind:
        return
    variables = private.optimizer_variables(optimizer)
    known = [(index, variable) for index, variable in enumerate(variables) if variable.path in carried.values]
    _check_shapes(carried, [variable for _, variable in known])
    steps = np.zeros(len(variables), "int64")
    for index, variable in known:
        factor = optimizer._multipliers[index] if optimizer.rate_in_momentum else 1.0
        for name, state in optimizer.state_lists().items():
            value = carried.values[variable.path].get(name)
            if state and value is not None:
                state[index].assign(value * factor)
        steps[index] = carried.steps[variable.path]
    if isinstance(optimizer, AdamW):
        optimizer.steps_before.assign(steps)


def unwrapped(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return the optimizer itself, taken out of its loss scaling."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def require_own_paths(variables: list[keras.Variable], among: list[keras.Variable] | None = None) -> None:
    """Raise if one of some variables has the path of another: what is kept by path would be mixed up.

    Args:
        variables: those that are kept.
        among: all others, which may share paths with each other; None for none.
    """
    every = {id(variable): variable for variable in (*variables, *(among or ()))}
    counted = Counter(variable.path for variable in every.values())
    twice = [path for path in dict.fromkeys(variable.path for variable in variables) if counted[path] > 1]
    if twice:
        raise ValueError(
            f"several variables are called {check.listing(twice, limit=6)}, and one of each is to learn. Give their "
            "layers names of their own when you make them, or freeze all of them."
        )


def _check_shapes(carried: Slots, variables: list[keras.Variable]) -> None:
    problems = check.Problems()
    for variable in variables:
        for name, value in carried.values[variable.path].items():
            if value.shape != tuple(variable.shape):
                problems.add(f"`{variable.path}` is {tuple(variable.shape)}, its carried {name} is {value.shape}")
    problems.raise_if_any()


def _array(variable: keras.Variable) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(variable))
