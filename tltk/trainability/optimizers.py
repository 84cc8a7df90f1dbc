"""Optimizers as data: what a phase trains with, built anew for each phase."""

from dataclasses import dataclass

import keras

from tltk import _check as check

_UNDECAYED = ("bias", "gamma", "beta")


@dataclass(frozen=True)
class Optimizer:
    """A named optimizer and its numbers; made by `adamw` or `sgd`.

    Args:
        name: "adamw" or "sgd".
        learning_rate: highest rate of the phase; the schedule scales it.
        weight_decay: decoupled decay a step, as a share of the learning rate; not on biases and norms.
        momentum: of SGD.
        clip_norm: upper bound of the global gradient norm, or None.
    """

    name: str
    learning_rate: float
    weight_decay: float = 0.0
    momentum: float = 0.0
    clip_norm: float | None = None


def adamw(learning_rate: float = 1e-3, *, weight_decay: float = 0.0, clip_norm: float | None = None) -> Optimizer:
    """Describe AdamW (Loshchilov and Hutter 2019).

    Args:
        learning_rate: highest rate of the phase.
        weight_decay: decoupled; 0 is plain Adam.
        clip_norm: upper bound of the global gradient norm, or None.

    Returns:
        A frozen record for `Phase(optimizer=)`.

    Raises:
        ValueError: naming every number that is out of range.

    Example:
        >>> adamw(2e-5, weight_decay=0.01).name
        'adamw'
    """
    return _checked(Optimizer("adamw", learning_rate, weight_decay, 0.0, clip_norm))


def sgd(
    learning_rate: float = 1e-2, *, momentum: float = 0.9, weight_decay: float = 0.0, clip_norm: float | None = None
) -> Optimizer:
    """Describe stochastic gradient descent with momentum.

    Args:
        learning_rate: highest rate of the phase.
        momentum: in [0, 1).
        weight_decay: decoupled (Loshchilov and Hutter 2019, SGDW).
        clip_norm: upper bound of the global gradient norm, or None.

    Returns:
        A frozen record for `Phase(optimizer=)`.

    Raises:
        ValueError: naming every number that is out of range.

    Example:
        >>> sgd(1e-3).momentum
        0.9
    """
    return _checked(Optimizer("sgd", learning_rate, weight_decay, momentum, clip_norm))


def build(
    spec: Optimizer,
    rate: float | keras.optimizers.schedules.LearningRateSchedule,
    variables: list[keras.Variable],
    *,
    loss_scaling: bool = False,
) -> keras.optimizers.Optimizer:
    """Build a Keras optimizer for exactly these variables.

    Args:
        spec: what to build.
        rate: the schedule of the phase, or one rate.
        variables: those that are trainable in the phase, no other.
        loss_scaling: multiply the loss so that float16 gradients do not vanish (Micikevicius et al. 2018).

    Returns:
        A built optimizer; biases and the scales and shifts of norms are left out of the decay.
    """
    decay = spec.weight_decay or None
    if spec.name == "sgd":
        built = keras.optimizers.SGD(rate, momentum=spec.momentum, weight_decay=decay, global_clipnorm=spec.clip_norm)
    else:
        built = keras.optimizers.AdamW(rate, weight_decay=spec.weight_decay, global_clipnorm=spec.clip_norm)
    undecayed = [variable for variable in variables if variable.path.rsplit("/", 1)[-1] in _UNDECAYED]
    if decay and undecayed:
        built.exclude_from_weight_decay(var_list=undecayed)
    if loss_scaling:
        built = keras.optimizers.LossScaleOptimizer(built)
    built.build(variables)
    return built


def _checked(spec: Optimizer) -> Optimizer:
    problems = check.Problems()
    if not check.is_number(spec.learning_rate) or spec.learning_rate <= 0:
        problems.add(f"`learning_rate` must be a number above 0. Received: {spec.learning_rate!r}")
    if not check.is_number(spec.weight_decay) or spec.weight_decay < 0:
        problems.add(f"`weight_decay` must be at least 0. Received: {spec.weight_decay!r}")
    if not check.is_number(spec.momentum) or not 0 <= spec.momentum < 1:
        problems.add(f"`momentum` must be at least 0 and below 1. Received: {spec.momentum!r}")
    if spec.clip_norm is not None and (not check.is_number(spec.clip_norm) or spec.clip_norm <= 0):
        problems.add(f"`clip_norm` must be above 0, or None. Received: {spec.clip_norm!r}")
    problems.raise_if_any()
    return spec
