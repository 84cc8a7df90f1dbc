"""Keras' optimizers with settings for each variable: learning-rate multiplier, weight decay, L2-SP, average."""

from dataclasses import dataclass, field
from typing import Any

import keras

from tltk.foundation import keras_private as private

UNDECAYED = ("bias", "gamma", "beta", "scale")


@dataclass(frozen=True)
class VariableSettings:
    """Settings of an optimizer for single variables, by variable path.

    Args:
        lr_multipliers: Path → factor of the whole update, weight decay and L2-SP included; 1 for the others.
        l2_sp: Strength of L2-SP, as a fraction of the learning rate.
        anchored: Paths of the variables that L2-SP pulls towards an anchor.
    """

    lr_multipliers: dict[str, float] = field(default_factory=dict)
    l2_sp: float = 0.0
    anchored: tuple[str, ...] = ()


class PerVariable(private.PerVariableHooks, keras.optimizers.Optimizer):
    """Settings for each variable, added to a Keras optimizer by `per_variable`.

    Everything happens in `update_step`, which Keras calls for one variable at a time: after unscaling, accumulating and
    clipping the gradients, on each replica's own copy, and only when a step is really taken.

    `steps_before` holds the number of steps that each variable has taken in earlier phases: bias corrections continue
    from there, while the schedule of the new phase starts at step 0.
    """

    settings = VariableSettings()
    _updated: int | None = None  # position of the variable in `update_step`

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        settings, paths = self.settings, [variable.path for variable in variables]
        self.lr_multipliers = tuple(settings.lr_multipliers.get(path, 1.0) for path in paths)
        self._decay_rates = tuple(
            private.weight_decay_of(self, variable) if decays(variable.path) else 0.0 for variable in variables
        )
        anchored = set(settings.anchored) if settings.l2_sp else set()
        self.anchors = [self._copy(variable, "anchor") if variable.path in anchored else None for variable in variables]
        self.steps_before = self.add_variable((len(variables),), dtype="int", name="steps_before")
        for variable, average in zip(variables, private.moving_averages(self) if self.use_ema else (), strict=False):
            # Keras starts averages at zero, and `fit` would overwrite a variable that never got a gradient by that.
            average.assign(variable)

    def _copy(self, variable: keras.Variable, name: str) -> keras.Variable:
        copy = self.add_variable_from_reference(variable, name=name)
        copy.assign(variable)
        return copy

    @property
    def iterations(self) -> Any:
        """Steps of this phase; in the update of a variable also its steps in earlier phases."""
        steps = super().iterations
        return steps if self._updated is None else steps + self.steps_before[self._updated]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable: weight decay or L2-SP, then Keras' own step, then the average.

        Args:
            gradient: Clipped gradient, of the variable's shape.
            variable: Keras variable or, under a distribution strategy, one replica's backend variable.
            learning_rate: Scalar, from the schedule.
        """
        ops, index = keras.ops, private.variable_index(self, variable)
        rate = ops.multiply(ops.cast(learning_rate, variable.dtype), self.lr_multipliers[index])
        decay = self._decay(variable, rate, index)
        self._updated = index
        try:
            super().update_step(gradient, variable, rate)
        finally:
            self._updated = None
        if decay is not None:
            # Computed from the weights before the step, but subtracted after it: at the end of an epoch of unknown
            # length Keras runs the graph once more without a batch, and only what waits for the gradient is skipped.
            self.assign_sub(variable, decay)
        if self.use_ema:
            self._update_average(variable, private.moving_averages(self)[index])

    def _decay(self, variable: Any, rate: Any, index: int) -> Any:
        """Return what weight decay or L2-SP subtracts from a variable; None for nothing."""
        ops, decay_rate = keras.ops, self._decay_rates[index]
        if self.anchors[index] is not None:
            distance = ops.subtract(variable, self.anchors[index])
            return ops.multiply(distance, ops.multiply(rate, self.settings.l2_sp))
        return ops.multiply(variable, ops.multiply(rate, decay_rate)) if decay_rate else None

    def _update_average(self, variable: Any, average: keras.Variable) -> None:
        ops = keras.ops
        not_first = ops.cast(ops.not_equal(self.iterations, 0), variable.dtype)  # the first step restarts the average
        momentum = ops.multiply(not_first, self.ema_momentum)
        self.assign(average, ops.add(ops.multiply(momentum, average), ops.multiply(1 - momentum, variable)))

    def state_lists(self) -> dict[str, list[keras.Variable | None]]:
        """Return the state of the update rule: name, such as "momentums" → one variable per trained variable."""
        return {name: values for name, values in private.update_state(self).items() if name != "anchors"}

    def get_config(self) -> dict:
        settings = self.settings
        config = {
            "lr_multipliers": dict(settings.lr_multipliers),
            "l2_sp": settings.l2_sp,
            "anchored": list(settings.anchored),
        }
        return {**super().get_config(), "settings": config}

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> Any:
        """Build from the result of `get_config`; anchors start at the values the variables have at `build`."""
        config = dict(config)
        settings = config.pop("settings", {})
        optimizer = super().from_config(config, custom_objects)
        optimizer.settings = VariableSettings(
            settings.get("lr_multipliers", {}), settings.get("l2_sp", 0.0), tuple(settings.get("anchored", ()))
        )
        return optimizer


_SUBCLASSES: dict[Any, type[PerVariable]] = {}


def per_variable(keras_class: Any) -> type[PerVariable]:
    """Return a subclass of a Keras optimizer with settings for each variable.

    Args:
        keras_class: Class of Keras, or one that derives from `keras.optimizers.Optimizer` and updates one variable at
            a time in `update_step`.

    Returns:
        A class of the same name and arguments; the same class for every call.

    Examples:
        >>> per_variable(keras.optimizers.Lion).__name__
        'Lion'
    """
    if keras_class not in _SUBCLASSES:
        attributes = {"__doc__": f"{keras_class.__name__} with settings for each variable.", "__module__": __name__}
        _SUBCLASSES[keras_class] = type(keras_class.__name__, (PerVariable, keras_class), attributes)
    return _SUBCLASSES[keras_class]


# Keras optimizers by their names in lower case, without those that wrap other optimizers.
KERAS_OPTIMIZERS: dict[str, type[keras.optimizers.Optimizer]] = {
    name.lower(): value
    for name, value in vars(keras.optimizers).items()
    if isinstance(value, type)
    and issubclass(value, keras.optimizers.Optimizer)
    and name not in ("Optimizer", "LossScaleOptimizer", "MultiOptimizer")
}
for _keras_class in KERAS_OPTIMIZERS.values():
    keras.saving.register_keras_serializable(package="tltk")(per_variable(_keras_class))


def decays(path: str) -> bool:
    """Tell whether weight decay applies to a variable: to all but biases and the scales and shifts of norms.

    Decided by the last part of the path: `bias`, `gamma`, `beta` (Keras' batch, layer and group norms, LayerScale) and
    `scale` (RMS norm) do not decay. Position, token and token-type embeddings do, as in BERT (Devlin et al. 2019, its
    `optimization.py`).

    Args:
        path: Path of the variable, such as "encoder/layer_norm/gamma".

    Returns:
        Whether it decays.

    Examples:
        >>> decays("encoder/layer_norm/gamma"), decays("position_embedding/embeddings")
        (False, True)
    """
    return path.rsplit("/", 1)[-1] not in UNDECAYED
