"""`tltk.advise`: which backbone, whether one is needed at all, and what more labels would bring."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from tltk.advice.baselines import BASELINES
from tltk.advice.curves import Forecast, LearningCurve, fit_curve
from tltk.advice.intervals import bootstrap, difference
from tltk.advice.measures import h_score, log_me
from tltk.advice.records import Advice, Choice
from tltk.advice.shift import Shift, find_shift
from tltk.backbones import backbone as select_backbone
from tltk.backbones.base import Backbone
from tltk.backbones.catalog import Row, table
from tltk.data.source import Source
from tltk.feature_cache.storage import Cache
from tltk.foundation import checks as check
from tltk.foundation import familiar, progress
from tltk.foundation.errors import InvalidInput
from tltk.inference.embed import Features, embed
from tltk.modalities.modality import drop_invalid
from tltk.probes.fit import Probe, fit_probe
from tltk.probes.folds import stratified_folds
from tltk.probes.neighbours import best_neighbours
from tltk.recipes.automatic import seconds_of

_MAX_EXAMPLES = 2000
_FOLDS = 10
_SHRINKS = 0.25  # exponent of the error by the number of labels, between those of a fold and all
_LUCK = 0.5  # spread by the choice of training examples, over that by the choice of tested ones
_WORTH = 0.01  # a difference in accuracy that is worth a larger network even if it is not certain
_DRAWS, _PARTS = 4, (8, 4, 2)
_HERE = ("keras cache", "kerashub cache", "tltk cache", "registered")


@familiar.arguments
def advise(
    source: Source,
    *,
    backbones: Sequence[str | Backbone] = (),
    target: Source | None = None,
    budget: str | None = "5 min",
    image_size: int | None = None,
    measures: bool = False,
    batch_size: int = 32,
    precision: str = "auto",
    cache: str | Path | Cache = "memory",
    seed: int = 0,
) -> Advice:
    """Compare backbones on your labelled examples, before training: accuracy with intervals, price and labels.

    Every backbone is judged by nearest neighbours and a tuned logistic regression of its features, cross-validated. Raw
    pixels, or TF-IDF for texts, are compared too: where they do as well, no network is needed. Where two cannot be told
    apart and the difference is small, the cheaper one is recommended.

    Args:
        source: Labelled examples, one class each. Of more than 2,000, some of each class are used.
        backbones: Names or `tltk.backbone(…)`; default: all of the modality whose weights are on this machine, the
            smallest first.
        target: Examples like those that the model will be used on, labelled or not, to be compared with the source.
        budget: Time after which no further backbone is tried, such as "5 min"; None for any. One is always tried.
        image_size: Height and width in pixels for backbones given by name.
        measures: Whether to compute H-score and LogME as well, which decide nothing.
        batch_size: Examples per batch.
        precision: Precision of the backbones, see `assemble`.
        cache: Where features are stored, see `embed`.
        seed: Seed of folds, draws and permutations.

    Returns:
        The choices, the recommended one, and forecasts for other numbers of labels.

    Raises:
        InvalidInput: If the labels are not classes, a class has a single example, or an option is out of range.
        NotFound: If no backbone has weights on this machine, or a named one has none.
    """
    check.instance_of("source", source, Source, hint="Pass tltk.from_folder(…) or tltk.from_arrays(x, y).")
    budget_seconds, seed = seconds_of(budget), check.seed(seed)
    started_at = perf_counter()
    _require_classes(source)
    source, _ = drop_invalid(source, max_invalid_fraction=1.0)
    source = _some_of_each_class(source, seed)
    options: dict[str, Any] = {"batch_size": batch_size, "precision": precision, "cache": cache}
    comparison = _Comparison(source, options, measures, seed)
    rows = {row.name: row for row in table()}
    candidates, not_tried = _candidates(source, backbones, rows)
    comparison.add_baseline()
    for number, candidate in enumerate(candidates):
        if number and budget_seconds is not None and perf_counter() - started_at > budget_seconds:
            not_tried += [f"{_name(left)}: the budget is spent" for left in candidates[number:]]
            break
        comparison.add_backbone(_backbone(candidate, image_size), rows.get(_name(candidate)))
    best = comparison.recommend()
    curve = comparison.learning_curve(best)
    shift = None if target is None else comparison.shift(best, target)
    choices = sorted(comparison.choices, key=lambda choice: -choice.accuracy)
    forecasts = tuple(curve.forecast(factor * len(comparison.classes)) for factor in (1, 2, 4))
    sentence = _label_advice(curve, comparison.choice(best), forecasts)
    return Advice(tuple(choices), best, comparison.reason, forecasts, sentence, shift, tuple(not_tried))


@dataclass(frozen=True, eq=False)
class _Result:
    """Features of one choice, and what cross-validation says about their probe."""

    features: np.ndarray
    probe: Probe
    right: np.ndarray  # float [n], whether the out-of-fold prediction of each example is right
    backbone: Backbone | None = None


class _Comparison:
    """Judges features of the same examples."""

    def __init__(self, source: Source, options: dict[str, Any], measures: bool, seed: int) -> None:
        self.source, self.options, self.measures, self.seed = source, options, measures, seed
        self.classes = np.asarray(source.targets)
        self.targets = np.eye(len(source.labels or ()), dtype=np.float32)[self.classes]
        self.folds = stratified_folds(self.classes, folds=_FOLDS, groups=source.groups, seed=seed)
        self.choices: list[Choice] = []
        self.results: dict[str, _Result] = {}
        self.reason = ""

    def choice(self, name: str) -> Choice:
        """Return the probe of a name."""
        return next(choice for choice in self.choices if choice.name == name and choice.method == "probe")

    def add_baseline(self) -> None:
        """Judge features without a network, if the modality has some."""
        if self.source.modality in BASELINES:
            name, compute = BASELINES[self.source.modality]
            started_at = perf_counter()
            self._add(name, compute(self.source), perf_counter() - started_at)

    def add_backbone(self, backbone: Backbone, row: Row | None) -> None:
        """Judge the features of a backbone."""
        started_at = perf_counter()
        embedded = embed(backbone, self.source, max_invalid_fraction=1.0, **self.options)
        seconds = perf_counter() - started_at
        features = self._aligned(embedded)
        self._add(backbone.name, features, seconds, backbone=backbone, row=row)

    def _aligned(self, embedded: Features) -> np.ndarray:
        """Return one row for each example of the source; zeros for those that cannot be decoded."""
        row_of = {self.source.id_of(row): row for row in range(len(self.source))}
        features = np.zeros((len(self.source), embedded.features.shape[1]), np.float32)
        features[[row_of[example_id] for example_id in embedded.ids]] = embedded.features
        return features

    def _add(
        self,
        name: str,
        features: np.ndarray,
        seconds: float,
        *,
        backbone: Backbone | None = None,
        row: Row | None = None,
    ) -> None:
        progress.line(f"{name}: probe and nearest neighbours of {features.shape[1]:,} features")
        started_at = perf_counter()
        _, scores = best_neighbours(features, self.classes, folds=self.folds, candidates=(1, 5, 20))
        probe = fit_probe(features, self.targets, groups=self.source.groups, folds=_FOLDS, seed=self.seed)
        probe_seconds = perf_counter() - started_at
        right = (probe.out_of_fold.argmax(1) == self.classes).astype(np.float64)
        neighbours_right = (scores.argmax(1) == self.classes).astype(np.float64)
        self.results[name] = _Result(features, probe, right, backbone)
        for method, values in (("probe", right), ("k-NN", neighbours_right)):
            accuracy, low, high = self._interval(values)
            choice = Choice(
                *(name, method, accuracy, low, high, seconds + probe_seconds),
                parameters=(backbone.parameters or 0) if backbone else 0,
                milliseconds=1000 * seconds / len(features),
                top1=row.top1 if row else None,
                h_score=h_score(features, self.classes) if self.measures else None,
                log_me=log_me(features, self.targets) if self.measures else None,
            )
            self.choices.append(choice)

    def _interval(self, right: np.ndarray) -> tuple[float, float, float]:
        """Return the expected accuracy with all labels and its interval: a fold lacks some of them."""
        share = float(right.mean())
        luck = _LUCK * np.sqrt(max(share * (1 - share), 0.25 / len(right)) / len(right))
        factor = (1 - 1 / _FOLDS) ** _SHRINKS
        value, low, high = (1 - factor * (1 - number) for number in bootstrap(right, extra_spread=luck, seed=self.seed))
        return value, low, min(high, 1.0)

    def recommend(self) -> str:
        """Choose the best probe, or a cheaper one that may be as good; set the reason."""
        by_accuracy = sorted(self.results, key=lambda name: -self.choice(name).accuracy)
        best = by_accuracy[0]
        self.reason = "the most accurate"
        cheaper = [name for name in by_accuracy[1:] if self._price(name) < self._price(best)]
        for name in sorted(cheaper, key=self._price):
            gap = difference(self.results[best].right, self.results[name].right, seed=self.seed)
            if gap.low <= 0 and gap.value < _WORTH:
                what = "no network is needed" if self.results[name].backbone is None else "take the cheaper"
                self.reason = f"cannot be told from {best} ({100 * gap.value:+.1f} points): {what}"
                return name
        return best

    def _price(self, name: str) -> float:
        return self.choice(name).milliseconds if self.results[name].backbone else 0.0

    def learning_curve(self, name: str) -> LearningCurve:
        """Measure the error with a half, a quarter and an eighth of the labels, and fit power laws."""
        result, count = self.results[name], len(self.classes)
        generator = np.random.default_rng(self.seed)
        points = []
        for part in _PARTS:
            size = count // part
            if size >= 2 * self.targets.shape[1]:
                errors, tested = zip(*(self._error(result, size, generator) for _ in range(_DRAWS)), strict=True)
                points.append((size, float(np.mean(errors)), _spread(errors, min(tested))))
        error = 1 - float(result.right.mean())
        points.append((round(count * (1 - 1 / _FOLDS)), error, _spread([error], count)))
        return fit_curve(*(np.array(values) for values in zip(*points, strict=True)), seed=self.seed)

    def _error(self, result: _Result, size: int, generator: np.random.Generator) -> tuple[float, int]:
        """Return the error of a probe of some examples on the others, and their number."""
        folds = stratified_folds(
            self.classes, folds=round(len(self.classes) / size), seed=int(generator.integers(2**31))
        )
        fitted = folds == 0
        penalties = (result.probe.penalty * 3, result.probe.penalty)
        options: dict[str, Any] = {"penalties": penalties, "scalings": (result.probe.scaling,), "folds": 3}
        probe = fit_probe(result.features[fitted], self.targets[fitted], seed=self.seed, **options)
        wrong = probe.logits(result.features[~fitted]).argmax(1) != self.classes[~fitted]
        return float(wrong.mean()), int((~fitted).sum())

    def shift(self, name: str, target: Source) -> Shift:
        """Compare the examples with those of a target, by the features of a backbone."""
        result = self.results[name]
        if result.backbone is None:
            name = next((other for other, item in self.results.items() if item.backbone is not None), name)
            result = self.results[name]
        if result.backbone is None:
            raise InvalidInput("`target` needs a backbone to compare features. Received: none with weights here.")
        target = _some(target, _MAX_EXAMPLES, self.seed)
        embedded = embed(result.backbone, target, max_invalid_fraction=1.0, **self.options)
        labels, names = self.source.labels, ()
        classes = None
        if target.labels is not None and embedded.targets is not None and labels is not None:
            number_of = {label: number for number, label in enumerate(labels.names)}
            classes = np.array([number_of.get(target.labels.names[number], -1) for number in embedded.targets])
            new = {target.labels.names[number] for number in embedded.targets} - set(labels.names)
            names = tuple(sorted(new))
        own = self.classes if classes is not None else None
        options: dict[str, Any] = {"classes": own, "target_classes": classes, "names": names, "seed": self.seed}
        return find_shift(result.features, embedded.features, **options)


def _spread(errors: Sequence[float], tested: int) -> float:
    """Return the standard error of a mean error: by the draws and by the number of tested examples."""
    mean = float(np.mean(errors))
    sampling = max(mean * (1 - mean), 0.5 / tested) / tested
    between = float(np.var(errors, ddof=1)) / len(errors) if len(errors) > 1 else _LUCK**2 * sampling
    return float(np.sqrt(sampling + between))


def _label_advice(curve: LearningCurve, choice: Choice, forecasts: tuple[Forecast, ...]) -> str:
    """Say what more labels would bring."""
    more = max(forecasts[0].labels, 10)
    gain, half = curve.gain(more)
    text = f"{choice.accuracy:.1%} now; {more:,} more labels bring {100 * gain:.1f} ± {100 * half:.1f} points"
    limit = curve.out_of_reach()
    return text + (f"; {limit:.0%} is likely out of reach with these features" if choice.accuracy < limit < 1 else "")


def _require_classes(source: Source) -> None:
    if source.labels is None or source.labels.type != "categorical" or source.targets is None:
        raise InvalidInput(
            "`source` must be labelled with one class per example. For other labels, recipe='auto' of tltk.fit decides."
        )
    counts = source.counts()
    single = [name for name, count in counts.items() if count == 1]
    if single or len(counts) < 2:
        few = f"a single example of {check.listing(map(repr, single))}" if single else f"{len(counts)} classes"
        raise InvalidInput(f"`source` must have two examples of at least two classes. Received: {few}")


def _some_of_each_class(source: Source, seed: int) -> Source:
    """Return at most _MAX_EXAMPLES examples, in the proportions of the classes."""
    if len(source) <= _MAX_EXAMPLES:
        return source
    folds = stratified_folds(np.asarray(source.targets), folds=-(-len(source) // _MAX_EXAMPLES), seed=seed)
    return source.subset(np.flatnonzero(folds == 0))


def _some(source: Source, count: int, seed: int) -> Source:
    rows = np.random.default_rng(seed).permutation(len(source))[:count]
    return source.subset(np.sort(rows))


def _candidates(
    source: Source, backbones: Sequence[str | Backbone], rows: dict[str, Row]
) -> tuple[list[str | Backbone], list[str]]:
    """Return the backbones to try, the smallest first, and those that could be had."""
    if isinstance(backbones, str | Backbone):
        backbones = (backbones,)
    if backbones:
        return list(backbones), []
    fitting = [row for row in rows.values() if row.modality == source.modality]
    here = sorted((row for row in fitting if row.weights in _HERE), key=lambda row: row.parameters or 0)
    elsewhere = [f"{row.name}: `tltk weights get {row.name}`" for row in fitting if row.weights == "registry"]
    count = sum(row.weights == "hub" for row in fitting)
    hub = [f"{count} more of `tltk backbones`: their weights are on a hub"] if count else []
    return [row.name for row in here], [*elsewhere, *hub]


def _name(candidate: str | Backbone) -> str:
    return candidate if isinstance(candidate, str) else candidate.name


def _backbone(candidate: str | Backbone, image_size: int | None) -> Backbone:
    if not isinstance(candidate, str):
        return candidate
    return select_backbone(candidate) if image_size is None else select_backbone(candidate, image_size=image_size)
