"""Decides for `recipe="auto"` whether, how deep and how long to fine-tune, by cross-fitting within the training labels.

The last layer of the model is fitted first: a tuned probe, whose features are computed once. Then a candidate is
trained on one half of the training examples, and compared with a probe of the same half on the other half. The decision
is stored in the run; the final model is trained on all examples.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.foundation import progress
from tltk.foundation.errors import InvalidInput
from tltk.modalities.modality import modality_of
from tltk.models.transfer_model import TransferModel
from tltk.pipeline.loader import without_autograph
from tltk.probes.fit import Probe
from tltk.probes.folds import strata_of, stratified_folds
from tltk.recipes.automatic import AUTO, automatic, epochs_for, fine_tuning
from tltk.recipes.recipe import Recipe
from tltk.training import checkpoint_file, run_folder
from tltk.training.checkpoints import Checkpoints
from tltk.training.phase_data import Feed
from tltk.training.phases import train_phases
from tltk.training.prepared_data import Data, PreparedSource
from tltk.training.probe_phase import (
    HeadInputs,
    describe_probe,
    example_scores,
    fit_head,
    prepare_probe,
    why_no_probe,
)
from tltk.training.run import read_config
from tltk.training.stop_request import StopRequest

# Gain of fine-tuning over the tuned probe, accuracy: assumed mean and standard deviation. With few examples they
# decide, with many the measured gain.
PRIOR_GAIN, PRIOR_SPREAD = 0.015, 0.03
_DISAGREEMENT = 0.25  # of two models on an example, at most, for the expected error of a measured gain
_MAX_COMPARED = 1500  # examples of each half
_TRACING = 15.0  # seconds before the first step of a training
_STEP_COST = 3.0  # a training step over a forward pass
_LOWER_HALF = 0.5  # fraction of the layers that are trained if all are too slow


@dataclass(frozen=True)
class Decision:
    """What was decided.

    Args:
        settings: From `tltk.recipes.automatic.fine_tuning`; None for the probe alone.
        record: Evidence and reason, as JSON values, for `run.config["auto"]`.
    """

    settings: dict[str, Any] | None
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def recipe(self) -> Recipe:
        """The recipe, on all training examples."""
        return automatic(self.settings)


def why_not_auto(model: TransferModel, train: Data) -> str:
    """Return why "auto" cannot decide for a model and its data, so that the fixed recipe is used; "" if it can."""
    return why_no_probe(model) if isinstance(train, Source) else "a tf.data.Dataset cannot be taken apart for it"


def stored_decision(folder: Path | None) -> Decision | None:
    """Return the decision of the training that is resumed, so that it is the same; None if there is none."""
    if folder is None:
        return None
    state = checkpoint_file.read_latest(folder) if checkpoint_file.checkpoint_files(folder) else None
    config = state["identity"] if state else read_config(folder) if run_folder.is_run(folder) else {}
    record = config.get(AUTO)
    return None if record is None else Decision(record["fine_tune"], record)


def decide(model: TransferModel, feed: Feed, *, seconds: float | None) -> Decision:
    """Decide whether, how deep and how long to fine-tune.

    Args:
        model: The model; has its former weights afterwards.
        feed: Training examples, a source, and validation examples or None.
        seconds: Time that decision and training may take together; None for any.

    Returns:
        The decision.
    """
    started_at = perf_counter()
    with _restored(model):
        inputs = prepare_probe(model, feed)
        per_example = (perf_counter() - started_at) / max(len(inputs.features), 1)
        probe = fit_head(model, inputs, seed=feed.seed)
        progress.line(describe_probe(model, probe, inputs))
        comparison = _Comparison(model, feed, inputs, probe, started_at, seconds, per_example)
        decision = comparison.decide()
    record = {
        "probe": {"penalty": probe.penalty, "scaling": probe.scaling, "score": comparison.probe_score},
        "compared": comparison.rows,
        **decision.record,
        "fine_tune": decision.settings,
    }
    progress.line(f"auto: {record['reason']}")
    return Decision(decision.settings, record)


@dataclass
class _Comparison:
    """Compares candidates with the probe, within a budget."""

    model: TransferModel
    feed: Feed
    inputs: HeadInputs
    probe: Probe
    started_at: float
    budget: float | None
    forward_seconds: float  # per example
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """Kind of the probe."""
        return self.model.task.probe_kind

    @property
    def _train(self) -> PreparedSource:
        if not isinstance(self.feed.train, PreparedSource):
            raise InvalidInput("examples of a tf.data.Dataset cannot be taken apart.")  # see why_not_auto
        return self.feed.train

    @property
    def probe_score(self) -> float:
        """Mean out-of-fold score of the probe."""
        scores = example_scores(self.kind, self.probe.out_of_fold, self.inputs.targets)
        return round(float(np.average(scores, weights=self.inputs.weight)), 4)

    def decide(self) -> Decision:
        """Return the decision, with its reason in the record."""
        if self.kind != "regression" and self.probe_score == 1:
            return _no("the probe makes no error in cross-validation: nothing is to be gained")
        candidate = self._affordable()
        if candidate is None:
            limit = f"the budget of {self.budget:.0f} s is spent" if self.budget else ""
            return _no(f"{limit}: fine-tuning takes longer. The model is the probe; budget=None fine-tunes")
        if self.feed.val is not None:
            return Decision(candidate, {"reason": "fine-tuned, unless the validation examples say that it is worse"})
        tested = min(len(self.inputs.features) // 2, _MAX_COMPARED)
        if self.kind == "categorical" and not _is_worth_measuring(tested):
            reason = f"fine-tuned: {tested} examples to compare on are too few to tell, and a gain is expected"
            return Decision(candidate, {"reason": reason})
        if not self._fits(candidate, share=1 + tested / max(len(self.inputs.features), 1)):
            return Decision(candidate, {"reason": "fine-tuned: the budget has no time for a comparison"})
        return self._by_cross_fitting(candidate)

    def _affordable(self) -> dict[str, Any] | None:
        """Return the deepest candidate that fits into the budget; None if none does."""
        steps = self.feed.train.batches().steps_per_epoch
        rate = modality_of(self.model.input_spec).learning_rate
        for fraction in (1.0, _LOWER_HALF):
            for epochs in dict.fromkeys((epochs_for(steps), 2, 1)):
                candidate = fine_tuning(epochs=epochs, learning_rate=rate, fraction=fraction)
                if self._fits(candidate, share=1.0):
                    return candidate
        return None

    def _fits(self, candidate: dict[str, Any], *, share: float) -> bool:
        """Tell whether training on a share of the examples fits into what is left of the budget."""
        if self.budget is None:
            return True
        forward = len(self.inputs.features) * self.forward_seconds
        needed = candidate["epochs"] * _STEP_COST * candidate["fraction"] * forward * share
        return perf_counter() - self.started_at + needed + _TRACING * np.ceil(share) <= self.budget

    def _by_cross_fitting(self, candidate: dict[str, Any]) -> Decision:
        """Train a candidate on one half, and compare it with the probe of that half on the other half."""
        fitted, tested = self._halves()
        probe_outputs, outputs = self._outputs(candidate, fitted, tested)
        targets = self.inputs.targets[tested]
        gains = example_scores(self.kind, outputs, targets) - example_scores(self.kind, probe_outputs, targets)
        gain, error = float(gains.mean()), float(gains.std() / np.sqrt(max(len(gains), 1)))
        self.rows.append({**candidate, "examples": len(tested), "gain": round(gain, 4), "error": round(error, 4)})
        expected = expected_gain(gain, error) if self.kind == "categorical" else gain
        measured = (
            f"{_points(self.kind, gain)} ± {_points(self.kind, error)} on {len(tested):,} examples it did not see"
        )
        if expected > 0:
            return Decision(candidate, {"reason": f"fine-tuned: a gain of {measured}"})
        return _no(f"not fine-tuned: a gain of {measured}. The model is the probe")

    def _halves(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of two halves of the elements, whole groups each, int64; of large data some of each half."""
        strata = strata_of(self.inputs.targets, self.kind)
        halves = stratified_folds(strata, folds=2, groups=self.inputs.groups, seed=self.feed.seed)
        generator = np.random.default_rng(self.feed.seed)
        parts = []
        for half in (0, 1):
            examples = generator.permutation(np.unique(self.inputs.examples[halves == half]))[:_MAX_COMPARED]
            parts.append(np.flatnonzero(np.isin(self.inputs.examples, examples)))
        return parts[0], parts[1]

    def _outputs(
        self, candidate: dict[str, Any], fitted: np.ndarray, tested: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the outputs for the tested elements of a probe and of a candidate, trained on the fitted ones."""
        train = self._train
        part = self.inputs.take(fitted)
        feed = self.feed.for_part(train.source.subset(np.unique(part.examples)))
        with _restored(self.model), feed:
            probe = fit_head(self.model, part, seed=self.feed.seed)
            recipe = Recipe(AUTO, automatic(candidate).phases[1:])
            recipe = recipe.with_augmentation(self.model.task.default_augmentation(self.model.input_spec))
            checkpoints = Checkpoints(None, None, StopRequest(), shared=dict)
            list(train_phases(self.model, recipe, feed, lambda row: None, None, checkpoints))
            unseen = train.source.subset(np.unique(self.inputs.examples[tested]))
            outputs = _logits(self.model, self.feed.for_part(unseen))
        return probe.logits(self.inputs.features[tested]), outputs


def expected_gain(gain: float, error: float) -> float:
    """Return the expected gain of fine-tuning, given a measured one: both weighted by their precision.

    Args:
        gain: Measured difference of accuracy.
        error: Its standard error.

    Examples:
        >>> round(expected_gain(-0.02, 0.03), 4), round(expected_gain(-0.02, 0.01), 4)
        (-0.0025, -0.0165)
    """
    prior, measured = 1 / PRIOR_SPREAD**2, 1 / max(error, 1e-6) ** 2
    return (prior * PRIOR_GAIN + measured * gain) / (prior + measured)


def _is_worth_measuring(examples: int) -> bool:
    """Tell whether a comparison on so many examples can be expected to change the decision."""
    variance = _DISAGREEMENT / max(examples, 1)
    return PRIOR_SPREAD**2 / np.sqrt(PRIOR_SPREAD**2 + variance) > PRIOR_GAIN


def _no(reason: str) -> Decision:
    return Decision(None, {"reason": reason})


def _points(kind: str, value: float) -> str:
    return f"{value:.3g}" if kind == "regression" else f"{100 * value:.1f} points"


def _logits(model: TransferModel, feed: Feed) -> np.ndarray:
    """Return the outputs of a model for the elements of a feed, in their order, on a scale that ranks and compares."""

    @without_autograph
    def run(inputs: Any) -> Any:
        return model.keras(inputs, training=False)

    compute = tf.function(run, reduce_retracing=True)
    with feed:
        outputs = np.concatenate([compute(inputs).numpy() for inputs, *_ in feed.train.batches().dataset()])
    outputs = model.task.probe_targets(outputs)
    return outputs - 0.5 if model.task.probe_kind == "multilabel" else outputs


@contextmanager
def _restored(model: TransferModel) -> Iterator[None]:
    """Restore the weights of a model afterwards."""
    weights = model.keras.get_weights()
    try:
        yield
    finally:
        model.keras.set_weights(weights)
