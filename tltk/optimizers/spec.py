"""Optimizers as data: the settings of a phase's optimizer, which is built anew for each phase."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

import keras
import numpy as np
from keras.optimizers.schedules import LearningRateSchedule

from tltk.foundation import checks as check
from tltk.foundation import display
from tltk.foundation.errors import InvalidInput
from tltk.optimizers.per_variable import KERAS_OPTIMIZERS, PerVariable, VariableSettings, per_variable
from tltk.optimizers.state import OptimizerState, require_unique_paths, restore


@dataclass(frozen=True)
class Optimizer:
    """Settings of an optimizer; created by `adamw` or `sgd`, or directly for another Keras optimizer.

    Args:
        name: Name of a Keras optimizer in lower case, such as "adamw", "sgd" or "lion".
        learning_rate: Peak learning rate of the phase, which its schedule scales; or a Keras schedule, which is used
            instead of that of the phase.
        weight_decay: Decoupled weight decay per step, as a fraction of the learning rate; not on biases and norms.
        momentum: Momentum of SGD and RMSprop; 0 means the default of Keras.
        clip_norm: Upper bound of the global gradient norm, or None.
        ema_momentum: Momentum of the moving average of the weights, or None for no average.
        l2_sp: Decoupled L2-SP per step: pulls weights to where the phase's pretrained weights were, as a fraction of
            the learning rate.
        gradient_accumulation_steps: Batches whose mean gradient makes one step.
        options: Further arguments of the Keras class, as (name, value) pairs, such as (("beta_1", 0.95),).
        keras_class: Optimizer class of your own, of which `name` is then the name; None for one of Keras.

    Raises:
        InvalidInput: If the name is unknown, or naming every value that is out of range.

    Examples:
        >>> Optimizer("lion", 1e-4, options=(("beta_2", 0.98),)).name
        'lion'
    """

    name: str
    learning_rate: float | LearningRateSchedule
    weight_decay: float = 0.0
    momentum: float = 0.0
    clip_norm: float | None = None
    ema_momentum: float | None = None
    l2_sp: float = 0.0
    gradient_accumulation_steps: int = 1
    options: tuple[tuple[str, Any], ...] = ()
    keras_class: type[keras.optimizers.Optimizer] | None = None

    __repr__ = display.short_repr

    def __post_init__(self) -> None:
        check.store_python_numbers(self)
        if self.keras_class is None:
            check.one_of("optimizer", self.name, KERAS_OPTIMIZERS)
        problems = check.Problems()
        for problem in _out_of_range(self):
            problems.add(problem)
        if self.keras_class is None:
            parameters = signature(self.optimizer_class).parameters
            unknown = [name for name, _ in self.options if name not in parameters]
            unknown += ["momentum"] if self.momentum and "momentum" not in parameters else []
            for name in unknown:
                problems.add(
                    f"{self.optimizer_class.__name__} has no option {name!r}.{check.did_you_mean(name, parameters)}"
                )
        problems.raise_if_any()

    @property
    def optimizer_class(self) -> type[keras.optimizers.Optimizer]:
        """Class of the Keras optimizer."""
        return self.keras_class or KERAS_OPTIMIZERS[self.name]

    @property
    def has_schedule(self) -> bool:
        """Whether the learning rate is a Keras schedule, so that the schedule of the phase is not used."""
        return isinstance(self.learning_rate, LearningRateSchedule)

    def to_config(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        rate = self.learning_rate
        return {
            **{name: value for name, value in vars(self).items() if name != "keras_class"},
            "learning_rate": keras.saving.serialize_keras_object(rate) if self.has_schedule else rate,
            "options": {name: keras.saving.serialize_keras_object(value) for name, value in self.options},
        }


def adamw(
    learning_rate: float | LearningRateSchedule = 1e-3,
    *,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
    ema_momentum: float | None = None,
    l2_sp: float = 0.0,
    gradient_accumulation_steps: int = 1,
) -> Optimizer:
    """Describe AdamW (Loshchilov and Hutter 2019).

    Args:
        learning_rate: Peak learning rate of the phase, or a Keras schedule.
        weight_decay: Decoupled weight decay; 0 is plain Adam.
        clip_norm: Upper bound of the global gradient norm, or None.
        ema_momentum: Momentum of an exponential moving average of the weights (Polyak and Juditsky 1992), such as 0.99;
            the average is validated and kept. None keeps the weights themselves.
        l2_sp: Strength of L2-SP (Li et al. 2018): pretrained weights are pulled to where they started, instead of
            decaying to zero. 0 turns it off.
        gradient_accumulation_steps: Batches whose mean gradient makes one step. Schedules still count batches.

    Returns:
        A frozen record for `Phase(optimizer=)`.

    Raises:
        InvalidInput: Naming every number that is out of range.

    Examples:
        >>> adamw(2e-5, weight_decay=0.01).name
        'adamw'
    """
    return Optimizer(
        name="adamw",
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        ema_momentum=ema_momentum,
        l2_sp=l2_sp,
        gradient_accumulation_steps=gradient_accumulation_steps,
    )


def sgd(
    learning_rate: float | LearningRateSchedule = 1e-2,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
    ema_momentum: float | None = None,
    l2_sp: float = 0.0,
    gradient_accumulation_steps: int = 1,
) -> Optimizer:
    """Describe stochastic gradient descent with momentum.

    Args:
        learning_rate: Peak learning rate of the phase, or a Keras schedule.
        momentum: Momentum, in [0, 1).
        weight_decay: Decoupled weight decay (Loshchilov and Hutter 2019, SGDW).
        clip_norm: Upper bound of the global gradient norm, or None.
        ema_momentum: See `adamw`.
        l2_sp: See `adamw`.
        gradient_accumulation_steps: See `adamw`.

    Returns:
        A frozen record for `Phase(optimizer=)`.

    Raises:
        InvalidInput: Naming every number that is out of range.

    Examples:
        >>> sgd(1e-3).momentum
        0.9
    """
    return Optimizer(
        name="sgd",
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        momentum=momentum,
        clip_norm=clip_norm,
        ema_momentum=ema_momentum,
        l2_sp=l2_sp,
        gradient_accumulation_steps=gradient_accumulation_steps,
    )


def build(
    spec: Optimizer,
    rate: float | LearningRateSchedule,
    variables: list[keras.Variable],
    *,
    lr_multipliers: Mapping[str, float] | None = None,
    anchors: Mapping[str, np.ndarray] | None = None,
    previous_state: OptimizerState | None = None,
    loss_scaling: bool = False,
) -> keras.optimizers.Optimizer:
    """Build a Keras optimizer for exactly these variables.

    Multipliers scale the whole update, weight decay and L2-SP included, and not the gradient: Adam would divide the
    factor out again, and clipping would see another norm. Under a distribution strategy, call it in the strategy's
    scope.

    Args:
        spec: Settings of the optimizer.
        rate: Schedule of the phase, or a constant learning rate.
        variables: The trainable variables of the phase.
        lr_multipliers: Variable path → factor of its learning rate; 1 for variables that are not named.
        anchors: Variable path → weights that `spec.l2_sp` pulls towards; variables without an anchor (those of the
            head) are not pulled. Paths of frozen variables are ignored. Required if `spec.l2_sp` is set.
        previous_state: From `optimizer_state`, of the phase before. New variables start at zero, with the bias
            correction of a first step. The state of another algorithm is ignored.
        loss_scaling: Multiply the loss so that float16 gradients do not vanish (Micikevicius et al. 2018).

    Returns:
        A built optimizer. Weight decay leaves out biases and norms, see `per_variable.decays`.

    Raises:
        InvalidInput: Naming every multiplier, anchor, state and variable that does not fit.

    Examples:
        >>> variable = keras.Variable([1.0, 2.0], name="kernel")
        >>> build(sgd(), 0.1, [variable], lr_multipliers={"kernel": 0.5}).lr_multipliers
        (0.5,)
    """
    lr_multipliers, anchors = dict(lr_multipliers or {}), _used_anchors(spec, anchors, variables)
    _check_variables(variables, lr_multipliers, anchors)
    if spec.optimizer_class is KERAS_OPTIMIZERS["ftrl"] and set(lr_multipliers.values()) - {1.0}:
        raise InvalidInput(
            "Ftrl computes the weights from sums of gradients, so that single layers cannot have learning rates of "
            "their own. Use another optimizer, such as 'adagrad', or a plan without learning-rate multipliers."
        )
    schedule = rate if isinstance(rate, LearningRateSchedule) else float(rate)
    optimizer = _unbuilt(spec, schedule)
    optimizer.settings = VariableSettings(lr_multipliers, spec.l2_sp, tuple(anchors))
    outer = keras.optimizers.LossScaleOptimizer(optimizer) if loss_scaling else optimizer
    outer.build(variables)
    for anchor, variable in zip(optimizer.anchors, variables, strict=True):
        if anchor is not None:
            anchor.assign(anchors[variable.path])
    if previous_state is not None:
        require_unique_paths(variables)
        restore(optimizer, previous_state)
    return outer


def _unbuilt(spec: Optimizer, rate: float | LearningRateSchedule) -> PerVariable:
    """Create the optimizer; arguments at their default are left out, as a user's class may not have them."""
    steps, options = spec.gradient_accumulation_steps, dict(spec.options)
    if spec.name == "muon" and spec.keras_class is None:  # it updates some variables as AdamW does
        options.setdefault("adam_weight_decay", float(spec.weight_decay))
    arguments = {
        "weight_decay": float(spec.weight_decay),
        "global_clipnorm": spec.clip_norm,
        "use_ema": spec.ema_momentum is not None,
        "ema_momentum": 0.99 if spec.ema_momentum is None else spec.ema_momentum,
        "gradient_accumulation_steps": steps if steps > 1 else None,
    }
    if spec.momentum:
        arguments["momentum"] = float(spec.momentum)
    return per_variable(spec.optimizer_class).from_config({"learning_rate": rate, **options, **arguments})


def _used_anchors(
    spec: Optimizer, anchors: Mapping[str, np.ndarray] | None, variables: list[keras.Variable]
) -> dict[str, np.ndarray]:
    if not spec.l2_sp:
        return {}
    if anchors is None:
        raise InvalidInput(f"`l2_sp` ({spec.l2_sp}) requires `anchors`: the weights to pull towards, by variable path.")
    return {variable.path: anchors[variable.path] for variable in variables if variable.path in anchors}


def _check_variables(
    variables: list[keras.Variable], lr_multipliers: Mapping[str, float], anchors: Mapping[str, np.ndarray]
) -> None:
    problems = check.Problems()
    shapes = {variable.path: tuple(variable.shape) for variable in variables}
    for variable in variables:
        if not variable.trainable:
            problems.add(f"`{variable.path}` is frozen; pass trainable variables, such as model.trainable_variables")
    for path, factor in lr_multipliers.items():
        if path not in shapes:
            near = check.did_you_mean(path, shapes)
            problems.add(f"`lr_multipliers` names {path!r}, which is not among the trainable variables.{near}")
        if not check.is_number(factor) or factor <= 0:
            problems.add(f"`lr_multipliers` must be numbers above 0. Received: {factor!r} for {path!r}")
    for path, anchor in anchors.items():
        if np.shape(anchor) != shapes[path]:
            problems.add(f"`{path}` has the shape {shapes[path]}, its anchor has {np.shape(anchor)}")
    problems.raise_if_any()
    if anchors:
        require_unique_paths(variables)


def _out_of_range(spec: Optimizer) -> Iterator[str]:
    """Yield a problem for every setting that is out of range."""
    if not spec.has_schedule and (not check.is_number(spec.learning_rate) or spec.learning_rate <= 0):
        yield f"`learning_rate` must be a number above 0, or a Keras schedule. Received: {spec.learning_rate!r}"
    if not check.is_number(spec.weight_decay) or spec.weight_decay < 0:
        yield f"`weight_decay` must be at least 0. Received: {spec.weight_decay!r}"
    if not check.is_number(spec.momentum) or not 0 <= spec.momentum < 1:
        yield f"`momentum` must be at least 0 and below 1. Received: {spec.momentum!r}"
    if spec.clip_norm is not None and (not check.is_number(spec.clip_norm) or spec.clip_norm <= 0):
        yield f"`clip_norm` must be above 0, or None. Received: {spec.clip_norm!r}"
    if spec.ema_momentum is not None and (not check.is_number(spec.ema_momentum) or not 0 < spec.ema_momentum < 1):
        yield f"`ema_momentum` must be above 0 and below 1, or None. Received: {spec.ema_momentum!r}"
    if not check.is_number(spec.l2_sp) or spec.l2_sp < 0:
        yield f"`l2_sp` must be at least 0. Received: {spec.l2_sp!r}"
    steps = spec.gradient_accumulation_steps
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        yield f"`gradient_accumulation_steps` must be a whole number above 0. Received: {steps!r}"
