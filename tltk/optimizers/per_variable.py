"""Keras' AdamW and SGD with terms for single variables: rate multiplier, decay, anchor, average, steps before."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import keras

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


class _PerVariable(keras.optimizers.Optimizer):
    """What the optimizers share; comes before a Keras optimizer in the order of bases.

    All of it happens inside `update_step`, which Keras calls for one variable at a time: after unscaling, accumulating
    and clipping, on each replica's own copy, and only when a step is really taken.
    """

    kind = ""
    slot_lists: ClassVar[dict[str, str]] = {}  # slot name → the attribute in which Keras keeps it
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
        self._anchors = [self._copy(each, "anchor") if each.path in pulled else None for each in variables]
        for variable, average in zip(
            variables, self._model_variables_moving_average if self.use_ema else [], strict=False
        ):
            # Keras starts at zero, and `fit` would overwrite a variable that never got a gradient with it.
            average.assign(variable)

    def _copy(self, variable: keras.Variable, name: str) -> keras.Variable:
        slot = self.add_variable_from_reference(variable, name=name)
        slot.assign(variable)
        return slot

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Take the step of one variable: decay or pull, then Keras' own step, then its average."""
        ops, index = keras.ops, self._get_variable_index(variable)
        rate = ops.multiply(ops.cast(learning_rate, variable.dtype), self._multipliers[index])
        shrinks = self._shrinkage(variable, rate, index)
        super().update_step(gradient, variable, self._corrected(rate, index))
        if shrinks is not None:
            # Of the weights as they were, but taken off after the step: at the end of an epoch of unknown length Keras
            # runs the graph once more without a batch, and what does not wait for a gradient happens all the same.
            self.assign_sub(variable, shrinks)
        if self.use_ema:
            self._average(variable, self._model_variables_moving_average[index])

    def _shrinkage(self, variable: Any, rate: Any, index: int) -> Any:
        """Return what decay or pull takes off a variable; None for nothing."""
        ops = keras.ops
        if self._anchors[index] is not None:
            away = ops.subtract(variable, self._anchors[index])
            return ops.multiply(away, ops.multiply(rate, self.terms.pull))
        return ops.multiply(variable, ops.multiply(rate, self.weight_decay)) if self._decays[index] else None

    def _corrected(self, rate: Any, index: int) -> Any:
        return rate

    def _average(self, variable: Any, average: keras.Variable) -> None:
        ops = keras.ops
        later = ops.cast(ops.not_equal(self.iterations, 0), variable.dtype)  # the first step starts the average anew
        momentum = ops.multiply(later, self.ema_momentum)
        self.assign(average, ops.add(ops.multiply(momentum, average), ops.multiply(1 - momentum, variable)))

    def _clip_gradients(self, grads: list[Any]) -> list[Any]:
        """Clip here only where Keras sums no gradients of replicas, see `_all_reduce_sum_gradients`."""
        return grads if hasattr(self, "_all_reduce_sum_gradients") else super()._clip_gradients(grads)

    def _all_reduce_sum_gradients(self, grads_and_vars: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        """Clip the sum over replicas: Keras clips each replica's share, and the sum may be longer than the bound."""
        summed = super()._all_reduce_sum_gradients(grads_and_vars)
        clipped = super()._clip_gradients([gradient for gradient, _ in summed])
        return [(gradient, variable) for gradient, (_, variable) in zip(clipped, summed, strict=True)]

    def _apply_weight_decay(self, variables: list[Any]) -> None:
        """Leave the decay to `update_step`, where it gets the variable's multiplier."""

    def _update_model_variables_moving_average(self, trainable_variables: list[Any]) -> None:
        """Leave the average to `update_step`: Keras would also take it on batches that only accumulate."""

    def _overwrite_model_variables_with_average_value(self, trainable_variables: list[Any]) -> None:
        # Keras pairs the model's list with the optimizer's by position, and they differ once a flag was changed.
        super()._overwrite_model_variables_with_average_value(self._trainable_variables)

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
    slot_lists: ClassVar = {"momentum": "_momentums", "velocity": "_velocities"}

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self.steps_before = self.add_variable((len(variables),), dtype="int", name="steps_before")

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
    slot_lists: ClassVar = {"momentum": "momentums"}
    rate_in_momentum = True


def decays(path: str) -> bool:
    """Tell whether a variable takes part in weight decay: all but biases and the scales and shifts of norms.

    By the last part of its path: `bias`, `gamma`, `beta` (Keras' batch, layer and group norms, LayerScale), `scale`
    (RMS norm). Position, token and token-type embeddings decay, as in BERT (Devlin et al. 2019, its `optimization.py`).

    Example:
        >>> decays("encoder/layer_norm/gamma"), decays("position_embedding/embeddings")
        (False, True)
    """
    return path.rsplit("/", 1)[-1] not in UNDECAYED
