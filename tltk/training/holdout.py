"""Compares ways of fine-tuning with the tuned probe, on training examples that neither has seen."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from tltk.data.source import Source
from tltk.foundation.errors import InvalidInput
from tltk.models.transfer_model import TransferModel
from tltk.pipeline.loader import trace
from tltk.probes.calibration import temperature as best_temperature
from tltk.probes.fit import Probe
from tltk.probes.folds import strata_of, stratified_folds
from tltk.recipes.automatic import AUTO, FineTuning, least_epochs
from tltk.recipes.recipe import Recipe
from tltk.training.checkpoints import Checkpoints
from tltk.training.phase_data import Feed
from tltk.training.phases import train_phases
from tltk.training.prepared_data import PreparedSource
from tltk.training.probe_phase import HeadInputs, example_scores, fit_head
from tltk.training.stop_request import StopRequest

MAX_COMPARED = 1500  # examples of each half


class MeasuredGain(NamedTuple):
    """What fine-tuning gained over the probe on examples that neither has seen.

    Attributes:
        examples: Number of these examples.
        gain: Weighted mean difference of their scores, see `tltk.training.probe_phase.example_scores`.
        standard_error: Its standard error, over groups of examples.
        temperature: Temperature that calibrates the fine-tuned logits.
    """

    examples: int
    gain: float
    standard_error: float
    temperature: float


class Holdout:
    """One half of the training examples to train on, the other half held out to compare on.

    Args:
        model: The model; `measure` restores its weights.
        feed: Training examples, a source.
        inputs: What the last layer is fitted to, of all of them.
    """

    def __init__(self, model: TransferModel, feed: Feed, inputs: HeadInputs) -> None:
        self.model, self.feed, self.inputs = model, feed, inputs

    @property
    def kind(self) -> str:
        """Kind of the probe."""
        return self.model.task.probe_kind

    @cached_property
    def halves(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of two halves of the elements, int64 [n], whole groups each; of large data a random part of each."""
        strata = strata_of(self.inputs.targets, self.kind)
        halves = stratified_folds(strata, folds=2, groups=self.inputs.groups, seed=self.feed.seed)
        generator = np.random.default_rng(self.feed.seed)
        parts = []
        for half in (0, 1):
            examples = generator.permutation(np.unique(self.inputs.examples[halves == half]))[:MAX_COMPARED]
            parts.append(np.flatnonzero(np.isin(self.inputs.examples, examples)))
        return parts[0], parts[1]

    @cached_property
    def _probe(self) -> tuple[Probe, list[np.ndarray]]:
        """The tuned probe of the first half, and the weights of the model with it."""
        with restored_weights(self.model):
            probe = fit_head(self.model, self.inputs.take(self.halves[0]), seed=self.feed.seed)
            return probe, self.model.keras.get_weights()

    @property
    def independent(self) -> int:
        """Number of groups in the smaller half; without groups, of examples."""
        return min(len(np.unique(self.inputs.groups[rows])) for rows in self.halves)

    @property
    def share(self) -> float:
        """Share of the elements that is trained on."""
        return len(self.halves[0]) / max(len(self.inputs.features), 1)

    @cached_property
    def _least_epochs(self) -> int:
        """Epochs of the first half that have enough steps."""
        with self.feed.for_part(self._source.subset(np.unique(self.inputs.examples[self.halves[0]]))) as feed:
            return least_epochs(feed.train.batches().steps_per_epoch)

    def fitted(self, fine_tuning: FineTuning) -> FineTuning:
        """Return what is trained on the first half: more epochs if it has too few steps otherwise."""
        return replace(fine_tuning, epochs=max(fine_tuning.epochs, self._least_epochs))

    def measure(self, fine_tuning: FineTuning) -> MeasuredGain:
        """Fine-tune on the first half, and compare with a probe of it on the other half.

        Args:
            fine_tuning: What to compare with the probe.

        Returns:
            The gain over the probe.
        """
        probe, weights = self._probe
        with restored_weights(self.model):
            self.model.keras.set_weights(weights)
            outputs = self._outputs(fine_tuning)
        rows = self.halves[1]
        tested = self.inputs.take(rows)
        probe_outputs = probe.logits(tested.features)
        gains = example_scores(self.kind, outputs, tested.targets)
        gains -= example_scores(self.kind, probe_outputs, tested.targets)
        gain, error = mean_and_error(gains, weight=tested.weight, groups=tested.groups)
        temperature = best_temperature(outputs, tested.targets, kind=self.kind, weight=tested.weight)
        return MeasuredGain(len(np.unique(tested.examples)), gain, error, temperature)

    def _outputs(self, fine_tuning: FineTuning) -> np.ndarray:
        """Fine-tune on the first half; return the logits, or numbers, for the other half."""
        model = self.model
        fitted, tested = (np.unique(self.inputs.examples[rows]) for rows in self.halves)
        checkpoints = Checkpoints(None, None, StopRequest(), shared=dict)
        with self.feed.for_part(self._source.subset(fitted)) as feed:
            recipe = Recipe(AUTO, (self.fitted(fine_tuning).phase(),))
            recipe = recipe.with_augmentation(model.task.default_augmentation(model.input_spec))
            list(train_phases(model, recipe, feed, lambda row: None, None, checkpoints))
        return _logits(model, self.feed.for_part(self._source.subset(tested)))

    @property
    def _source(self) -> Source:
        if not isinstance(self.feed.train, PreparedSource):
            raise InvalidInput("examples of a tf.data.Dataset cannot be taken apart.")  # see why_not_auto
        return self.feed.train.source


def mean_and_error(values: np.ndarray, *, weight: np.ndarray | None, groups: np.ndarray) -> tuple[float, float]:
    """Return a weighted mean and its standard error, if whole groups were drawn.

    Args:
        values: float [n].
        weight: float [n]; None for equal weights.
        groups: Number of the group of each value, int64 [n].

    Examples:
        >>> mean_and_error(np.array([0.0, 0.0, 1.0, 1.0]), weight=None, groups=np.array([0, 0, 1, 1]))
        (0.5, 0.3535533905932738)
    """
    weight = np.ones(len(values)) if weight is None else weight
    numbers = np.unique(groups, return_inverse=True)[1]
    sums, sizes = np.bincount(numbers, weights=weight * values), np.bincount(numbers, weights=weight)
    total = max(float(sizes.sum()), 1e-12)
    mean = float(sums.sum()) / total
    return mean, float(np.sqrt(np.square(sums - mean * sizes).sum())) / total


def _logits(model: TransferModel, feed: Feed) -> np.ndarray:
    """Return the outputs of a model for the elements of a feed, in their order: logits, or numbers as in training."""

    def run(inputs: Any) -> Any:
        return model.keras(inputs, training=False)

    with feed:
        batches = feed.train.batches().dataset()
        compute = trace(run, batches.element_spec[0])
        outputs = np.concatenate([compute(inputs).numpy() for inputs, *_ in batches])
    kind = model.task.probe_kind
    if kind == "regression":
        return model.task.probe_targets(outputs)
    log_odds = np.log(np.maximum(outputs, 1e-12))
    return log_odds if kind == "categorical" else log_odds - np.log(np.maximum(1 - outputs, 1e-12))


@contextmanager
def restored_weights(model: TransferModel) -> Iterator[None]:
    """Restore the weights of a model afterwards."""
    weights = model.keras.get_weights()
    try:
        yield
    finally:
        model.keras.set_weights(weights)
