"""Keras' AdamW and SGD with terms for single variables: rate multiplier, decay, anchor, average, steps before."""

from dataclasses import dataclass, field
from typing import Any

import keras

from tltk.foundation import keras_private as private

UNDECAYED = ("bias", "gamma", "beta", "scale")


@dataclass(frozen=True)
class Terms:
    """What a phase asks of single variables, by variable path.

    Args:
        multipliers: path → factor of the whole update, decay and pull included; 1 where none is given.
        pull: strength of the pull towards the anchors (L2-SP).
        anchored: paths of the variables that have an anchor.
    """

    multipliers: dict[str, float] = field(default_factory=dict)
    pull: float = 0.0
    anchored: tuple[str, ...] = ()


class _PerVariable(private.PerVariableHooks, keras.optimizers.Optimizer):
    """What the optimizers share; comes before a Keras optimizer in the order of bases.

    All of it happens inside `update_step`, which Keras calls for one variable at a time: after unscaling, accumulating
    and clipping, on each replica's own copy, and only when a step is really taken.
    """

    kind = ""
    rate_in_momentum = False
    terms = Terms()

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        paths = [variable.path for variable in variables]
        self._multipliers = tuple(self.terms.multipliers.get(path, 1.0) for path in paths)
        self._decays = tuple(bool(self.weight_decay) and decays(path) for path in paths)
        pulled = set(self.terms.anchored) if self.terms.pull else set()
        self.anchors = [self._copy(each, "anchor") if each.path in pulled else None for each in variables]
        for variable, average in zip(variables, private.moving_averages(self) if self.use_ema else (), strict=False):
            # Keras starts at zero, and `fit` would overwrite a variable that never got a gradient with it.
            average.assign(variable)

    def _copy(self, variable: keras.Variable, name: str) -> keras.Variable:
        slot = self.add_variable_from_reference(variable, name=name)
        slot.assign(variable)
        return slot

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Take the step of one variable: decay or pull, then Keras' own step, then its average."""
        ops, index = keras.ops, private.variable_index(self, variable)
        rate = ops.multiply(ops.cast(learning_rate, variable.dtype), self._multipliers[index])
        shrinks = self._shrinkage(variable, rate, index)
        super().update_step(gradient, variable, self._corrected(rate, index))
        if shrinks is not None:
            # Of the weights as they were, but taken off after the step: at the end of an epoch of unknown length Keras
            # runs the graph once more without a batch, and what does not wait for a gradient happens all the same.
            self.assign_sub(variable, shrinks)
        if self.use_ema:
            self._average(variable, private.moving_averages(self)[index])

    def _shrinkage(self, variable: Any, rate: Any, index: int) -> Any:
        """Return what decay or pull takes off a variable; None for nothing."""
        ops = keras.ops
        if self.anchors[index] is not None:
            away = ops.subtract(variable, self.anchors[index])
            return ops.multiply(away, ops.multiply(rate, self.terms.pull))
        return ops.multiply(variable, ops.multiply(rate, self.weight_decay)) if self._decays[index] else None

    def _corrected(self, rate: Any, index: int) -> Any:
        return rate

    def _average(self, variable: Any, average: keras.Variable) -> None:
        ops = keras.ops
        later = ops.cast(ops.not_equal(self.iterations, 0), variable.dtype)  # the first step starts the average anew
        momentum = ops.multiply(later, self.ema_momentum)
        self.assign(average, ops.add(ops.multiply(momentum, average), ops.multiply(1 - momentum, variable)))

    def get_config(self) -> dict:
        terms = self.terms
        own = {"multipliers": dict(terms.multipliers), "pull": terms.pull, "anchored": list(terms.anchored)}
        return {**super().get_config(), "terms": own}

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> Any:
        """Build from what `get_config` gave; anchors start at the values the variables have when it is built."""
        config = dict(config)
        own = config.pop("terms", {})
        built = super().from_config(config, custom_objects)
        built.terms = Terms(own.get("multipliers", {}), own.get("pull", 0.0), tuple(own.get("anchored", ())))
        return built


@keras.saving.register_keras_serializable(package="tltk")
class AdamW(_PerVariable, keras.optimizers.AdamW):
    """Keras' AdamW with terms for single variables.

    `steps_before` holds, for each variable, the steps it has taken in earlier phases, so that the bias correction of
    a variable that is carried over goes on while the phase's schedule starts at 0.
    """

    kind = "adamw"

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self.steps_before = self.add_variable((len(variables),), dtype="int", name="steps_before")

    def state_lists(self) -> dict[str, list[keras.Variable]]:
        """Return the first and second moments, in the order of the variables."""
        return private.adam_moments(self)

    def _corrected(self, rate: Any, index: int) -> Any:
        # Keras corrects for the phase's own steps: that is divided out, by the very same operations, so that nothing
        # is left of it but rounding.
        step = self.iterations + 1
        own = self._correction(step + self.steps_before[index], rate.dtype)
        return keras.ops.multiply(rate, keras.ops.divide(own, self._correction(step, rate.dtype)))

    def _correction(self, step: Any, dtype: Any) -> Any:
        ops, step = keras.ops, keras.ops.cast(step, dtype)
        first, second = (ops.power(ops.cast(beta, dtype), step) for beta in (self.beta_1, self.beta_2))
        return ops.sqrt(1 - second) / (1 - first)


@keras.saving.register_keras_serializable(package="tltk")
class SGD(_PerVariable, keras.optimizers.SGD):
    """Keras' SGD with terms for single variables."""

    kind = "sgd"
    rate_in_momentum = True

    def state_lists(self) -> dict[str, list[keras.Variable]]:
        """Return the momentum, in the order of the variables; empty lists where there is none."""
        return {"momentum": self.momentums}


def decays(path: str) -> bool:
    """Tell whether a variable takes part in weight decay: all but biases and the scales and shifts of norms.

    By the last part of its path: `bias`, `gamma`, `beta` (Keras' batch, layer and group norms, LayerScale), `scale`
    (RMS norm). Position, token and token-type embeddings decay, as in BERT (Devlin et al. 2019, its `optimization.py`).

    Example:
        >>> decays("encoder/layer_norm/gamma"), decays("position_embedding/embeddings")
        (False, True)
    """
    return path.rsplit("/", 1)[-1] not in UNDECAYED
