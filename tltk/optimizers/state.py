"""Optimizer state: momentum and step counts of each variable, carried over from one phase to the next."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np

from tltk.foundation import checks as check
from tltk.foundation import keras_private as private
from tltk.foundation.errors import InvalidInput, InvalidType
from tltk.optimizers.per_variable import KERAS_OPTIMIZERS, PerVariable

# Optimizers whose state is meaningful without the steps that led to it. Nadam keeps a product over all its steps, Ftrl
# and ScheduleFreeAdamW compute the weights from their state: they start every phase anew, like classes of the user.
_CARRIED = ("adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "lamb", "lion", "muon", "rmsprop", "sgd")
_RATE_IN_STATE = {"sgd": "momentums", "rmsprop": "momentums"}  # sums of updates, which contain the learning rate


@dataclass(frozen=True)
class OptimizerState:
    """State of an optimizer, by variable path.

    Args:
        algorithm: Name of the optimizer, such as "adamw".
        values: Variable path → name of the state, such as "momentums" → array.
        steps: Variable path → optimizer steps taken, earlier phases included; for bias corrections.
    """

    algorithm: str
    values: Mapping[str, Mapping[str, np.ndarray]]
    steps: Mapping[str, int]


def optimizer_state(optimizer: keras.optimizers.Optimizer) -> OptimizerState:
    """Copy the state of a trained optimizer.

    Momentum that contains the learning rate (SGD, RMSprop) is divided by the variable's learning-rate multiplier, which
    may differ in the next phase. It does contain the learning rates under which it was accumulated, as everywhere in
    Keras. Averages (EMA) and incomplete gradient accumulation are left out: a phase leaves the averages in the model,
    and a new one starts with a whole step.

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
        >>> optimizer_state(build(sgd(), 0.1, [variable])).values["kernel"]["momentums"]
        array([0., 0.], dtype=float32)
    """
    inner = without_loss_scaling(optimizer)
    if not isinstance(inner, PerVariable):
        raise InvalidType(f"`optimizer` must be built by optimizers.spec.build. Received: {type(inner).__name__}")
    variables = private.optimizer_variables(inner)
    require_unique_paths(variables)
    lists = inner.state_lists()
    values = {
        variable.path: {
            name: _array(state) / _factor(inner, name, index) for name, state in _state_of(lists, index).items()
        }
        for index, variable in enumerate(variables)
    }
    now = int(_array(inner.iterations))
    before = _array(inner.steps_before)
    steps = {variable.path: now + int(earlier) for variable, earlier in zip(variables, before, strict=True)}
    return OptimizerState(_algorithm(inner), values, steps)


def restore(optimizer: PerVariable, state: OptimizerState) -> None:
    """Restore the state of an earlier optimizer.

    Nothing is restored from another algorithm, or if the state of the algorithm cannot be separated from the steps that
    led to it (Nadam, Ftrl, ScheduleFreeAdamW, optimizers of the user).

    Args:
        optimizer: Newly built; variables that are not in `state` keep their initial state.
        state: From `optimizer_state`.

    Raises:
        InvalidInput: Naming every variable whose shape has changed.
    """
    if state.algorithm != _algorithm(optimizer) or state.algorithm not in _CARRIED:
        return
    variables, lists = private.optimizer_variables(optimizer), optimizer.state_lists()
    continued = [(index, variable.path) for index, variable in enumerate(variables) if variable.path in state.values]
    _check_shapes(state, {path: _state_of(lists, index) for index, path in continued})
    steps = np.zeros(len(variables), "int64")
    for index, path in continued:
        for name, variable in _state_of(lists, index).items():
            if name in state.values[path]:
                variable.assign(state.values[path][name] * _factor(optimizer, name, index))
        steps[index] = state.steps[path]
    optimizer.steps_before.assign(steps)


def _algorithm(optimizer: PerVariable) -> str:
    """Return the name of Keras' optimizer, or the module and name of a user's class."""
    keras_class = type(optimizer).__bases__[-1]
    name = keras_class.__name__.lower()
    is_builtin = KERAS_OPTIMIZERS.get(name) is keras_class
    return name if is_builtin else f"{keras_class.__module__}.{keras_class.__qualname__}"


def _state_of(lists: Mapping[str, list[keras.Variable | None]], index: int) -> dict[str, keras.Variable]:
    """Return the state of one variable: name → variable of the optimizer."""
    return {name: state for name, values in lists.items() if (state := values[index]) is not None}


def _factor(optimizer: PerVariable, name: str, index: int) -> float:
    """Return the learning-rate multiplier that a state contains; 1 without one."""
    contains_rate = _RATE_IN_STATE.get(_algorithm(optimizer)) == name
    return optimizer.lr_multipliers[index] if contains_rate else 1.0


def without_loss_scaling(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return the optimizer inside a `LossScaleOptimizer`, or the optimizer itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def require_unique_paths(variables: list[keras.Variable], among: list[keras.Variable] | None = None) -> None:
    """Raise if a variable shares its path with another one: state that is stored by path would be mixed up.

    Args:
        variables: Variables whose paths must be unique.
        among: Further variables, which may share paths with each other, or None.

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


def _check_shapes(state: OptimizerState, built: Mapping[str, Mapping[str, keras.Variable]]) -> None:
    problems = check.Problems()
    for path, variables in built.items():
        for name, variable in variables.items():
            previous = state.values[path].get(name)
            if previous is not None and previous.shape != tuple(variable.shape):
                shape = tuple(variable.shape)
                problems.add(f"`{path}` needs {name} of the shape {shape}, the previous one has {previous.shape}")
    problems.raise_if_any()


def _array(variable: keras.Variable) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(variable))
