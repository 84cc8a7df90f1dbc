"""`tltk.advise`: which backbone, whether one is needed at all, and what more labels would bring."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np

from tltk.advice.baselines import BASELINES
from tltk.advice.candidates import (
    LEAST_EXAMPLES,
    MAX_EXAMPLES,
    require_classes,
    require_labels,
    select_backbones,
    some_of_each_class,
    training_part,
)
from tltk.advice.comparison import Candidate, Examples, Judged, judge, recommend, with_backbone
from tltk.advice.depth import compare_depths
from tltk.advice.embedding import Embedder, Settings, embedder
from tltk.advice.labels import forecasts, label_advice, learning_curve
from tltk.advice.records import Advice
from tltk.advice.scratch import train_from_scratch
from tltk.advice.target import check_target, compare_target
from tltk.backbones.base import Backbone
from tltk.backbones.catalog import Row, table
from tltk.data.source import Source
from tltk.feature_cache.storage import Cache
from tltk.foundation import checks as check
from tltk.foundation import duration, familiar, progress
from tltk.foundation.duration import Deadline
from tltk.foundation.errors import InvalidInput
from tltk.modalities.modality import drop_invalid
from tltk.specs import InvalidExample

_FIRST = 0.4  # share of the budget that the features of the first backbone may take
_TIMED = 64
_GROUPS = {False: 2, True: 4}  # that there must be, by `depth`, for which each half has folds of its own


@familiar.arguments
def advise(  # noqa: PLR0913 - options of a command
    source: Source,
    *,
    backbones: Sequence[str | Backbone] = (),
    target: Source | None = None,
    budget: str | None = "5 min",
    image_size: int | None = None,
    measures: bool = False,
    depth: bool = False,
    batch_size: int = 32,
    precision: str = "auto",
    cache: str | Path | Cache = "memory",
    seed: int = 0,
) -> Advice:
    """Compare backbones on your labelled examples, before training: accuracy with intervals, price and labels.

    Every backbone is judged by nearest neighbours and a tuned logistic regression of its features, cross-validated. Raw
    pixels, or TF-IDF for texts, are compared too, and from 300 images on a small network trained from scratch: where
    they do as well, no pretrained network is needed. Where two cannot be told apart and the difference is small, the
    cheaper one is recommended.

    Args:
        source: Labelled examples, one class each. Of more than 2,000, some of each class are compared. If it is split
            into parts, the test part takes no part in the choice.
        backbones: Names or `tltk.backbone(…)`; default: all of the modality whose weights are on this machine, the
            smallest first.
        target: Examples like those that the model will be used on, labelled or not, to be compared with the source;
            None takes the test part, if there is one.
        budget: Time that it may take, such as "5 min"; None for any. The first backbone is always tried, on fewer
            examples if it is slow; others only if there is time.
        image_size: Height and width in pixels for backbones given by name.
        measures: Whether to compute H-score and LogME as well, which decide nothing.
        depth: Whether to fine-tune the recommended backbone as well, on half of the examples, with several depths and
            learning rates, and to compare them with the probe and BiT-HyperRule on the other half. Minutes rather than
            seconds.
        batch_size: Examples per batch.
        precision: Precision of the backbones, see `assemble`.
        cache: Where features are stored, see `embed`.
        seed: Seed of folds, draws and permutations.

    Returns:
        The choices, the recommended one, and forecasts for other numbers of labels.

    Raises:
        InvalidType: If `source` or `target` is not a `Source`, such as a `tf.data.Dataset`.
        InvalidInput: If the labels are not classes, a class has a single example, there are fewer than two groups (four
            with `depth`), a backbone takes another kind of input, or an option is out of range.
        NotFound: If no backbone has weights on this machine, or a named one has none.
    """
    hint = "Pass tltk.from_folder(…) or tltk.from_arrays(x, y): a tf.data.Dataset cannot be divided into folds."
    check.instance_of("source", source, Source, hint=hint)
    check.counts(batch_size=batch_size)
    deadline, seed = Deadline.after(duration.budget_seconds(budget)), check.seed(seed)
    require_labels(source)
    source, test = training_part(source)
    check_target(target, source)
    target = test if target is None else target
    rows = {row.name: row for row in table()}
    backbones, not_tried = select_backbones(source, backbones, rows, image_size=image_size)
    source, invalid = drop_invalid(source, max_invalid_fraction=1.0)
    require_classes(source, groups=_GROUPS[bool(depth)])
    settings = Settings(int(batch_size), precision, cache if isinstance(cache, Cache) else Cache(cache))
    comparison = _Comparison(source, invalid, settings, deadline, rows, measures, seed, _GROUPS[bool(depth)])
    examples, judged = comparison.run(backbones)
    best, reason = recommend(judged, examples)
    total = len(source) - comparison.undecodable
    curve = learning_curve(best, examples)
    scratch, why_not = train_from_scratch(examples, deadline)
    choices = [choice for one in judged for choice in one.choices]
    if scratch is not None:
        choices.append(scratch.choice)
        reason += scratch.note(best, examples)
    network = with_backbone(judged, best)
    shift, why_no_shift = compare_target(network, examples, target, settings, deadline)
    depths, depth_advice = compare_depths(network, examples, settings, deadline, total=total) if depth else ((), "")
    return Advice(
        tuple(sorted(choices, key=lambda choice: -choice.accuracy)),
        best.candidate.name,
        reason,
        forecasts(curve, total),
        label_advice(curve, best.accuracy, examples=len(examples), total=total),
        shift,
        (*not_tried, *comparison.not_tried, *filter(None, [why_not, why_no_shift])),
        depths,
        depth_advice,
        examples=len(examples),
        total=total,
        invalid=comparison.invalid,
    )


@dataclass
class _Comparison:
    """Computes and judges the features of one choice after the other, until the deadline."""

    source: Source
    invalid: tuple[InvalidExample, ...]
    settings: Settings
    deadline: Deadline
    rows: dict[str, Row]
    measures: bool
    seed: int
    groups: int  # that there must be
    undecodable: int = 0
    not_tried: list[str] = field(default_factory=list)
    examples: Examples | None = None
    judging_seconds: float = 0.0

    def run(self, backbones: Sequence[Backbone]) -> tuple[Examples, list[Judged]]:
        """Return the compared examples, and every choice that fits into the budget."""
        judged = [self._judge(candidate) for candidate in self._candidates(backbones)]
        if self.examples is None:
            raise InvalidInput("`backbones` must name at least one. Received: none")
        return self.examples, judged

    def _judge(self, candidate: Candidate) -> Judged:
        if self.examples is None:
            raise InvalidInput("`source` has no example that can be read.")
        started_at = perf_counter()
        judged = judge(candidate, self.examples, measures=self.measures)
        self.judging_seconds = perf_counter() - started_at
        return judged

    def _candidates(self, backbones: Sequence[Backbone]) -> Iterator[Candidate]:
        """Yield the features without a network, then those of the backbones."""
        for number, backbone in enumerate(backbones):
            if number and self.deadline.left <= 0:
                self.not_tried += [f"{one.name}: the budget is spent" for one in backbones[number:]]
                return
            started_at = perf_counter()
            network = embedder(backbone, self.settings)
            if number == 0:
                self.source = some_of_each_class(self.source, MAX_EXAMPLES, seed=self.seed)
            seconds = network.seconds_per_example(self.source)
            building_seconds = perf_counter() - started_at
            if number == 0:
                self._limit_examples(seconds)
                yield from self._baseline()
            needed = seconds * len(self.source) + self.judging_seconds
            if number and needed > self.deadline.left:
                reason = f"it takes about {duration.describe(needed)}, more than is left of the budget"
                self.not_tried.append(f"{backbone.name}: {reason}")
                continue
            yield self._embedded(network, seconds, building_seconds)

    def _limit_examples(self, seconds: float) -> None:
        """Leave out examples if their features would take most of the budget."""
        affordable = _FIRST * self.deadline.left / seconds
        count = max(int(min(affordable, len(self.source))), LEAST_EXAMPLES)
        if count < len(self.source):
            progress.line(f"comparing on {count:,} of {len(self.source):,} examples, so that the budget suffices")
            self.source = some_of_each_class(self.source, count, seed=self.seed)

    def _baseline(self) -> Iterator[Candidate]:
        """Yield features without a network, if the modality has some."""
        baseline = BASELINES.get(self.source.modality)
        if baseline is not None:
            started_at = perf_counter()
            features, invalid = baseline.compute(self.source)
            seconds = perf_counter() - started_at
            timed = self.source.subset(np.arange(min(len(features), _TIMED)))
            timed_at = perf_counter()  # without what happens once, such as tracing the decoder
            baseline.compute(timed)
            milliseconds = 1000 * (perf_counter() - timed_at) / len(timed)
            features = self._readable(features, invalid)
            yield Candidate(baseline.name, features, seconds, milliseconds, scalings=baseline.scalings)

    def _embedded(self, network: Embedder, seconds_per_example: float, building_seconds: float) -> Candidate:
        started_at = perf_counter()
        features, invalid = network.features(self.source)
        seconds = building_seconds + perf_counter() - started_at
        row = self.rows.get(network.backbone.name)
        return Candidate(
            network.backbone.name,
            self._readable(features, invalid),
            seconds,
            1000 * seconds_per_example,
            network.backbone,
            top1=None if row is None else row.top1,
        )

    def _readable(self, features: np.ndarray, invalid: dict[int, str]) -> np.ndarray:
        """Return the features of the compared examples, which are those that the first choice can read."""
        if self.examples is not None:
            return features
        self.undecodable = len(invalid)
        self.invalid += tuple(InvalidExample(self.source.id_of(row), invalid[row]) for row in sorted(invalid))
        rows = np.setdiff1d(np.arange(len(self.source)), list(invalid))
        self.source = self.source.subset(rows) if invalid else self.source
        require_classes(self.source, groups=self.groups)
        self.examples = Examples(self.source, self.seed)
        return features[rows]
