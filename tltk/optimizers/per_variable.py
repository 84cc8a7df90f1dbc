"""Keras' AdamW and SGD with settings for each variable: learning-rate multiplier, weight decay, L2-SP, average."""

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


class _PerVariable(private.PerVariableHooks, keras.optimizers.Optimizer):
    """What the two optimizers share; comes before a Keras optimizer among the bases.

    Everything happens in `update_step`, which Keras calls for one variable at a time: after unscaling, accumulating and
    clipping the gradients, on each replica's own copy, and only when a step is really taken.
    """

    algorithm = ""
    rate_in_momentum = False
    settings = VariableSettings()

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        settings, paths = self.settings, [variable.path for variable in variables]
        self.lr_multipliers = tuple(settings.lr_multipliers.get(path, 1.0) for path in paths)
        self._decays = tuple(bool(self.weight_decay) and decays(path) for path in paths)
        anchored = set(settings.anchored) if settings.l2_sp else set()
        self.anchors = [self._copy(variable, "anchor") if variable.path in anchored else None for variable in variables]
        for variable, average in zip(variables, private.moving_averages(self) if self.use_ema else (), strict=False):
            # Keras starts averages at zero, and `fit` would overwrite a variable that never got a gradient by that.
            average.assign(variable)

    def _copy(self, variable: keras.Variable, name: str) -> keras.Variable:
        copy = self.add_variable_from_reference(variable, name=name)
        copy.assign(variable)
        return copy

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
        super().update_step(gradient, variable, self._corrected(rate, index))
        if decay is not None:
            # Computed from the weights before the step, but subtracted after it: at the end of an epoch of unknown
            # length Keras runs the graph once more without a batch, and only what waits for the gradient is skipped.
            self.assign_sub(variable, decay)
        if self.use_ema:
            self._update_average(variable, private.moving_averages(self)[index])

    def _decay(self, variable: Any, rate: Any, index: int) -> Any:
        """Return what weight decay or L2-SP subtracts from a variable; None for nothing."""
        ops = keras.ops
        if self.anchors[index] is not None:
            distance = ops.subtract(variable, self.anchors[index])
            return ops.multiply(distance, ops.multiply(rate, self.settings.l2_sp))
        return ops.multiply(variable, ops.multiply(rate, self.weight_decay)) if self._decays[index] else None

    def _corrected(self, rate: Any, index: int) -> Any:
        return rate

    def _update_average(self, variable: Any, average: keras.Variable) -> None:
        ops = keras.ops
        not_first = ops.cast(ops.not_equal(self.iterations, 0), variable.dtype)  # the first step restarts the average
        momentum = ops.multiply(not_first, self.ema_momentum)
        self.assign(average, ops.add(ops.multiply(momentum, average), ops.multiply(1 - momentum, variable)))

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


@keras.saving.register_keras_serializable(package="tltk")
class AdamW(_PerVariable, keras.optimizers.AdamW):
    """Keras' AdamW with settings for each variable.

    `steps_before` holds the number of steps that each variable has taken in earlier phases: its bias correction goes on
    from there, while the schedule of the new phase starts at step 0.
    """

    algorithm = "adamw"

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self.steps_before = self.add_variable((len(variables),), dtype="int", name="steps_before")

    def state_lists(self) -> dict[str, list[keras.Variable]]:
        """Return the first and second moments, in the order of the variables."""
        return private.adam_moments(self)

    def _corrected(self, rate: Any, index: int) -> Any:
        # Keras corrects for the steps of this phase only: divide that out, by the very same operations, so that nothing
        # but rounding is left of it.
        step = self.iterations + 1
        wanted = self._correction(step + self.steps_before[index], rate.dtype)
        return keras.ops.multiply(rate, keras.ops.divide(wanted, self._correction(step, rate.dtype)))

    def _correction(self, step: Any, dtype: Any) -> Any:
        ops, step = keras.ops, keras.ops.cast(step, dtype)
        first, second = (ops.power(ops.cast(beta, dtype), step) for beta in (self.beta_1, self.beta_2))
        return ops.sqrt(1 - second) / (1 - first)


@keras.saving.register_keras_serializable(package="tltk")
class SGD(_PerVariable, keras.optimizers.SGD):
    """Keras' SGD with settings for each variable."""

    algorithm = "sgd"
    rate_in_momentum = True

    def state_lists(self) -> dict[str, list[keras.Variable]]:
        """Return the momentum, in the order of the variables; an empty list without momentum."""
        return {"momentum": self.momentums}


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
