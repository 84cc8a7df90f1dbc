"""Optimizers as data: what a phase trains with, built anew for each phase."""

from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np

from tltk.foundation import checks as check
from tltk.optimizers.per_variable import SGD, AdamW, Terms
from tltk.optimizers.state import Slots, put, require_own_paths


@dataclass(frozen=True)
class Optimizer:
    """A named optimizer and its numbers; made by `adamw` or `sgd`.

    Args:
        name: "adamw" or "sgd".
        learning_rate: highest rate of the phase; the schedule scales it.
        weight_decay: decoupled decay a step, as a share of the learning rate; not on biases and norms.
        momentum: of SGD.
        clip_norm: upper bound of the global gradient norm, or None.
        ema: momentum of the moving average of the weights, or None for none.
        pull: decoupled pull a step towards the weights the phase started from, as a share of the learning rate.
        accumulate: batches whose mean gradient makes one step.
    """

    name: str
    learning_rate: float
    weight_decay: float = 0.0
    momentum: float = 0.0
    clip_norm: float | None = None
    ema: float | None = None
    pull: float = 0.0
    accumulate: int = 1


def adamw(
    learning_rate: float = 1e-3,
    *,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
    ema: float | None = None,
    pull: float = 0.0,
    accumulate: int = 1,
) -> Optimizer:
    """Describe AdamW (Loshchilov and Hutter 2019).

    Args:
        learning_rate: highest rate of the phase.
        weight_decay: decoupled; 0 is plain Adam.
        clip_norm: upper bound of the global gradient norm, or None.
        ema: momentum of an exponential moving average of the weights (Polyak and Juditsky 1992), such as 0.99; what is
            validated and kept is the average. None keeps the weights themselves.
        pull: strength of L2-SP (Li et al. 2018): pretrained weights are pulled to where they started from, in place of
            being decayed to zero. 0 is none.
        accumulate: batches whose mean gradient makes one step. Schedules still count batches.

    Returns:
        A frozen record for `Phase(optimizer=)`.

    Raises:
        ValueError: naming every number that is out of range.

    Example:
        >>> adamw(2e-5, weight_decay=0.01).name
        'adamw'
    """
    return checked(Optimizer("adamw", learning_rate, weight_decay, 0.0, clip_norm, ema, pull, accumulate))


def sgd(
    learning_rate: float = 1e-2,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
    ema: float | None = None,
    pull: float = 0.0,
    accumulate: int = 1,
) -> Optimizer:
    """Describe stochastic gradient descent with momentum.

    Args:
        learning_rate: highest rate of the phase.
        momentum: in [0, 1).
        weight_decay: decoupled (Loshchilov and Hutter 2019, SGDW).
        clip_norm: upper bound of the global gradient norm, or None.
        ema: as in `adamw`.
        pull: as in `adamw`.
        accumulate: as in `adamw`.

    Returns:
        A frozen record for `Phase(optimizer=)`.

    Raises:
        ValueError: naming every number that is out of range.

    Example:
        >>> sgd(1e-3).momentum
        0.9
    """
    return checked(Optimizer("sgd", learning_rate, weight_decay, momentum, clip_norm, ema, pull, accumulate))


def build(
    spec: Optimizer,
    rate: float | keras.optimizers.schedules.LearningRateSchedule,
    variables: list[keras.Variable],
    *,
    multipliers: Mapping[str, float] | None = None,
    anchors: Mapping[str, np.ndarray] | None = None,
    carried: Slots | None = None,
    loss_scaling: bool = False,
) -> keras.optimizers.Optimizer:
    """Build a Keras optimizer for exactly these variables.

    Multipliers scale the whole update, decay and pull included, and not the gradient: Adam would divide that out again,
    and clipping would see another norm. Under a distribution strategy, build it in the strategy's scope.

    Args:
        spec: what to build.
        rate: the schedule of the phase, or one rate.
        variables: those that are trainable in the phase, no other.
        multipliers: variable path → factor of its learning rate; 1 for those that are not named.
        anchors: variable path → the weights that `spec.pull` pulls towards; a variable without one (the head's) is not
            pulled. Paths that do not learn in this phase are left out. Needed, if only empty, where `spec.pull` is set.
        carried: `slots` of the phase before; what is new starts at zero, with the bias correction of a first step.
            Slots of an optimizer of another kind are left behind.
        loss_scaling: multiply the loss so that float16 gradients do not vanish (Micikevicius et al. 2018).

    Returns:
        A built optimizer; biases and the scales and shifts of norms are left out of the decay, see `updates.decays`.

    Raises:
        ValueError: naming every multiplier, anchor, slot and variable that does not fit.
    """
    multipliers, anchors = dict(multipliers or {}), _anchors(spec, anchors, variables)
    _check_variables(variables, multipliers, anchors)
    built = _unbuilt(spec, rate if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule) else float(rate))
    built.terms = Terms(multipliers, spec.pull, tuple(anchors))
    outer = keras.optimizers.LossScaleOptimizer(built) if loss_scaling else built
    outer.build(variables)
    for anchor, variable in zip(built.anchors, variables, strict=True):
        if anchor is not None:
            anchor.assign(anchors[variable.path])
    if carried is not None:
        require_own_paths(variables)
        put(carried, built)
    return outer


def _unbuilt(spec: Optimizer, rate: float | keras.optimizers.schedules.LearningRateSchedule) -> AdamW | SGD:
    common = {
        "learning_rate": rate,
        "weight_decay": float(spec.weight_decay),
        "global_clipnorm": spec.clip_norm,
        "use_ema": spec.ema is not None,
        "ema_momentum": 0.99 if spec.ema is None else spec.ema,
        "gradient_accumulation_steps": spec.accumulate if spec.accumulate > 1 else None,
    }
    return SGD(momentum=float(spec.momentum), **common) if spec.name == "sgd" else AdamW(**common)


def _anchors(
    spec: Optimizer, anchors: Mapping[str, np.ndarray] | None, variables: list[keras.Variable]
) -> dict[str, np.ndarray]:
    if not spec.pull:
        return {}
    if anchors is None:
        raise ValueError(f"`pull` ({spec.pull}) needs `anchors`: the weights to pull towards, by variable path.")
    return {variable.path: anchors[variable.path] for variable in variables if variable.path in anchors}


def _check_variables(
    variables: list[keras.Variable], multipliers: Mapping[str, float], anchors: Mapping[str, np.ndarray]
) -> None:
    problems = check.Problems()
    shapes = {variable.path: tuple(variable.shape) for variable in variables}
    for variable in variables:
        if not variable.trainable:
            problems.add(f"`{variable.path}` is frozen; pass those that learn, such as model.trainable_variables")
    for path, factor in multipliers.items():
        if path not in shapes:
            problems.add(f"`multipliers` names {path!r}, which does not learn.{check.did_you_mean(path, shapes)}")
        if not check.is_number(factor) or factor <= 0:
            problems.add(f"`multipliers` must be numbers above 0. Received: {factor!r} for {path!r}")
    for path, anchor in anchors.items():
        if np.shape(anchor) != shapes[path]:
            problems.add(f"`{path}` is {shapes[path]}, its anchor is {np.shape(anchor)}")
    problems.raise_if_any()
    if anchors:
        require_own_paths(variables)


def checked(spec: Optimizer) -> Optimizer:
    """Return an optimizer's record if its numbers are in range; raise ValueError naming every one that is not."""
    problems = check.Problems()
    if not check.is_number(spec.learning_rate) or spec.learning_rate <= 0:
        problems.add(f"`learning_rate` must be a number above 0. Received: {spec.learning_rate!r}")
    if not check.is_number(spec.weight_decay) or spec.weight_decay < 0:
        problems.add(f"`weight_decay` must be at least 0. Received: {spec.weight_decay!r}")
    if not check.is_number(spec.momentum) or not 0 <= spec.momentum < 1:
        problems.add(f"`momentum` must be at least 0 and below 1. Received: {spec.momentum!r}")
    if spec.clip_norm is not None and (not check.is_number(spec.clip_norm) or spec.clip_norm <= 0):
        problems.add(f"`clip_norm` must be above 0, or None. Received: {spec.clip_norm!r}")
    if spec.ema is not None and (not check.is_number(spec.ema) or not 0 < spec.ema < 1):
        problems.add(f"`ema` must be above 0 and below 1, or None. Received: {spec.ema!r}")
    if not check.is_number(spec.pull) or spec.pull < 0:
        problems.add(f"`pull` must be at least 0. Received: {spec.pull!r}")
    if not isinstance(spec.accumulate, int) or isinstance(spec.accumulate, bool) or spec.accumulate < 1:
        problems.add(f"`accumulate` must be a whole number above 0. Received: {spec.accumulate!r}")
    problems.raise_if_any()
    return spec
