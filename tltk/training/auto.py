"""Decides for `recipe="auto"` whether, how deep and how long to fine-tune, by held-out training examples.

The last layer of the model is fitted first: a tuned probe, whose features are computed once. Then the upper half of the
network is trained on one half of the training examples, and compared with a probe of the same half on the other half.
The decision is stored in the run; the final model is trained on all examples.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.feature_cache.compute import seconds_per_element
from tltk.foundation import duration, progress
from tltk.foundation.duration import Deadline
from tltk.modalities.modality import modality_of
from tltk.models.transfer_model import TransferModel
from tltk.probes.fit import Probe
from tltk.recipes.automatic import AUTO, FineTuning, automatic, epochs_for, least_epochs
from tltk.recipes.recipe import Recipe
from tltk.training import checkpoint_file, run_folder
from tltk.training.expected_gain import AUGMENTED, NOT_AUGMENTED, expected_gain, value_of_measuring
from tltk.training.holdout import Holdout, restored_weights
from tltk.training.phase_data import Feed
from tltk.training.prepared_data import Data, PreparedSource
from tltk.training.probe_phase import (
    HeadInputs,
    PreparedProbe,
    describe_probe,
    example_scores,
    prepare_probe,
    why_no_probe,
)
from tltk.training.run import read_config

_WORTH_MEASURING = 0.0025  # accuracy that a comparison must be expected to gain
_MIN_EXAMPLES = 20  # to fine-tune on
_MIN_HELD_OUT = 20  # to compare on, for numbers and several labels
_EXACT = 1e-6  # error of numbers, in standard deviations, that is none
_TRACING = 10.0  # seconds before the first step of a training
_STEP_COST = 3.0  # a training step over a forward pass
_FRACTIONS = (0.5, 0.25)  # of the layers that are trained: more, and fewer if those are too slow
_RATE_FACTOR = 3.0  # learning rate over that of the modality, at which all layers are trained
_PRIORS = {False: NOT_AUGMENTED, True: AUGMENTED}  # by `augment`


@dataclass(frozen=True)
class Decision:
    """What was decided.

    Args:
        fine_tuning: What follows the probe; None for the probe alone.
        reason: Why, in a sentence.
        evidence: What else `run.config["auto"]` has, as JSON values.
    """

    fine_tuning: FineTuning | None
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def recipe(self) -> Recipe:
        """The recipe, on all training examples."""
        return automatic(self.fine_tuning)

    def to_config(self) -> dict[str, Any]:
        """Return the decision as JSON values, for `run.config["auto"]`."""
        fine_tuning = None if self.fine_tuning is None else asdict(self.fine_tuning)
        return {**self.evidence, "reason": self.reason, "fine_tune": fine_tuning}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Decision":
        """Return the decision that `to_config` describes."""
        evidence = {name: value for name, value in config.items() if name not in ("reason", "fine_tune")}
        fine_tuning = None if config["fine_tune"] is None else FineTuning(**config["fine_tune"])
        return cls(fine_tuning, config["reason"], evidence)


def why_not_auto(model: TransferModel, train: Data) -> str:
    """Return why "auto" cannot decide for a model and its data, so that the fixed recipe is used; "" if it can."""
    if isinstance(train, tf.data.Dataset):
        return "a tf.data.Dataset cannot be divided into folds"
    if isinstance(train, Source) and len(train) < 2:
        return "there are too few examples to hold some out"
    if isinstance(train, Source) and train.groups is not None and len(np.unique(train.groups)) < 2:
        return "all training examples are one group, so that none can be held out"
    return why_no_probe(model)


def stored_decision(folder: Path | None) -> Decision | None:
    """Return the decision of the training that is resumed, so that it is the same; None if there is none."""
    if folder is None:
        return None
    state = checkpoint_file.read_latest(folder) if checkpoint_file.checkpoint_files(folder) else None
    config = state["identity"] if state else read_config(folder) if run_folder.is_run(folder) else {}
    return Decision.from_config(config[AUTO]) if config.get(AUTO) else None


def outcome(config: dict[str, Any], *, is_kept: bool) -> dict[str, Any]:
    """Return the record of a decision after the training, if validation examples decided between its phases.

    Args:
        config: From `Decision.to_config`.
        is_kept: Whether the last phase is better than what was before it.
    """
    if config["fine_tune"] is None:
        return config
    better = "fine-tuned: better" if is_kept else "fine-tuned and undone: not better"
    return {**config, "reason": f"{better} than the probe on the validation examples"}


def decide(model: TransferModel, feed: Feed, *, seconds: float | None) -> Decision:
    """Decide whether, how deep and how long to fine-tune.

    Args:
        model: The model; has its former weights afterwards.
        feed: Training examples, a source, and validation examples or None.
        seconds: Time that decision and training may take together; None for any.

    Returns:
        The decision.
    """
    deadline = Deadline.after(seconds)
    with restored_weights(model):
        prepared = prepare_probe(model, feed)
    progress.line(describe_probe(model, prepared.probe, prepared.inputs))
    per_element = 0.0 if seconds is None else _seconds_per_element(feed, prepared)
    comparison = _Comparison(model, feed, prepared.inputs, prepared.probe, deadline, per_element)
    decision = comparison.decide()
    progress.line(f"auto: {decision.reason}")
    probe = {"penalty": prepared.probe.penalty, "scaling": prepared.probe.scaling}
    probe["score"] = round(comparison.probe_score, 4)
    return replace(decision, evidence={"probe": probe, "compared": comparison.rows})


def _seconds_per_element(feed: Feed, prepared: PreparedProbe) -> float:
    """Return how long a forward pass of an element takes, reading included."""
    if not isinstance(feed.train, PreparedSource) or feed.cache.storage in ("auto", "memory", "off"):
        return prepared.seconds / max(feed.train.count + (0 if feed.val is None else feed.val.count), 1)
    # The features may have been read from the files of an earlier training.
    reader, size = feed.train.reader, feed.batch_size if isinstance(feed.batch_size, int) else 32
    reader = reader if feed.train.max_length is None else reader.padded(feed.train.max_length)
    return seconds_per_element(feed.model.keras, reader, batch_size=size)


@dataclass
class _Comparison:
    """Compares ways of fine-tuning with the probe, within a budget."""

    model: TransferModel
    feed: Feed
    inputs: HeadInputs
    probe: Probe
    deadline: Deadline
    seconds_per_element: float  # of a forward pass
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """Kind of the probe."""
        return self.model.task.probe_kind

    @property
    def probe_score(self) -> float:
        """Mean out-of-fold score of the probe."""
        scores = example_scores(self.kind, self.probe.out_of_fold, self.inputs.targets)
        return float(np.average(scores, weights=self.inputs.weight))

    def decide(self) -> Decision:
        """Return the decision."""
        why_not = self._why_not()
        if why_not:
            return Decision(None, f"not fine-tuned: {why_not}. The model is the probe")
        fine_tuning = self._affordable()
        if fine_tuning is None:
            budget = duration.describe(self.deadline.seconds or 0.0)
            limit = f"not fine-tuned: it would not fit into the budget of {budget}"
            return Decision(None, f"{limit}. The model is the probe; a larger budget, or None, has the time")
        if self.feed.val is not None:
            return Decision(fine_tuning, "fine-tuned, unless the validation examples say that it is worse")
        holdout = Holdout(self.model, self.feed, self.inputs)
        why_not = self._why_not_compared(holdout, fine_tuning)
        if not why_not:
            return self._by_comparison(holdout, fine_tuning)
        if self.kind == "categorical":
            return Decision(fine_tuning, f"fine-tuned: {why_not}, and a gain is expected")
        return Decision(None, f"not fine-tuned: {why_not}. The model is the probe")

    def _why_not(self) -> str:
        """Say why nothing can be gained by fine-tuning, or it is no use to try; "" if it is."""
        if self.probe_score >= (-_EXACT if self.kind == "regression" else 1):
            return "the probe makes no error in cross-validation, so that nothing is to be gained"
        count = len(np.unique(self.inputs.examples))
        return f"too few examples ({count})" if count < _MIN_EXAMPLES else ""

    def _why_not_compared(self, holdout: Holdout, fine_tuning: FineTuning) -> str:
        """Say why a comparison with the probe cannot be made, or is not worth its time; "" if it is."""
        count = holdout.independent
        worth = value_of_measuring(count, NOT_AUGMENTED) >= _WORTH_MEASURING
        if not (worth if self.kind == "categorical" else count >= _MIN_HELD_OUT):
            noun = "examples" if self.feed.train.groups is None else "groups of examples"
            return f"too few {noun} to compare on ({count})"
        if not self._fits((holdout.fitted(fine_tuning), holdout.share), (fine_tuning, 1.0)):
            return "the budget has no time for a comparison"
        return ""

    def _affordable(self) -> FineTuning | None:
        """Return the deepest training without augmentation that fits into the budget; None if none does."""
        steps = self.feed.train.batches().steps_per_epoch
        rate = _RATE_FACTOR * modality_of(self.model.input_spec).learning_rate
        for fraction in _FRACTIONS:
            for epochs in dict.fromkeys(max(epochs, least_epochs(steps)) for epochs in (epochs_for(steps), 2, 1)):
                fine_tuning = FineTuning(epochs, rate, fraction, augment=False)
                if self._fits((fine_tuning, 1.0)):
                    return fine_tuning
        return None

    def _fits(self, *trainings: tuple[FineTuning, float]) -> bool:
        """Tell whether trainings, each on a share of the examples, fit into what is left of the budget."""
        return sum(_TRACING + self._seconds(*training) for training in trainings) <= self.deadline.left

    def _seconds(self, fine_tuning: FineTuning, share: float) -> float:
        """Return how long a training on a share of the examples takes; on all of them with validation."""
        fitted = share * self.feed.train.count * _passes(fine_tuning)
        validated = 0 if self.feed.val is None or share < 1 else fine_tuning.epochs * self.feed.val.count
        return (fitted + validated) * self.seconds_per_element

    def _by_comparison(self, holdout: Holdout, fine_tuning: FineTuning) -> Decision:
        """Train on one half, without and with augmentation, and compare with the probe of that half on the other."""
        candidates = [(self._expected(holdout, fine_tuning), fine_tuning)]
        augmented = replace(fine_tuning, augment=True)
        has_augmentation = bool(self.model.task.default_augmentation(self.model.input_spec))
        if has_augmentation and self._fits((holdout.fitted(augmented), holdout.share), (augmented, 1.0)):
            candidates.append((self._expected(holdout, augmented), augmented))
        best = int(np.argmax([expected for expected, _ in candidates]))
        (expected, fine_tuning), row = candidates[best], self.rows[best]
        measured = f"a gain of {self._gain_of(row)} was measured on {row['examples']:,} held-out examples"
        if self.kind == "categorical":
            measured += f", and {100 * expected:.1f} are expected"
        if expected <= 0:
            return Decision(None, f"not fine-tuned: {measured}. The model is the probe")
        how = "fine-tuned with augmentation" if fine_tuning.augment else "fine-tuned"
        return Decision(replace(fine_tuning, temperature=row["temperature"]), f"{how}: {measured}")

    def _gain_of(self, row: Mapping[str, Any]) -> str:
        """Return a measured gain with its standard error."""
        gain, error = row["gain"], row["standard_error"]
        if self.kind == "regression":
            return f"{gain:.3g} ± {error:.3g}"
        return f"{100 * gain:.1f} ± {100 * error:.1f} points"

    def _expected(self, holdout: Holdout, fine_tuning: FineTuning) -> float:
        """Measure the gain of a training; return what is expected of it: for accuracies together with the prior.

        Numbers and several labels have no prior: what is expected there is a standard error below the measured gain.
        """
        measured = holdout.measure(fine_tuning)
        rounded = {name: round(value, 4) for name, value in measured._asdict().items()}
        self.rows.append({**asdict(holdout.fitted(fine_tuning)), **rounded})
        if self.kind != "categorical":
            return measured.gain - measured.standard_error
        return expected_gain(measured.gain, measured.standard_error, _PRIORS[fine_tuning.augment])


def _passes(fine_tuning: FineTuning) -> float:
    """Return the forward passes of the whole network that take as long as a training on the same examples."""
    frozen, trained = 1 - fine_tuning.fraction, _STEP_COST * fine_tuning.fraction
    return fine_tuning.epochs * (trained + frozen) if fine_tuning.augment else fine_tuning.epochs * trained + frozen
