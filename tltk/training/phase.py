"""One phase: apply its plan, compile, fit, check which weights changed, and keep the better weights."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tltk.foundation import checks as check
from tltk.foundation import hardware, progress
from tltk.foundation.errors import AuditError, InvalidInput
from tltk.models.frozen_split import FrozenSplit, split_frozen_prefix
from tltk.models.transfer_model import TransferModel
from tltk.optimizers.ema import AveragedWeights
from tltk.optimizers.schedules import schedule
from tltk.optimizers.spec import build as build_optimizer
from tltk.optimizers.state import OptimizerState, optimizer_state, without_loss_scaling
from tltk.pipeline.loader import explain_data_errors
from tltk.recipes.recipe import Phase
from tltk.trainability.apply import AppliedPlan, apply_plan
from tltk.trainability.audit.byte_check import check_phase
from tltk.trainability.audit.gradients import got_gradient, moves_without_gradient
from tltk.trainability.lora.weights import LoraWeights
from tltk.training.best_epoch import KeepBest, Score
from tltk.training.callbacks import CountSteps, ReportProgress, SetPosition, StopOnNan
from tltk.training.checkpoints import PhaseCheckpoints, build_metrics
from tltk.training.divergence import explain
from tltk.training.out_of_memory import describe_step, explain_out_of_memory
from tltk.training.phase_data import PhaseData, ignore_unknown_length_warning, keep_epoch_length
from tltk.training.user_callbacks import PhaseCallbacks, UserCallbacks
from tltk.training.wise_ft import choose_interpolation

log = logging.getLogger("tltk")


@dataclass(frozen=True)
class PhaseResult:
    """Record of one phase.

    Args:
        name: Name of the phase.
        epochs: Epochs that were run.
        best_epoch: Epoch whose weights were kept, from 1; 0 if the phase was undone.
        kept: False if the phase was undone because it did not beat the previous phase.
        score: Validation score after the phase, larger is better: (metric, −loss), compared as a tuple; the metric is
            negated if smaller is better. None without validation data.
        seconds: Wall time.
        wise_ft_alpha: The weights are (1 − alpha) · start + alpha · end of the phase; 1 without `wise_ft`, 0 if the
            phase was undone.
    """

    name: str
    epochs: int
    best_epoch: int
    kept: bool
    score: Score | None
    seconds: float
    wise_ft_alpha: float = 1.0


@dataclass(frozen=True)
class TrainedPhase:
    """What a phase returns besides the trained weights.

    Args:
        result: Record of the phase, which is stored with the run.
        optimizer_state: State of the optimizer, for the next phase; None if there is none.
        lora_weights: LoRA weights, already merged into the model.
    """

    result: PhaseResult
    optimizer_state: OptimizerState | None
    lora_weights: dict[str, LoraWeights] = field(default_factory=dict)


@dataclass(frozen=True)
class PhaseStart:
    """What a phase takes over from the previous phase.

    Args:
        weights: Weights of the model, before LoRA is added.
        score_to_beat: Validation score; None for the first phase.
        optimizer_state: State of the optimizer; None for the first phase.
        anchors: Variable path → pretrained weights, for an optimizer with L2-SP; else None.
        seed: Seed of the first weights of LoRA.
    """

    weights: list[np.ndarray]
    score_to_beat: Score | None = None
    optimizer_state: OptimizerState | None = None
    anchors: Mapping[str, np.ndarray] | None = None
    seed: int = 0


def train_phase(
    model: TransferModel,
    phase: Phase,
    make_data: Callable[[FrozenSplit], PhaseData],
    *,
    start: PhaseStart,
    write: Callable[[dict[str, Any]], None],
    checkpoints: PhaseCheckpoints,
    user_callbacks: UserCallbacks | None = None,
) -> TrainedPhase:
    """Train one phase. The model ends with its best weights, or with those it had before if none are better.

    This also holds after an exception such as Ctrl-C, except for the errors listed below.

    Args:
        model: Trained in place.
        phase: Plan, optimizer and options.
        make_data: Given the model split into its frozen prefix and the layers above it, returns the batches of the
            phase and the model to train on them. Without validation batches the weights of the last epoch are kept.
        start: What the phase takes over from the previous phase.
        write: Receives one history row after each epoch.
        checkpoints: Writes checkpoints, and has the one that the phase resumes from.
        user_callbacks: Keras callbacks that the user passed to `fit`, or None.

    Returns:
        The result, and what the next phase takes over. An undone phase passes on `start.optimizer_state`.

    Raises:
        TrainingDiverged: If the loss becomes NaN or infinite; the model has the last good weights: those of the best
            epoch on validation if it is better than what was before the phase, otherwise those before the phase.
        AuditError: If a frozen weight changed, or a trainable one got no gradient; the weights before the phase are
            restored.
    """
    started_at = perf_counter() - checkpoints.seconds
    keep_best: KeepBest | None = None
    try:
        with apply_plan(phase.plan, model, seed=start.seed) as applied_plan:
            data = make_data(split_frozen_prefix(model.keras, applied_plan.decisions))
            keep_best = KeepBest(model.keras, model.task.epoch_monitor(), phase.patience) if data.val else None
            try:
                optimizer = _compile(data, model, phase, applied_plan, start)
                weights = model.keras.get_weights()  # with those of LoRA
                fitting = _Fitting(model, data, phase, checkpoints, keep_best, user_callbacks, write, weights)
                epochs = _fit_and_audit(fitting, applied_plan)
            finally:
                if keep_best:
                    keep_best.restore()  # inside the block: the weights of the best epoch include those of LoRA
        best_score = keep_best.best if keep_best else None
        alpha = 1.0
        if phase.wise_ft and data.val and best_score is not None:
            alpha, best_score = choose_interpolation(model, data, data.val, start.weights, best_score)
    except BaseException as error:
        if not _is_worth_keeping(keep_best, start.score_to_beat, error):
            model.keras.set_weights(start.weights)  # outside the block: the model no longer has LoRA variables
        raise
    kept = (
        keep_best is None
        or start.score_to_beat is None
        or (best_score is not None and best_score > start.score_to_beat)
    )
    seconds = round(perf_counter() - started_at, 3)
    if not kept:
        _undo(model, phase, start.weights, best_score, start.score_to_beat)
        return TrainedPhase(
            PhaseResult(phase.name, epochs, 0, False, start.score_to_beat, seconds, 0.0), start.optimizer_state
        )
    best_epoch = keep_best.best_epoch if keep_best else epochs
    result = PhaseResult(phase.name, epochs, best_epoch, True, best_score, seconds, alpha)
    # After an interpolation, start weights plus LoRA weights are not the weights of the model.
    return TrainedPhase(result, optimizer_state(optimizer), applied_plan.lora_weights if alpha == 1 else {})


def _is_worth_keeping(keep_best: KeepBest | None, score_to_beat: Score | None, error: BaseException) -> bool:
    """Return whether an interrupted phase has better weights than those it started from.

    After Ctrl-C without validation data there is nothing to compare, and the weights trained so far are kept.
    """
    if isinstance(error, AuditError):
        return False
    if keep_best is None:
        return isinstance(error, KeyboardInterrupt)
    return keep_best.best is not None and (score_to_beat is None or keep_best.best > score_to_beat)


def _undo(
    model: TransferModel,
    phase: Phase,
    start_weights: list[np.ndarray],
    best_score: Score | None,
    score_to_beat: Score | None,
) -> None:
    """Restore the weights before a phase that did not improve the validation score."""
    model.keras.set_weights(start_weights)
    metric, direction = model.task.epoch_monitor()
    sign = 1 if direction == "max" else -1  # the score is negated if a smaller metric is better
    before, after = (f"{sign * score[0]:.4g}" if score else "unknown" for score in (score_to_beat, best_score))
    log.warning("%s was undone: validation %s was %s after it, %s before.", phase.name, metric, after, before)


def _compile(
    data: PhaseData,
    model: TransferModel,
    phase: Phase,
    applied_plan: AppliedPlan,
    start: PhaseStart,
) -> keras.optimizers.Optimizer:
    total_batches = max(data.train.steps_per_epoch * phase.epochs, 1)
    group_size = phase.optimizer.gradient_accumulation_steps
    if total_batches < group_size:
        raise InvalidInput(
            f"phase {phase.name!r} has {total_batches} batches, fewer than gradient_accumulation_steps={group_size}: "
            "the optimizer would not take a single step. Train more epochs, or accumulate fewer batches."
        )
    optimizer = build_optimizer(
        phase.optimizer,
        _learning_rate(phase, total_batches),
        data.model.trainable_variables,
        lr_multipliers=applied_plan.lr_multipliers,
        anchors=start.anchors,
        previous_state=start.optimizer_state,
        loss_scaling=model.precision == "mixed_float16",
    )
    # Keras would infer loss scaling from the global dtype policy instead of the backbone's, so it is set above.
    data.model.compile(
        optimizer=optimizer,
        loss=model.task.training_loss(),
        # Weights of classes alone weigh the loss only, as in Keras.
        **{"weighted_metrics" if data.has_weights else "metrics": model.task.training_metrics()},
        jit_compile=hardware.jit_compile(),
        auto_scale_loss=False,
    )
    return optimizer


def _learning_rate(phase: Phase, total_batches: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Return the schedule of the optimizer or of the phase; a constant rate is a number, which callbacks can change."""
    rate = phase.optimizer.learning_rate
    if phase.optimizer.has_schedule or phase.has_constant_rate:
        return rate
    return schedule(phase.schedule, rate, steps=total_batches, warmup=phase.warmup_steps(total_batches))


@dataclass(frozen=True)
class _Fitting:
    """What takes part in the fit of a phase."""

    model: TransferModel
    data: PhaseData
    phase: Phase
    checkpoints: PhaseCheckpoints
    keep_best: KeepBest | None
    user_callbacks: UserCallbacks | None
    write: Callable[[dict[str, Any]], None]
    start_weights: list[np.ndarray]  # with those of LoRA


def _fit_and_audit(fitting: _Fitting, applied_plan: AppliedPlan) -> int:
    """Fit, then check byte by byte that only trainable weights have changed; return the number of epochs."""
    model, data = fitting.model, fitting.data
    epochs = _fit(fitting)
    optimizer = data.model.optimizer
    steps = int(keras.ops.convert_to_numpy(without_loss_scaling(optimizer).iterations))  # optimizer steps, not batches
    # A variable is missing from `had_gradient` if the optimizer has no state that shows it, as plain SGD has none.
    had_gradient, variables = got_gradient(optimizer), data.model.trainable_variables
    with_gradient = [variable.path for variable in variables if had_gradient.get(id(variable)) is True]
    without_gradient = [variable.path for variable in variables if had_gradient.get(id(variable)) is False]
    problems = check.Problems()
    for problem in check_phase(
        [weight.path for weight in model.keras.weights],
        fitting.start_weights,
        model.keras.get_weights(),
        trained=applied_plan.lr_multipliers.keys(),
        updated_statistics=applied_plan.updated_statistics,
        with_gradient=with_gradient,
        # Weight decay and L2-SP move weights without a gradient. Without them such a weight has the same bytes.
        without_gradient=without_gradient if moves_without_gradient(optimizer) else (),
        steps=steps,
    ):
        problems.add(problem)
    problems.raise_if_any(f"{fitting.phase.name} did not do what its plan says:", error=AuditError)
    return epochs


def _callbacks(
    fitting: _Fitting,
    user_callback: PhaseCallbacks | None,
    position: list[tf.Variable],
    advance: Callable[..., None],
) -> list[keras.callbacks.Callback]:
    """Return the callbacks of the phase, in the order in which Keras calls them."""
    phase, checkpoints, keep_best = fitting.phase, fitting.checkpoints, fitting.keep_best
    count_steps = CountSteps()
    report = ReportProgress(phase.name, phase.epochs, advance, fitting.write)
    parts = {"count_steps": count_steps, "report": report, "best": keep_best, "user_callbacks": fitting.user_callbacks}
    stateful = {name: part for name, part in parts.items() if part is not None}
    callbacks = [
        AveragedWeights() if phase.optimizer.ema_momentum else None,  # first: the others see the averages
        SetPosition(*position, first_batch=checkpoints.first_batch),
        count_steps,
        StopOnNan(partial(_explain_divergence, fitting), first_step=checkpoints.first_step),
        user_callback,
        report,
        keep_best,
        checkpoints.callback(fitting.model.keras, fitting.data.model, fitting.data.train, stateful),
    ]
    return [callback for callback in callbacks if callback is not None]


def _describe_step(fitting: _Fitting) -> str:
    """Describe what a step of the phase holds in memory."""
    data = fitting.data
    return describe_step(
        data.train.dataset().element_spec,
        -(-data.train.element_count // max(data.train.steps_per_epoch, 1)),
        precision=fitting.model.precision,
        accumulate=fitting.phase.optimizer.gradient_accumulation_steps,
        trainable=sum(int(np.prod(variable.shape)) for variable in data.model.trainable_variables),
    )


def _explain_divergence(fitting: _Fitting, epoch: int, step: int) -> str:
    """Say what is not finite in the batch of a step, counted from the first one of the epoch in this process."""
    data, keep_best = fitting.data, fitting.keep_best
    first = fitting.checkpoints.first_batch if epoch == fitting.checkpoints.epoch else 0
    number = data.train.number_after(step, epoch=epoch, first=first)
    batch = next(iter(data.train.dataset(epoch, number)))
    good = keep_best.weights if keep_best and keep_best.weights is not None else fitting.start_weights
    return explain(data.model, batch, good_weights=(fitting.model.keras, good), stages=fitting.model.stages)


def _fit(fitting: _Fitting) -> int:
    """Run `model.fit`, from the epoch and batch of the checkpoint if there is one; return the epochs in all."""
    data, phase, checkpoints, keep_best = fitting.data, fitting.phase, fitting.checkpoints, fitting.keep_best
    steps_per_epoch, steps_done = data.train.steps_per_epoch, checkpoints.first_step
    checkpoints.require_fit(epochs=phase.epochs, batches=steps_per_epoch)
    user_callbacks = fitting.user_callbacks
    user_callback = user_callbacks.phase(steps_per_epoch, first_step=steps_done) if user_callbacks else None
    with tf.device("CPU:0"):  # the input pipeline reads them there
        position = [tf.Variable(0, dtype=tf.int64, trainable=False) for _ in ("epoch", "batch")]
    with (
        progress.bar(phase.name, steps_per_epoch * phase.epochs) as advance,
        ignore_unknown_length_warning(),
        explain_data_errors(data.train, data.val),
        explain_out_of_memory(partial(_describe_step, fitting)),
        checkpoints.postpone_stop(),
    ):
        advance(steps_per_epoch * checkpoints.epoch + steps_done)
        callbacks = _callbacks(fitting, user_callback, position, advance)
        if checkpoints.first_step:
            build_metrics(data.model, data.train)
        dataset = data.train.dataset(*position)
        keep_epoch_length(dataset, steps_per_epoch)
        history = data.model.fit(
            dataset,
            validation_data=data.val.dataset() if data.val else None,
            initial_epoch=checkpoints.epoch,
            epochs=phase.epochs,
            shuffle=False,  # the pipeline shuffles; Keras would warn that it cannot
            callbacks=callbacks,
            verbose=0,
        )
    if keep_best and user_callback and user_callback.restored_epoch is not None:
        keep_best.choose(user_callback.restored_epoch)
    return checkpoints.epoch + len(history.epoch)
