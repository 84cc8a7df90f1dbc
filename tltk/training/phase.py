"""One phase: apply its plan, build a new optimizer, compile, `model.fit`, prove what moved, keep the better weights."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter

import keras
import numpy as np
import tensorflow as tf

from tltk.foundation import checks as check
from tltk.foundation import hardware as machine
from tltk.foundation import progress
from tltk.models.frozen_split import View, split
from tltk.models.transfer_model import TransferModel
from tltk.optimizers import spec as optimizers
from tltk.optimizers.ema import AveragedWeights
from tltk.optimizers.schedules import schedule
from tltk.optimizers.state import OptimizerState, optimizer_state, unwrapped
from tltk.pipeline.loader import explain_empty_data
from tltk.recipes.recipe import Phase
from tltk.trainability.apply import Applied, applied
from tltk.trainability.audit.gradients import decays, got_gradient
from tltk.trainability.audit.proof import AuditError, check_phase
from tltk.trainability.lora.weights import LoraWeights
from tltk.training.callbacks import CountSteps, KeepBest, Score, SetEpoch, StopOnNan, Watch
from tltk.training.phase_data import PhaseData, ignore_unknown_length_warning
from tltk.training.wise_ft import choose_interpolation

log = logging.getLogger("tltk")


@dataclass(frozen=True)
class PhaseResult:
    """What became of one phase.

    Args:
        name: the phase's.
        epochs: passes that were run.
        best_epoch: the one whose weights were kept, from 1; 0 if the phase was undone.
        kept: False if the phase did not beat the one before it, and was undone.
        score: the monitored metric on validation after the phase (larger is better) and minus the loss; None
            without validation data.
        seconds: wall time.
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
class Trained:
    """What a phase hands on.

    Args:
        result: for the record.
        optimizer_state: State of its optimizer, for the next phase's; None if there is none.
        lora_weights: What LoRA has learned, already merged into the model.
    """

    result: PhaseResult
    optimizer_state: OptimizerState | None
    lora_weights: dict[str, LoraWeights] = field(default_factory=dict)


def train_phase(
    model: TransferModel,
    phase: Phase,
    data_for: Callable[[View], PhaseData],
    *,
    before: Score | None,
    write: Callable[[dict], None],
    previous_state: OptimizerState | None = None,
    anchors: Mapping[str, np.ndarray] | None = None,
) -> Trained:
    """Train one phase and leave the model at its best weights, or where it was if none is better.

    Args:
        model: trained in place.
        phase: what to do.
        data_for: takes the model split for this phase, returns what to train on what; without validation batches the
            last epoch's weights are kept.
        before: the validation score that has to be beaten, None for the first phase.
        write: takes one row of numbers after each epoch.
        previous_state: Optimizer state of the phase before.
        anchors: Variable path → pretrained weights, for an optimizer with L2-SP.

    Returns:
        What became of it, and what the next phase takes over. An undone phase hands on what it was given.

    Raises:
        FloatingPointError: if the loss is no number any more; the model is back where it was.
        AuditError: if a frozen weight moved, or one that was to learn did not; the model is back where it was.
            Whatever else is raised, Ctrl-C included, the model is left at the better of the phase's best and its start.
    """
    begun = perf_counter()
    start = model.keras.get_weights()
    keep: KeepBest | None = None
    try:
        with applied(phase.plan, model) as now:
            data = data_for(split(model.keras, now.decisions))
            keep = KeepBest(model.keras, model.task.monitor, phase.patience) if data.val else None
            try:
                optimizer = _compile(data, model, phase, now, previous_state=previous_state, anchors=anchors)
                epochs = _audited(model, now, data, phase, keep=keep, write=write)
            finally:
                if keep:
                    keep.restore()  # inside: the best epoch's weights include those of LoRA
        best, wise_ft_alpha = keep.best if keep else None, 1.0
        if phase.wise_ft and data.val and best is not None:
            wise_ft_alpha, best = choose_interpolation(model, data, data.val, start, best)
    except BaseException as error:
        if not _worth_keeping(keep, before, error):
            model.keras.set_weights(start)  # outside: LoRA is merged, the list of weights is that of the start again
        raise
    kept = _judge(model, phase, keep, best, before=before, start=start)
    best_epoch = (keep.best_epoch if keep else epochs) if kept else 0
    seconds = round(perf_counter() - begun, 3)
    result = PhaseResult(phase.name, epochs, best_epoch, kept, best if kept else before, seconds, wise_ft_alpha * kept)
    if not kept:
        return Trained(result, previous_state)
    # In a mixture the weights of LoRA are only a part: they would not lead back to the model's weights.
    return Trained(result, optimizer_state(optimizer), now.lora_weights if wise_ft_alpha == 1 else {})


def _worth_keeping(keep: KeepBest | None, before: Score | None, error: BaseException) -> bool:
    """Tell whether a phase that was broken off leaves better weights than it started from.

    After Ctrl-C without validation nothing can be compared, and what was learned so far stays.
    """
    if isinstance(error, FloatingPointError | AuditError):
        return False
    if keep is None:
        return isinstance(error, KeyboardInterrupt)
    return keep.best is not None and (before is None or keep.best > before)


def _compile(
    data: PhaseData,
    model: TransferModel,
    phase: Phase,
    now: Applied,
    *,
    previous_state: OptimizerState | None,
    anchors: Mapping[str, np.ndarray] | None,
) -> keras.optimizers.Optimizer:
    total = max(data.train.steps * phase.epochs, 1)
    group = phase.optimizer.gradient_accumulation_steps
    if total < group:
        raise ValueError(
            f"phase {phase.name!r} has {total} batches, fewer than gradient_accumulation_steps={group}: "
            "it would not take a single step."
        )
    rate = schedule(phase.schedule, phase.optimizer.learning_rate, steps=total, warmup=phase.warmup_steps(total))
    optimizer = optimizers.build(
        phase.optimizer,
        rate,
        data.model.trainable_variables,
        lr_multipliers=now.lr_multipliers,
        anchors=anchors,
        previous_state=previous_state,
        loss_scaling=model.precision == "mixed_float16",
    )
    # The view is built under Keras' global policy, not the backbone's: loss scaling is asked for above, not guessed.
    data.model.compile(
        optimizer=optimizer,
        loss=model.task.loss(),
        metrics=model.task.metrics(),
        jit_compile=machine.jit_compile(),
        auto_scale_loss=False,
    )
    return optimizer


def _audited(
    model: TransferModel,
    now: Applied,
    data: PhaseData,
    phase: Phase,
    *,
    keep: KeepBest | None,
    write: Callable[[dict], None],
) -> int:
    """Fit, then prove by bytes that what was frozen stayed and what was to learn moved."""
    before = model.keras.get_weights()
    epochs = _fit(data, phase, keep=keep, write=write)
    optimizer = data.model.optimizer
    steps = int(keras.ops.convert_to_numpy(unwrapped(optimizer).iterations))  # Keras counts steps, not batches
    gradient, learning = got_gradient(optimizer), data.model.trainable_variables
    found = check_phase(
        [weight.path for weight in model.keras.weights],
        before,
        model.keras.get_weights(),
        learning=now.lr_multipliers,
        updated_statistics=now.updated_statistics,
        with_gradient=[each.path for each in learning if gradient.get(id(each)) is True],
        without_gradient=[each.path for each in learning if gradient.get(id(each)) is False and decays(optimizer)],
        steps=steps,
    )
    problems = check.Problems()
    problems.found = list(found)
    problems.raise_if_any(f"{phase.name} did not do what its plan says:", error=AuditError)
    return epochs


def _fit(data: PhaseData, phase: Phase, *, keep: KeepBest | None, write: Callable[[dict], None]) -> int:
    averaged = [AveragedWeights()] if phase.optimizer.ema_momentum else []
    with tf.device("CPU:0"):  # where the batches are made
        epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
    with (
        progress.bar(phase.name, data.train.steps * phase.epochs) as advance,
        ignore_unknown_length_warning(),
        explain_empty_data(data.train, data.val),
    ):
        callbacks: list[keras.callbacks.Callback] = [
            SetEpoch(epoch),
            CountSteps(),
            StopOnNan(),
            Watch(phase.name, phase.epochs, advance, write),
        ]
        history = data.model.fit(
            data.train.dataset(epoch),
            validation_data=data.val.dataset() if data.val else None,
            epochs=phase.epochs,
            shuffle=False,  # the pipeline has shuffled; Keras would warn that it cannot
            callbacks=[*averaged, *callbacks, *([keep] if keep else [])],
            verbose=0,
        )
    return len(history.epoch)


def _judge(
    model: TransferModel, phase: Phase, keep: KeepBest | None, best: Score | None, *, before: Score | None, start: list
) -> bool:
    if keep is None or before is None or (best is not None and best > before):
        return True
    model.keras.set_weights(start)
    name = model.task.monitor[0]
    found = f"{abs(best[0]):.4g}" if best else "nothing"
    log.warning("%s was undone: %s %s on validation, %.4g before it.", phase.name, name, found, abs(before[0]))
    return False
