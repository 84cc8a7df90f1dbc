"""Optimizer state: momentum and step counts of each variable, carried over from one phase to the next."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np

from tltk.foundation import checks as check
from tltk.foundation import keras_private as private
from tltk.foundation.errors import InvalidInput, InvalidType
from tltk.optimizers.per_variable import SGD, AdamW


@dataclass(frozen=True)
class OptimizerState:
    """State of an optimizer, by variable path.

    Args:
        algorithm: "adamw" or "sgd".
        values: Variable path → name of the state ("momentum", "velocity") → array of the variable's shape.
        steps: Variable path → optimizer steps taken, earlier phases included; for Adam's bias correction.
    """

    algorithm: str
    values: Mapping[str, Mapping[str, np.ndarray]]
    steps: Mapping[str, int]


def optimizer_state(optimizer: keras.optimizers.Optimizer) -> OptimizerState:
    """Copy the state of a trained optimizer.

    SGD's momentum is divided by the variable's learning-rate multiplier, which may differ in the next phase. It does
    contain the learning rates under which it was accumulated, as everywhere in Keras. Averages (EMA) and incomplete
    gradient accumulation are left out: a phase leaves the averages in the model, and a new one starts with a whole
    step.

    Args:
        optimizer: Built by `optimizers.spec.build`, with or without loss scaling.

    Returns:
        A copy in host memory: twice the size of the trained weights for AdamW, once for SGD.

    Raises:
        InvalidType: If the optimizer was not built by `build`.
        InvalidInput: If two of its variables have the same path.

    Examples:
        >>> import keras
        >>> from tltk.optimizers.spec import build, sgd
        >>> variable = keras.Variable([1.0, 2.0], name="kernel")
        >>> optimizer_state(build(sgd(), 0.1, [variable])).values["kernel"]["momentum"]
        array([0., 0.], dtype=float32)
    """
    inner = unwrapped(optimizer)
    if not isinstance(inner, AdamW | SGD):
        raise InvalidType(f"`optimizer` must be built by optimizers.spec.build. Received: {type(inner).__name__}")
    variables = private.optimizer_variables(inner)
    require_unique_paths(variables)
    values = {}
    for index, variable in enumerate(variables):
        factor = inner.lr_multipliers[index] if inner.rate_in_momentum else 1.0
        lists = inner.state_lists()
        values[variable.path] = {name: _array(state[index]) / factor for name, state in lists.items() if state}
    before = _array(inner.steps_before) if isinstance(inner, AdamW) else np.zeros(len(variables), int)
    now = int(_array(inner.iterations))
    steps = {variable.path: now + int(earlier) for variable, earlier in zip(variables, before, strict=True)}
    return OptimizerState(inner.algorithm, values, steps)


def restore(optimizer: AdamW | SGD, state: OptimizerState) -> None:
    """Restore the state of an earlier optimizer; with another algorithm nothing is restored.

    Args:
        optimizer: Newly built; variables that are not in `state` keep a state of zero.
        state: From `optimizer_state`.

    Raises:
        InvalidInput: Naming every variable whose shape has changed.
    """
    if state.algorithm != optimizer.algorithm:
        return
    variables = private.optimizer_variables(optimizer)
    continued = [(index, variable) for index, variable in enumerate(variables) if variable.path in state.values]
    _check_shapes(state, [variable for _, variable in continued])
    steps = np.zeros(len(variables), "int64")
    for index, variable in continued:
        factor = optimizer.lr_multipliers[index] if optimizer.rate_in_momentum else 1.0
        for name, state_variables in optimizer.state_lists().items():
            value = state.values[variable.path].get(name)
            if state_variables and value is not None:
                state_variables[index].assign(value * factor)
        steps[index] = state.steps[variable.path]
    if isinstance(optimizer, AdamW):
        optimizer.steps_before.assign(steps)


def unwrapped(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return the optimizer inside a `LossScaleOptimizer`, or the optimizer itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def require_unique_paths(variables: list[keras.Variable], among: list[keras.Variable] | None = None) -> None:
    """Raise if a variable shares its path with another one: state that is stored by path would be mixed up.

    Args:
        variables: Variables whose paths must be unique.
        among: Further variables, which may share paths with each other; None for none.

    Raises:
        InvalidInput: Naming the paths that are not unique.
    """
    distinct = {id(variable): variable for variable in (*variables, *(among or ()))}
    counts = Counter(variable.path for variable in distinct.values())
    repeated = [path for path in dict.fromkeys(variable.path for variable in variables) if counts[path] > 1]
    if repeated:
        raise InvalidInput(
            f"several variables have the path {check.listing(repeated, limit=6)}, and at least one of each is "
            "trainable. Give their layers unique names when you create them, or freeze all of them."
        )


def _check_shapes(state: OptimizerState, variables: list[keras.Variable]) -> None:
    problems = check.Problems()
    for variable in variables:
        for name, value in state.values[variable.path].items():
            if value.shape != tuple(variable.shape):
                shape = tuple(variable.shape)
                problems.add(f"`{variable.path}` has the shape {shape}, its previous {name} has {value.shape}")
    problems.raise_if_any()


def _array(variable: keras.Variable) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(variable))
