"""How deep and how fast to fine-tune: depths and learning rates by successive halving, compared with the probe."""

from dataclasses import dataclass, replace
from itertools import product
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from tltk.advice.comparison import LUCK, Examples, Judged
from tltk.advice.deadline import Deadline
from tltk.advice.embedding import Settings
from tltk.advice.intervals import difference
from tltk.advice.records import Depth
from tltk.feature_cache.storage import Cache
from tltk.foundation import progress
from tltk.inference.predict import predict
from tltk.modalities.modality import modality_of
from tltk.models.assemble import assemble
from tltk.models.transfer_model import TransferModel
from tltk.probes.fit import fit_probe
from tltk.probes.folds import stratified_folds
from tltk.recipes.automatic import epochs_for, fine_tuning, phase_of
from tltk.recipes.general import tuned_probe
from tltk.recipes.recipe import Recipe
from tltk.tasks.classification import classification
from tltk.training.fit import fit

_FRACTIONS = (0.25, 0.5, 1.0)  # of the layers of the backbone, from the top
_FACTORS = (0.3, 1.0, 3.0)  # of the learning rate of the modality
_STEP_COST = 3  # a training step over a forward pass
_KEEPS = 3  # one of so many candidates goes on to a training that is as many times as long


@dataclass(frozen=True, eq=False)
class _Halves:
    """One half of the examples to train on, the other to compare on, and what a probe of the first half does."""

    examples: Examples
    fitted: np.ndarray
    tested: np.ndarray
    right: np.ndarray  # float64 [tested], whether the probe is right
    milliseconds: float  # of a forward pass, per example


def compare_depths(judged: Judged, examples: Examples, settings: Settings, deadline: Deadline) -> tuple[Depth, ...]:
    """Fine-tune one half of the examples with several depths and learning rates, and compare on the other half.

    All candidates are trained for a third of the epochs; the third of them with the lowest loss for all epochs
    (successive halving, Jamieson & Talwalkar 2016). Images are not augmented, so that what lies below the trained
    layers is computed once for all learning rates.

    Args:
        judged: A choice with a backbone.
        examples: The examples.
        settings: How features are computed.
        deadline: No further candidate is trained if it would be later than this.

    Returns:
        What was trained, the best first: those that were trained for all epochs, then the others.
    """
    backbone = judged.candidate.backbone
    if backbone is None:
        return ()
    halves = _halves(judged, examples)
    modality = modality_of(backbone.input_spec)
    task = classification(examples.source.labels, pairs=modality.has_pairs(examples.source))
    model = assemble(backbone, task, precision=settings.precision, seed=examples.seed)
    weights, rate = model.keras.get_weights(), modality.learning_rate
    epochs = epochs_for(-(-len(halves.fitted) // settings.batch_size))
    candidates = [
        fine_tuning(epochs=max(epochs // _KEEPS, 1), learning_rate=factor * rate, fraction=fraction)
        for fraction, factor in product(_FRACTIONS, _FACTORS)
    ]
    short: list[tuple[float, Depth]] = []
    long: list[tuple[float, Depth]] = []
    try:
        with TemporaryDirectory(prefix="tltk-advice-") as folder:
            train = _Training(model, weights, halves, replace(settings, cache=Cache(folder)), deadline)
            short = train.all(candidates)
            kept = sorted(zip(short, candidates, strict=False), key=lambda pair: pair[0][0])
            best = [{**candidate, "epochs": epochs} for _, candidate in kept[: max(len(kept) // _KEEPS, 1)]]
            long = train.all(best)
    finally:
        model.keras.set_weights(weights)  # a backbone of the user's own shares them
    return tuple(depth for rung in (long, short) for _, depth in sorted(rung, key=lambda pair: pair[0]))


def _halves(judged: Judged, examples: Examples) -> _Halves:
    """Divide the examples, and fit a probe to the first half."""
    features, targets = judged.candidate.features, examples.targets
    halves = stratified_folds(examples.classes, folds=2, groups=examples.groups, seed=examples.seed)
    fitted, tested = np.flatnonzero(halves == 0), np.flatnonzero(halves == 1)
    options: dict[str, Any] = {
        "penalties": (3 * judged.probe.penalty, judged.probe.penalty),
        "scalings": (judged.probe.scaling,),
        "groups": None if examples.groups is None else examples.groups[fitted],
    }
    probe = fit_probe(features[fitted], targets[fitted], seed=examples.seed, **options)
    right = probe.logits(features[tested]).argmax(1) == examples.classes[tested]
    return _Halves(examples, fitted, tested, right.astype(np.float64), judged.candidate.milliseconds)


@dataclass(frozen=True, eq=False)
class _Training:
    """Trains candidates from the same weights."""

    model: TransferModel
    weights: list[np.ndarray]
    halves: _Halves
    settings: Settings
    deadline: Deadline

    def all(self, candidates: list[dict[str, Any]]) -> list[tuple[float, Depth]]:
        """Return (loss, result) of the candidates that there is time for, in their order."""
        results: list[tuple[float, Depth]] = []
        for candidate in candidates:
            longest = max((depth.seconds for _, depth in results), default=0.0)
            if self.deadline.left <= max(longest, self._least_seconds(candidate)):
                progress.line(f"{len(candidates) - len(results)} depths and rates are left out: the budget is spent")
                break
            results.append(self._one(candidate))
        return results

    def _least_seconds(self, candidate: dict[str, Any]) -> float:
        """Return the time of the steps of a training, which are about three forward passes each."""
        steps = _STEP_COST * candidate["epochs"] * candidate["fraction"] * len(self.halves.fitted)
        return steps * self.halves.milliseconds / 1000

    def _one(self, candidate: dict[str, Any]) -> tuple[float, Depth]:
        """Return the loss on the other half, and the comparison with the probe."""
        started_at = perf_counter()
        examples, tested = self.halves.examples, self.halves.tested
        source = examples.source
        phase = replace(phase_of(candidate), augment=())
        self.model.keras.set_weights(self.weights)
        fit(
            self.model,
            source.subset(self.halves.fitted),
            recipe=Recipe("depth", (*tuned_probe().phases, phase)),
            batch_size=self.settings.batch_size,
            verbose=0,
            checkpoint=None,
            seed=examples.seed,
            cache=self.settings.cache,
        )
        predictions = predict(self.model, source.subset(tested), batch_size=self.settings.batch_size)
        probabilities = np.asarray(predictions.probabilities, np.float64)
        classes = examples.classes[tested]
        loss = -float(np.log(np.maximum(probabilities[np.arange(len(classes)), classes], 1e-12)).mean())
        right = (probabilities.argmax(1) == classes).astype(np.float64)
        groups = None if examples.groups is None else examples.groups[tested]
        gap = difference(right, self.halves.right, groups=groups, spread=LUCK, seed=examples.seed)
        progress.line(
            f"depth {candidate['fraction']:.0%}, rate {candidate['learning_rate']:.1e}: {100 * gap.value:+.1f}"
        )
        return loss, Depth(**candidate, gain=gap.value, low=gap.low, high=gap.high, seconds=perf_counter() - started_at)


def depth_advice(depths: tuple[Depth, ...], tested: int) -> str:
    """Say how deep and how fast to fine-tune, and whether.

    Args:
        depths: From `compare_depths`, the best first.
        tested: Number of examples that were compared on.
    """
    if not depths:
        return ""
    best = depths[0]
    settings = f"{best.fraction:.0%} of the layers, learning rate {best.learning_rate:.1e}, {best.epochs} epochs"
    gain = (
        f"{100 * best.gain:+.1f} points (80 %: {100 * best.low:+.1f} to {100 * best.high:+.1f}) on {tested:,} examples"
    )
    if best.low > 0:
        return f"fine-tune {settings}: {gain} that it did not see"
    return f"the probe is as good as far as {tested:,} examples can tell; the best fine-tuning, {settings}: {gain}"
