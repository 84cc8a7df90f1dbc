"""One phase: resolve the plan, apply it, build a new optimizer, compile, `model.fit`, keep the better weights."""

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import keras

from tltk import machine, progress
from tltk.data.pipeline import Batches
from tltk.model import TransferModel
from tltk.recipes import Phase
from tltk.schedules import schedule
from tltk.trainability import optimizers
from tltk.trainability.apply import Applied, applied
from tltk.training.callbacks import KeepBest, Score, StopOnNan, Watch
from tltk.views import View, split

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
    """

    name: str
    epochs: int
    best_epoch: int
    kept: bool
    score: Score | None
    seconds: float


def train_phase(
    model: TransferModel,
    phase: Phase,
    train: Batches,
    val: Batches | None,
    *,
    before: Score | None,
    write: Callable[[dict], None],
) -> PhaseResult:
    """Train one phase and leave the model at its best weights, or where it was if none is better.

    Args:
        model: trained in place.
        phase: what to do.
        train: shuffled and augmented batches.
        val: plain batches, or None: then the last epoch's weights are kept.
        before: the validation score that has to be beaten, None for the first phase.
        write: takes one row of numbers after each epoch.

    Returns:
        What became of it.

    Raises:
        FloatingPointError: if the loss is no number any more; the model is back where it was.
    """
    begun = perf_counter()
    start = model.keras.get_weights()
    keep = KeepBest(model.keras, model.task.monitor, phase.patience) if val else None
    try:
        with applied(phase.plan, model) as now:
            try:
                view = _compiled_view(model, now, phase, train.steps)
                epochs = _fit(view, phase, train, val, keep=keep, write=write)
            finally:
                if keep:
                    keep.restore()  # inside: the best epoch's weights have LoRA's matrices among them
    except FloatingPointError:
        model.keras.set_weights(start)  # outside: LoRA is merged, the list of weights is that of the start again
        raise
    kept = _judge(model, phase, keep, before=before, start=start)
    best = keep.best if keep and kept else before
    best_epoch = (keep.best_epoch if keep else epochs) if kept else 0
    return PhaseResult(phase.name, epochs, best_epoch, kept, best, round(perf_counter() - begun, 3))


def _compiled_view(model: TransferModel, now: Applied, phase: Phase, steps: int) -> View:
    view = split(model.keras, now.decided)
    total = max(steps * phase.epochs, 1)
    rate = schedule(phase.schedule, phase.optimizer.learning_rate, steps=total, warmup=int(phase.warmup * total))
    scaled = model.precision == "mixed_float16"
    optimizer = optimizers.build(phase.optimizer, rate, view.train.trainable_variables, loss_scaling=scaled)
    # The view is built under Keras' global policy, not the backbone's: loss scaling is asked for above, not guessed.
    view.train.compile(
        optimizer=optimizer,
        loss=model.task.loss(),
        metrics=model.task.metrics(),
        jit_compile=machine.jit_compile(),
        auto_scale_loss=False,
    )
    return view


def _fit(
    view: View,
    phase: Phase,
    train: Batches,
    val: Batches | None,
    *,
    keep: KeepBest | None,
    write: Callable[[dict], None],
) -> int:
    with progress.bar(phase.name, train.steps * phase.epochs) as advance, warnings.catch_warnings():
        # The batches of an epoch are not promised in advance, since unreadable pictures may make them fewer; Keras
        # calls the end of an epoch of unknown length "ran out of data".
        warnings.filterwarnings("ignore", "Your input ran out of data", UserWarning)
        callbacks: list[keras.callbacks.Callback] = [StopOnNan(), Watch(phase.name, phase.epochs, advance, write)]
        history = view.train.fit(
            train.dataset,
            validation_data=val.dataset if val else None,
            epochs=phase.epochs,
            shuffle=False,  # the pipeline has shuffled; Keras would warn that it cannot
            callbacks=[*callbacks, *([keep] if keep else [])],
            verbose=0,
        )
    return len(history.epoch)


def _judge(model: TransferModel, phase: Phase, keep: KeepBest | None, *, before: Score | None, start: list) -> bool:
    if keep is None or before is None or (keep.best is not None and keep.best > before):
        return True
    model.keras.set_weights(start)
    name = model.task.monitor[0]
    found = f"{abs(keep.best[0]):.4g}" if keep.best else "nothing"
    log.warning("%s was undone: %s %s on validation, %.4g before it.", phase.name, name, found, abs(before[0]))
    return False
