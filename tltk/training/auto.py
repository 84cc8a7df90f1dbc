"""Decides for `recipe="auto"` whether, how deep and how long to fine-tune, by cross-fitting within the training labels.

The last layer of the model is fitted first: a tuned probe, whose features are computed once. Then the upper half of the
network is trained on one half of the training examples, and compared with a probe of the same half on the other half.
The decision is stored in the run; the final model is trained on all examples.
"""

from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from tltk.data.source import Source
from tltk.foundation import progress
from tltk.modalities.modality import modality_of
from tltk.models.transfer_model import TransferModel
from tltk.probes.fit import Probe
from tltk.recipes.automatic import AUTO, automatic, epochs_for, fine_tuning, least_epochs
from tltk.recipes.recipe import Recipe
from tltk.training import checkpoint_file, run_folder
from tltk.training.cross_fitting import CrossFitting, restored_weights
from tltk.training.expected_gain import AUGMENTED, NOT_AUGMENTED, expected_gain, value_of_measuring
from tltk.training.phase_data import Feed
from tltk.training.prepared_data import Data
from tltk.training.probe_phase import (
    HeadInputs,
    describe_probe,
    example_scores,
    prepare_probe,
    why_no_probe,
)
from tltk.training.run import read_config

_WORTH_MEASURING = 0.0025  # accuracy that a comparison must be expected to gain
_MIN_COMPARED = 20  # examples to fine-tune on at all, and to compare on, for numbers and several labels
_TRACING = 10.0  # seconds before the first step of a training
_STEP_COST = 3.0  # a training step over a forward pass
_FRACTIONS = (0.5, 0.25)  # of the layers that are trained: more, and fewer if those are too slow
_RATE_FACTOR = 3.0  # learning rate over that of the modality, at which all layers are trained
_ASSUMED = {False: NOT_AUGMENTED, True: AUGMENTED}  # by `augment`


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
    with restored_weights(model):
        inputs, probe = prepare_probe(model, feed)
        per_element = (perf_counter() - started_at) / max(len(inputs.features), 1)
    progress.line(describe_probe(model, probe, inputs))
    comparison = _Comparison(model, feed, inputs, probe, started_at, seconds, per_element)
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
    """Compares ways of fine-tuning with the probe, within a budget."""

    model: TransferModel
    feed: Feed
    inputs: HeadInputs
    probe: Probe
    started_at: float
    budget: float | None
    seconds_per_element: float  # of the features and the probe
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """Kind of the probe."""
        return self.model.task.probe_kind

    @property
    def probe_score(self) -> float:
        """Mean out-of-fold score of the probe."""
        scores = example_scores(self.kind, self.probe.out_of_fold, self.inputs.targets)
        return round(float(np.average(scores, weights=self.inputs.weight)), 4)

    def decide(self) -> Decision:
        """Return the decision, with its reason in the record."""
        hopeless = self._why_hopeless()
        if hopeless:
            return _no(hopeless)
        settings = self._affordable()
        if settings is None:
            limit = f"fine-tuning would not fit into the budget of {self.budget:g} s"
            return _no(f"{limit}. The model is the probe; budget=None fine-tunes")
        if self.feed.val is not None:
            return Decision(settings, {"reason": "fine-tuned, unless the validation examples say that it is worse"})
        cross_fitting = CrossFitting(self.model, self.feed, self.inputs)
        few = f"{cross_fitting.independent} examples to compare on are too few to tell"
        if self._can_tell(cross_fitting.independent):
            return self._by_cross_fitting(cross_fitting, settings)
        if self.kind == "categorical":
            return Decision(settings, {"reason": f"fine-tuned: {few}, and a gain is expected"})
        return _no(f"not fine-tuned: {few}. The model is the probe")

    def _why_hopeless(self) -> str:
        """Say why nothing can be gained or told; "" if something can."""
        is_cross_validated = len(np.unique(self.probe.folds)) > 1  # not if all examples are one group
        if self.kind != "regression" and self.probe_score == 1 and is_cross_validated:
            return "the probe makes no error in cross-validation: nothing is to be gained"
        count = len(np.unique(self.inputs.examples))
        return f"not fine-tuned: too few examples ({count}). The model is the probe" if count < _MIN_COMPARED else ""

    def _can_tell(self, examples: int) -> bool:
        """Tell whether a comparison on so many examples is worth its time."""
        if self.kind != "categorical":
            return examples >= _MIN_COMPARED
        return value_of_measuring(examples, NOT_AUGMENTED) >= _WORTH_MEASURING

    def _affordable(self) -> dict[str, Any] | None:
        """Return the deepest training without augmentation that fits into the budget; None if none does."""
        steps = self.feed.train.batches().steps_per_epoch
        rate = _RATE_FACTOR * modality_of(self.model.input_spec).learning_rate
        for fraction in _FRACTIONS:
            for epochs in dict.fromkeys(max(epochs, least_epochs(steps)) for epochs in (epochs_for(steps), 2, 1)):
                settings = fine_tuning(epochs=epochs, learning_rate=rate, fraction=fraction, augment=False)
                if self._fits((settings, 1.0)):
                    return settings
        return None

    def _fits(self, *trainings: tuple[dict[str, Any], float]) -> bool:
        """Tell whether trainings, each on a share of the examples, fit into what is left of the budget."""
        if self.budget is None:
            return True
        forward = len(self.inputs.features) * self.seconds_per_element
        needed = sum(_TRACING + share * forward * _passes(settings) for settings, share in trainings)
        return perf_counter() - self.started_at + needed <= self.budget

    def _by_cross_fitting(self, cross_fitting: CrossFitting, settings: dict[str, Any]) -> Decision:
        """Train on one half, without and with augmentation, and compare with the probe of that half on the other."""
        if not self._fits((settings, cross_fitting.share), (settings, 1.0)):
            return Decision(settings, {"reason": "fine-tuned: the budget has no time for a comparison"})
        candidates = [(self._expected(cross_fitting, settings), settings)]
        augmented = {**settings, "augment": True}
        has_augmentation = bool(self.model.task.default_augmentation(self.model.input_spec))
        if has_augmentation and self._fits((augmented, cross_fitting.share), (augmented, 1.0)):
            candidates.append((self._expected(cross_fitting, augmented), augmented))
        best = int(np.argmax([expected for expected, _ in candidates]))
        (expected, settings), row = candidates[best], self.rows[best]
        measured = (
            f"{_points(self.kind, row['gain'])} ± {_points(self.kind, row['error'])} on {row['examples']:,} examples "
            "it did not see"
        )
        if expected <= 0:
            return _no(f"not fine-tuned: a gain of {measured}. The model is the probe")
        how = "fine-tuned with augmentation" if settings["augment"] else "fine-tuned"
        return Decision({**settings, "temperature": row["temperature"]}, {"reason": f"{how}: a gain of {measured}"})

    def _expected(self, cross_fitting: CrossFitting, settings: dict[str, Any]) -> float:
        """Measure the gain of a training; return what is expected of it: for accuracies together with what is assumed.

        No gain is assumed of numbers and of several labels: what is expected there is a standard error below the
        measured one.
        """
        measured = cross_fitting.measure(settings)
        rounded = {name: round(value, 4) for name, value in measured._asdict().items()}
        self.rows.append({**settings, **rounded})
        if self.kind != "categorical":
            return measured.gain - measured.error
        return expected_gain(measured.gain, measured.error, _ASSUMED[settings["augment"]])


def _passes(settings: dict[str, Any]) -> float:
    """Return the forward passes of the whole network that take as long as a training on the same examples."""
    frozen, trained = 1 - settings["fraction"], _STEP_COST * settings["fraction"]
    return settings["epochs"] * (trained + frozen) if settings["augment"] else settings["epochs"] * trained + frozen


def _no(reason: str) -> Decision:
    return Decision(None, {"reason": reason})


def _points(kind: str, value: float) -> str:
    return f"{value:.3g}" if kind == "regression" else f"{100 * value:.1f} points"
