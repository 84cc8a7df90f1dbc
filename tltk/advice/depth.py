"""How deep and how fast to fine-tune: depths and learning rates by successive halving, compared with the probe."""

from dataclasses import dataclass, field, replace
from itertools import product
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from tltk.advice.comparison import LUCK, Examples, Judged
from tltk.advice.embedding import Settings
from tltk.advice.gradient_norms import mean_of_trained, relative_gradient_norms
from tltk.advice.intervals import Interval, difference
from tltk.advice.records import FINE_TUNING, RULE, Depth
from tltk.feature_cache.storage import Cache
from tltk.foundation import progress
from tltk.foundation.duration import Deadline
from tltk.inference.predict import predict
from tltk.modalities.modality import modality_of
from tltk.models.assemble import assemble
from tltk.models.transfer_model import TransferModel
from tltk.probes.folds import stratified_folds
from tltk.recipes.automatic import FineTuning, epochs_for, least_epochs
from tltk.recipes.general import bit_hyperrule, tuned_probe
from tltk.recipes.recipe import Recipe
from tltk.tasks.classification import classification
from tltk.training.fit import fit
from tltk.training.holdout import restored_weights

_FRACTIONS = (0.25, 0.5, 1.0)  # of the layers of the backbone, from the top
_FACTORS = (1.0, 0.3, 3.0)  # of the learning rate of the modality, the usual one first
_L2_SP = 0.01  # as strong as the weight decay that it replaces
_STEP_COST = 3  # a training step over a forward pass
_KEEPS = 3  # one of so many candidates goes on to a training that is as many times as long


@dataclass(frozen=True, eq=False)
class _Halves:
    """One half of the examples to train on, and the other to compare on."""

    examples: Examples
    fitted: np.ndarray
    tested: np.ndarray
    milliseconds: float  # of a forward pass, per example

    def gain(self, right: np.ndarray, others: np.ndarray) -> Interval:
        """Return the gain in accuracy on the other half over other answers, each float64 [tested]."""
        examples = self.examples
        groups = None if examples.groups is None else examples.groups[self.tested]
        return difference(right, others, groups=groups, spread=LUCK, seed=examples.seed)


@dataclass(frozen=True, eq=False)
class _Trial:
    """A training, and how it did on the other half."""

    candidate: FineTuning
    loss: float
    right: np.ndarray  # float64 [tested], whether it is right
    depth: Depth


def compare_depths(
    judged: Judged, examples: Examples, settings: Settings, deadline: Deadline, *, total: int
) -> tuple[tuple[Depth, ...], str]:
    """Fine-tune one half of the examples with several depths and learning rates, and compare on the other half.

    All candidates are trained for a third of the epochs, but 24 steps at least, those first whose layers have the
    largest relative gradients; the third of them with the lowest loss for all epochs, if these are more (successive
    halving, Jamieson & Talwalkar 2016). The best is
    then trained with L2-SP as well, and BiT-HyperRule is the baseline. Images are not augmented, so that what lies
    below the trained layers is computed once for all learning rates.

    Args:
        judged: A choice with a backbone.
        examples: The examples.
        settings: How features are computed.
        deadline: No further candidate is trained if it would be later than this.
        total: Number of all labelled examples, which a training by the advice would have.

    Returns:
        What was trained, the best first: those that were trained for all epochs, then the others; and the advice.
    """
    backbone = judged.candidate.backbone
    if backbone is None:
        return (), ""
    halves = _halves(judged, examples)
    modality = modality_of(backbone.input_spec)
    steps = -(-len(halves.fitted) // settings.batch_size)
    epochs = epochs_for(steps)
    candidates = [
        FineTuning(
            epochs=max(epochs // _KEEPS, least_epochs(steps)),
            learning_rate=factor * modality.learning_rate,
            fraction=fraction,
            augment=False,
        )
        for fraction, factor in product(_FRACTIONS, _FACTORS)
    ]
    options: dict[str, Any] = {"total": total, "batch_size": settings.batch_size}
    if deadline.left <= min(_seconds_of_steps(halves, candidate) for candidate in candidates):
        return (), depth_advice((), 0, **options)
    task = classification(examples.source.labels, pairs=modality.has_pairs(examples.source))
    model = assemble(backbone, task, precision=settings.precision, seed=examples.seed)
    # A backbone of the user's own shares its weights with the model.
    with restored_weights(model), TemporaryDirectory(prefix="tltk-advice-") as folder:
        options_of_features = replace(settings, cache=Cache(folder))
        training = _Training(model, model.keras.get_weights(), halves, options_of_features, deadline)
        trials = _successive_halving(training, candidates, epochs)
    by_rule = [trial for trial in trials if trial.depth.method == RULE]
    over_rule = halves.gain(trials[0].right, by_rule[0].right) if by_rule else None
    depths = tuple(trial.depth for trial in trials)
    return depths, depth_advice(depths, len(halves.tested), **options, over_rule=over_rule)


def _halves(judged: Judged, examples: Examples) -> _Halves:
    """Divide the examples."""
    halves = stratified_folds(examples.classes, folds=2, groups=examples.groups, seed=examples.seed)
    fitted, tested = np.flatnonzero(halves == 0), np.flatnonzero(halves == 1)
    return _Halves(examples, fitted, tested, judged.candidate.milliseconds)


def _seconds_of_steps(halves: _Halves, candidate: FineTuning) -> float:
    """Return the time of the steps of a training, which are about three forward passes each."""
    passes = _STEP_COST * candidate.epochs * candidate.fraction
    return passes * len(halves.fitted) * halves.milliseconds / 1000


@dataclass(eq=False)
class _Training:
    """Trains candidates from the same weights, and remembers how long they took."""

    model: TransferModel
    weights: list[np.ndarray]
    halves: _Halves
    settings: Settings
    deadline: Deadline
    start: list[np.ndarray] = field(default_factory=list)  # weights with the tuned probe as head
    probe_right: np.ndarray = field(default_factory=lambda: np.zeros(0))  # float64 [tested], whether the probe is right
    fixed_seconds: float = 0.0  # of a training of a few steps
    trials: list[_Trial] = field(default_factory=list)

    def begin(self) -> dict[str, float]:
        """Fit the tuned probe, from which all candidates start; return relative gradient norms, by layer."""
        started_at = perf_counter()
        self._fit(tuned_probe(), self.weights)
        self.start = self.model.keras.get_weights()
        _, self.probe_right = self._loss_and_right()
        self.fixed_seconds = perf_counter() - started_at
        if self.deadline.left <= self.fixed_seconds:  # a gradient costs at least as much: there is no time to train
            return {}
        started_at = perf_counter()
        source, seed = self.halves.examples.source.subset(self.halves.fitted), self.halves.examples.seed
        norms = relative_gradient_norms(self.model, source, batch_size=self.settings.batch_size, seed=seed)
        self.fixed_seconds = perf_counter() - started_at
        return norms

    def train_candidates(self, candidates: list[FineTuning]) -> list[_Trial]:
        """Train the candidates that there is time for, in their order."""
        trials = []
        for candidate in candidates:
            if self._has_time(candidate):
                recipe = Recipe("depth", (candidate.phase(),))
                trials.append(self._trial(candidate, recipe, self.start, FINE_TUNING))
        if len(trials) < len(candidates):
            progress.line(f"left out, since the budget is spent: {len(candidates) - len(trials)} of {len(candidates)}")
        return trials

    def train_by_rule(self) -> list[_Trial]:
        """Train by BiT-HyperRule, from the pretrained weights, if there is time for it."""
        recipe = bit_hyperrule(len(self.halves.fitted), batch_size=self.settings.batch_size, augment=())
        phase = recipe.phases[0]
        candidate = FineTuning(epochs=phase.epochs, learning_rate=phase.optimizer.learning_rate)
        if not self._has_time(candidate):
            progress.line(f"{RULE} is left out: the budget is spent")
            return []
        return [self._trial(candidate, recipe, self.weights, RULE)]

    def _has_time(self, candidate: FineTuning) -> bool:
        """Tell whether a training may end in time: trainings of no more layers and epochs were not longer."""
        epochs, fraction = candidate.epochs, candidate.fraction
        depths = [trial.depth for trial in self.trials]
        shorter = [depth.seconds for depth in depths if depth.epochs <= epochs and depth.fraction <= fraction]
        expected = self.fixed_seconds + _seconds_of_steps(self.halves, candidate)
        return self.deadline.left > max(expected, *shorter, 0.0)

    def _trial(self, candidate: FineTuning, recipe: Recipe, weights: list[np.ndarray], method: str) -> _Trial:
        """Train, and compare with the probe on the other half."""
        started_at = perf_counter()
        self._fit(recipe, weights)
        loss, right = self._loss_and_right()
        gain = self.halves.gain(right, self.probe_right)
        optimizer = recipe.phases[0].optimizer
        decay = "weight decay" if optimizer.weight_decay else "none"
        depth = Depth(
            epochs=candidate.epochs,
            learning_rate=candidate.learning_rate,
            fraction=candidate.fraction,
            **dict(zip(("gain", "low", "high"), gain, strict=True)),
            seconds=perf_counter() - started_at,
            regularization="L2-SP" if optimizer.l2_sp else decay,
            method=method,
        )
        progress.line(f"{method}: {_settings_text(depth)}: {100 * gain.value:+.1f}")
        self.trials.append(_Trial(candidate, loss, right, depth))
        return self.trials[-1]

    def _loss_and_right(self) -> tuple[float, np.ndarray]:
        """Return the mean loss on the other half, and whether each answer is right, float64 [tested]."""
        examples, tested = self.halves.examples, self.halves.tested
        predictions = predict(self.model, examples.source.subset(tested), batch_size=self.settings.batch_size)
        probabilities = np.asarray(predictions.probabilities, np.float64)
        classes = examples.classes[tested]
        loss = -float(np.log(np.maximum(probabilities[np.arange(len(classes)), classes], 1e-12)).mean())
        return loss, (probabilities.argmax(1) == classes).astype(np.float64)

    def _fit(self, recipe: Recipe, weights: list[np.ndarray]) -> None:
        """Train on the first half, from these weights."""
        examples = self.halves.examples
        self.model.keras.set_weights(weights)
        fit(
            self.model,
            examples.source.subset(self.halves.fitted),
            recipe=recipe,
            batch_size=self.settings.batch_size,
            verbose=0,
            checkpoint=None,
            seed=examples.seed,
            cache=self.settings.cache,
        )


def _successive_halving(training: _Training, candidates: list[FineTuning], epochs: int) -> list[_Trial]:
    """Train the candidates, then the best of them for longer; return these, and then the others, the best first."""
    norms = training.begin()
    short = _by_loss(training.train_candidates(most_promising_first(candidates, norms, training.model)))
    count = max(len(short) // _KEEPS, 1)
    if candidates[0].epochs == epochs:  # of few examples: they were trained for all epochs
        long, short = short[:count], short[count:]
    else:
        long = training.train_candidates([replace(trial.candidate, epochs=epochs) for trial in short[:count]])
    if long:
        long += training.train_candidates([replace(_by_loss(long)[0].candidate, l2_sp=_L2_SP)])
        long += training.train_by_rule()
    return _by_loss(long) + short


def _by_loss(trials: list[_Trial]) -> list[_Trial]:
    return sorted(trials, key=lambda trial: trial.loss)


def most_promising_first(
    candidates: list[FineTuning], norms: dict[str, float], model: TransferModel
) -> list[FineTuning]:
    """Sort candidates by the mean relative gradient norm of the layers that they train, the largest first.

    If the budget ends early, the depths that the examples ask for most were tried (Lee et al. 2023). Candidates of one
    depth keep their order.

    Args:
        candidates: What to sort.
        norms: From `relative_gradient_norms`.
        model: The model.
    """
    return sorted(candidates, key=lambda candidate: -mean_of_trained(norms, candidate.phase().plan, model))


def depth_advice(
    depths: tuple[Depth, ...], tested: int, *, total: int, batch_size: int, over_rule: Interval | None = None
) -> str:
    """Say how deep and how fast to fine-tune, and whether.

    Args:
        depths: What was trained, the best first.
        tested: Number of examples that were compared on.
        total: Number of all labelled examples.
        batch_size: Examples per batch.
        over_rule: Gain of the best over BiT-HyperRule; None if there was no time for it.
    """
    if not depths:
        return _without_comparison(total, batch_size)
    best = depths[0]
    settings = _settings_text(best)
    if best.method == RULE:
        settings = f"by {RULE} ({settings})"
    gain = f"{_points(Interval(best.gain, best.low, best.high))} on {tested:,} examples"
    baseline = "" if over_rule is None or best.method == RULE else f"; {_points(over_rule)} over {RULE}"
    if best.low > 0:
        return f"fine-tune {settings}: {gain} that it did not see{baseline}"
    as_good = f"the probe is as good as far as {tested:,} examples can tell"
    return f"{as_good}; the best fine-tuning, {settings}: {gain}{baseline}"


def _without_comparison(total: int, batch_size: int) -> str:
    """Return the numbers of BiT-HyperRule, which are those for any images."""
    phase = bit_hyperrule(total, batch_size=batch_size).phases[0]
    steps = phase.epochs * -(-total // batch_size)
    rate = f"{phase.optimizer.learning_rate:.1e} (0.003 × batch size / 512)"
    return (
        f"the budget has no time to compare depths. Without a comparison, {RULE} (Kolesnikov et al. 2020, made for "
        f"images) recommends all layers, SGD with learning rate {rate}, and {steps:,} steps ({phase.epochs:,} epochs): "
        f"tltk.recipes.bit_hyperrule({total}, batch_size={batch_size})"
    )


def _settings_text(depth: Depth) -> str:
    settings = f"{depth.fraction:.0%} of the layers, learning rate {depth.learning_rate:.1e}, {depth.epochs} epochs"
    return settings if depth.regularization == "none" else f"{settings}, {depth.regularization}"


def _points(gain: Interval) -> str:
    return f"{100 * gain.value:+.1f} points (80 %: {100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
