"""Judges features of the same labelled examples by cross-validation, and recommends some of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from tltk.advice.intervals import Interval, bootstrap, difference
from tltk.advice.measures import h_score, log_me
from tltk.advice.records import PROBE, Choice
from tltk.backbones.base import Backbone
from tltk.data.source import Source
from tltk.foundation import progress
from tltk.probes.fit import SCALINGS, Probe, fit_probe
from tltk.probes.folds import stratified_folds
from tltk.probes.neighbours import best_neighbours
from tltk.probes.threads import threads_for

_FOLDS = 10
_REPEATS = 2  # further cross-validations with other folds, at the penalty of the first
_NEIGHBOURS = (1, 5, 20)
_SHRINKS = 0.25  # exponent of the error by the number of labels, between those of a fold and all
LUCK = 0.7  # spread by the choice of training examples, over that by the choice of tested ones; see docs/benchmarks.md
_WORTH = 0.01  # a difference in accuracy that is worth a larger network even if it is not certain


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled examples on which choices are compared.

    Args:
        source: Examples with one class each.
        seed: Seed of folds and draws.
    """

    source: Source
    seed: int

    @cached_property
    def classes(self) -> np.ndarray:
        """Class of each example, int64 [n]."""
        return np.asarray(self.source.targets).astype(np.int64)

    @cached_property
    def targets(self) -> np.ndarray:
        """One-hot vectors, float32 [n, classes]."""
        return np.eye(len(self.source.labels or ()), dtype=np.float32)[self.classes]

    @cached_property
    def groups(self) -> np.ndarray | None:
        """Numbers of the groups that stay in one fold, int64 [n]; None if each example may stand alone."""
        return None if self.source.groups is None else np.unique(self.source.groups, return_inverse=True)[1]

    @cached_property
    def folds(self) -> np.ndarray:
        """Fold of each example, int64 [n]."""
        return stratified_folds(self.classes, folds=_FOLDS, groups=self.groups, seed=self.seed)

    @property
    def fitted_share(self) -> float:
        """Share of the examples that a classifier of a fold is fitted to; less than 0.9 if there are few groups."""
        return share_outside(self.folds)

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True, eq=False)
class Candidate:
    """Features of the examples, and what they cost.

    Args:
        name: Name of the backbone, or of the features.
        features: float32 [n, channels].
        seconds: Time that they took here.
        milliseconds: Time of one example in full batches, reading included.
        backbone: None for features without one.
        top1: Published ImageNet accuracy of the backbone; None if there is none.
        scalings: Scalings that a probe tries.
    """

    name: str
    features: np.ndarray
    seconds: float
    milliseconds: float
    backbone: Backbone | None = None
    top1: float | None = None
    scalings: tuple[str, ...] = SCALINGS

    @property
    def price(self) -> float:
        """What a request costs, to order by: features without a network are the cheapest."""
        return self.milliseconds if self.backbone else 0.0


@dataclass(frozen=True, eq=False)
class Judged:
    """A candidate, and what cross-validation says about classifiers of its features.

    Args:
        candidate: The candidate.
        probe: Probe of all examples.
        scores: Share of the cross-validations in which the probe is right about each example, float64 [n].
        choices: Rows of the table: probe and nearest neighbours.
    """

    candidate: Candidate
    probe: Probe
    scores: np.ndarray
    choices: tuple[Choice, Choice]

    @property
    def accuracy(self) -> float:
        """Expected accuracy of the probe."""
        return self.choices[0].accuracy


def judge(candidate: Candidate, examples: Examples, *, measures: bool) -> Judged:
    """Judge the features of a candidate by a tuned probe and by nearest neighbours, cross-validated.

    Args:
        candidate: The candidate.
        examples: Its examples.
        measures: Whether to compute H-score and LogME.
    """
    progress.line(f"{candidate.name}: probe and nearest neighbours of {candidate.features.shape[1]:,} features")
    features = candidate.features
    probe, scores = _probe(candidate, examples)
    with threads_for(features.size):
        _, neighbours = best_neighbours(features, examples.classes, folds=examples.folds, candidates=_NEIGHBOURS)
    backbone = candidate.backbone
    choice = Choice(
        name=candidate.name,
        method=PROBE,
        **interval_of(scores, examples),
        seconds=candidate.seconds,
        parameters=(backbone.parameters or 0) if backbone else 0,
        milliseconds=candidate.milliseconds,
        top1=candidate.top1,
        h_score=h_score(features, examples.classes) if measures else None,
        log_me=log_me(features, examples.targets) if measures else None,
    )
    neighbours_right = (neighbours.argmax(1) == examples.classes).astype(np.float64)
    by_neighbours = replace(choice, method="k-NN", **interval_of(neighbours_right, examples))
    return Judged(candidate, probe, scores, (choice, by_neighbours))


def _probe(candidate: Candidate, examples: Examples) -> tuple[Probe, np.ndarray]:
    """Fit a tuned probe; return it, and the share of the cross-validations in which each example is right."""
    features, targets, groups, seed = candidate.features, examples.targets, examples.groups, examples.seed
    probe = fit_probe(features, targets, groups=groups, folds=_FOLDS, scalings=candidate.scalings, seed=seed)
    right = [probe.out_of_fold.argmax(1) == examples.classes]
    for repeat in range(1, _REPEATS + 1):
        again = fit_probe(
            features,
            targets,
            groups=groups,
            folds=_FOLDS,
            penalties=(probe.penalty,),
            scalings=(probe.scaling,),
            seed=(seed + repeat) % 2**31,
        )
        right.append(again.out_of_fold.argmax(1) == examples.classes)
    return probe, np.mean(right, axis=0)


def share_outside(folds: np.ndarray) -> float:
    """Return the mean share of the examples outside of a fold.

    Examples:
        >>> share_outside(np.array([0, 1, 2, 3]))
        0.75
    """
    return 1 - 1 / len(np.unique(folds))


def interval_of(scores: np.ndarray, examples: Examples, *, fitted_share: float | None = None) -> dict[str, Any]:
    """Return the expected accuracy of a classifier of all examples, and its interval, as fields of a `Choice`.

    Args:
        scores: Share of the cross-validations in which each example is right, float64 [n].
        examples: The examples.
        fitted_share: Share of the examples that a classifier of a fold was fitted to, with which it is less accurate;
            None for that of `examples.folds`.
    """
    mean, count = float(scores.mean()), len(scores)
    luck = LUCK * float(np.sqrt(max(mean * (1 - mean), 0.25 / count) / count))
    interval = bootstrap(scores, groups=examples.groups, extra_spread=luck, seed=examples.seed)
    factor = (examples.fitted_share if fitted_share is None else fitted_share) ** _SHRINKS
    return {name: 1 - factor * (1 - value) for name, value in zip(("accuracy", "low", "high"), interval, strict=True)}


def is_tie(gap: Interval) -> bool:
    """Tell whether a lead in accuracy is neither certain nor large."""
    return gap.low <= 0 and gap.value < _WORTH


def with_backbone(judged: Sequence[Judged], best: Judged) -> Judged:
    """Return the recommended choice, or the best one with a backbone if it has none."""
    if best.candidate.backbone is not None:
        return best
    return max((one for one in judged if one.candidate.backbone is not None), key=lambda one: one.accuracy)


def recommend(judged: Sequence[Judged], examples: Examples) -> tuple[Judged, str]:
    """Choose the best probe, or a cheaper one that may be as good.

    Args:
        judged: What was compared, at least one.
        examples: The examples.

    Returns:
        The recommended one, and the reason.
    """
    by_accuracy = sorted(judged, key=lambda one: -one.accuracy)
    best, *others = by_accuracy
    gaps = {
        one.candidate.name: difference(best.scores, one.scores, groups=examples.groups, spread=LUCK, seed=examples.seed)
        for one in others
    }
    for one in sorted(others, key=lambda one: one.candidate.price):
        gap = gaps[one.candidate.name]
        is_cheaper = one.candidate.price < best.candidate.price
        if is_cheaper and is_tie(gap):
            advice = "no network is needed" if one.candidate.backbone is None else "take the cheaper"
            lead = f"{best.candidate.name} is {100 * gap.value:.1f} points ahead, which is not certain"
            return one, f"{lead}: {advice}"
    if not others:
        return best, "nothing else was compared"
    runner_up = others[0].candidate.name
    gap = gaps[runner_up]
    measured = f"{100 * gap.value:.1f} points above {runner_up} (80 %: {100 * gap.low:.1f} to {100 * gap.high:.1f})"
    doubt = ", which is not certain" if gap.low <= 0 else ""
    no_network = ": no network is needed" if best.candidate.backbone is None else ""
    return best, f"the most accurate, {measured}{doubt}{no_network}"
