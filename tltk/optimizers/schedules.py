"""Learning-rate schedules: how the rate runs from the first step of a phase to the last."""

import math

import keras

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput

SCHEDULES = ("constant", "cosine", "linear", "one_cycle", "step")
_STAGES = 4  # of "step": the rate is divided after each but the last


def schedule(name: str, peak: float, *, steps: int, warmup: int = 0) -> keras.optimizers.schedules.LearningRateSchedule:
    """Build a schedule by its name; see the function of that name.

    Args:
        name: "constant", "cosine", "linear", "one_cycle" or "step".
        peak: Highest learning rate.
        steps: Optimizer steps in the whole phase, warm-up included.
        warmup: Steps from 0 to `peak`; below `steps`.

    Returns:
        A Keras schedule: step (int) → learning rate (float32 scalar).

    Raises:
        InvalidInput: For an unknown name or numbers out of range.
    """
    check.one_of("schedule", name, SCHEDULES)
    if name == "constant":
        return warmup_linear(peak, steps=steps, warmup=warmup, floor=peak)
    if name == "linear":
        return warmup_linear(peak, steps=steps, warmup=warmup)
    if name == "one_cycle":
        return one_cycle(peak, steps=steps)
    if name == "step":
        return warmup_step(peak, steps=steps, warmup=warmup)
    return warmup_cosine(peak, steps=steps, warmup=warmup)


def warmup_cosine(
    peak: float, *, steps: int, warmup: int = 0, floor: float = 0.0
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Build a linear warm-up followed by a half cosine.

    Fine-tuning starts from weights worth keeping: the warm-up keeps the first noisy steps of an
    adaptive optimizer from destroying them (Goyal et al. 2017, section 2.2).

    Args:
        peak: Learning rate at the end of the warm-up.
        steps: Optimizer steps in the whole phase, warm-up included.
        warmup: Steps from 0 to `peak`; must be below `steps`.
        floor: Learning rate at the last step.

    Returns:
        A Keras schedule: step (int) → learning rate (float32 scalar).

    Raises:
        InvalidInput: If `warmup` is not in [0, steps) or `peak` is not positive.

    Examples:
        >>> round(float(warmup_cosine(1.0, steps=10, warmup=2)(2)), 6)
        1.0
    """
    _check_steps(peak, steps, warmup)
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(peak, decay_steps=steps, alpha=floor / peak)
    return keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=steps - warmup, alpha=floor / peak, warmup_target=peak, warmup_steps=warmup
    )


def warmup_linear(
    peak: float, *, steps: int, warmup: int = 0, floor: float = 0.0
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Build a linear warm-up followed by a straight line to `floor` (the schedule of BERT, Devlin et al. 2019, A.2).

    Args:
        peak: Learning rate at the end of the warm-up.
        steps: Optimizer steps in the whole phase, warm-up included.
        warmup: Steps from 0 to `peak`; must be below `steps`.
        floor: Learning rate at the last step; `peak` itself gives a constant rate.

    Returns:
        A Keras schedule: step (int) → learning rate (float32 scalar).

    Raises:
        InvalidInput: If `warmup` is not in [0, steps) or `peak` is not positive.

    Examples:
        >>> float(warmup_linear(1.0, steps=10)(5))
        0.5
    """
    _check_steps(peak, steps, warmup)
    return _Piecewise(((0, 0.0 if warmup else peak), (warmup, peak), (steps, floor)), curve="linear")


def warmup_step(peak: float, *, steps: int, warmup: int = 0) -> keras.optimizers.schedules.LearningRateSchedule:
    """Build a linear warm-up, then a rate that is divided by ten after each quarter of the remaining steps.

    The schedule of BiT-HyperRule: 500 steps with a warm-up of 100 are divided after 200, 300 and 400 (Kolesnikov et al.
    2020, big_transfer's `bit_hyperrule.py`). A step right at the end of a quarter still has the rate of this quarter,
    as there.

    Args:
        peak: Learning rate at the end of the warm-up.
        steps: Optimizer steps in the whole phase, warm-up included.
        warmup: Steps from 0 to `peak`; must be below `steps`.

    Returns:
        A Keras schedule: step (int) → learning rate (float32 scalar).

    Raises:
        InvalidInput: If `warmup` is not in [0, steps) or `peak` is not positive.

    Examples:
        >>> [round(float(warmup_step(1.0, steps=500, warmup=100)(step)), 4) for step in (50, 200, 201, 401)]
        [0.5, 1.0, 0.1, 0.001]
    """
    _check_steps(peak, steps, warmup)
    return _Steps(peak, steps, warmup)


def one_cycle(
    peak: float, *, steps: int, rise: float = 0.25, start: float = 0.04, end: float = 4e-6
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Build one cosine up and one cosine down (Smith and Topin 2018; fastai's `fit_one_cycle` and its numbers).

    Args:
        peak: Learning rate at the top.
        steps: Optimizer steps in the whole phase.
        rise: Fraction of the steps that go up.
        start: Fraction of `peak` at the first step.
        end: Fraction of `peak` at the last step.

    Returns:
        A Keras schedule: step (int) → learning rate (float32 scalar).

    Raises:
        InvalidInput: If a number is out of range.

    Examples:
        >>> round(float(one_cycle(1.0, steps=100)(25)), 6)
        1.0
    """
    check.positive(peak=peak, steps=steps, start=start)
    check.within("rise", rise, low=0, high=1, open_high=True)
    return _Piecewise(((0, peak * start), (rise * steps, peak), (steps, peak * end)), curve="cosine")


def _check_steps(peak: float, steps: int, warmup: int) -> None:
    check.positive(peak=peak, steps=steps)
    if not check.is_number(warmup) or not 0 <= warmup < steps:
        hint = f"\nDid you mean a fraction? warmup={max(steps // 20, 0)} is 5 % of the steps."
        raise InvalidInput(
            f"`warmup` must be at least 0 and below `steps` ({steps}). Received: warmup={warmup!r}.{hint}"
        )


@keras.saving.register_keras_serializable(package="tltk")
class _Piecewise(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate through three (step, rate) points, joined by straight lines or half cosines."""

    def __init__(self, points: tuple[tuple[float, float], ...], curve: str) -> None:
        super().__init__()
        self.points = tuple(tuple(point) for point in points)
        self.curve = curve

    def __call__(self, step: int) -> keras.KerasTensor:
        ops = keras.ops
        now = ops.cast(step, "float32")
        (first, low), (middle, high), (last, end) = self.points
        up = low + (high - low) * self._progress(now, first, middle)
        down = high + (end - high) * self._progress(now, middle, last)
        return ops.where(now < middle, up, down)

    def _progress(self, now: keras.KerasTensor, begin: float, end: float) -> keras.KerasTensor:
        ops = keras.ops
        line = ops.clip((now - begin) / max(end - begin, 1e-9), 0.0, 1.0)
        return line if self.curve == "linear" else (1.0 - ops.cos(math.pi * line)) / 2.0

    def get_config(self) -> dict:
        return {"points": self.points, "curve": self.curve}


@keras.saving.register_keras_serializable(package="tltk")
class _Steps(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to the peak, then a tenth of the rate after each quarter of the remaining steps."""

    def __init__(self, peak: float, steps: int, warmup: int) -> None:
        super().__init__()
        self.peak, self.steps, self.warmup = peak, steps, warmup

    def __call__(self, step: int) -> keras.KerasTensor:
        ops = keras.ops
        now = ops.cast(step, "float32")
        rate = self.peak * ops.minimum(now / self.warmup, 1.0) if self.warmup else self.peak
        for stage in range(1, _STAGES):
            end = self.warmup + stage * (self.steps - self.warmup) / _STAGES
            rate = ops.where(now > end, self.peak / 10.0**stage, rate)
        return rate

    def get_config(self) -> dict:
        return {"peak": self.peak, "steps": self.steps, "warmup": self.warmup}
