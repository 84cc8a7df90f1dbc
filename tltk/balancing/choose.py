"""`balance="auto"`: compare a few methods by cross-validation on the features of the training examples."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from tltk.balancing.cross_fit import FOLDS, Examples, probe_of, shift_of
from tltk.balancing.last_layer import log_loss, mean_over, probabilities_of
from tltk.balancing.priors import EVEN, ratio
from tltk.balancing.record import Balance
from tltk.balancing.thresholds import class_factors, label_thresholds
from tltk.probes.folds import strata_of, stratified_folds

CANDIDATES = ("square_root", "inverse", "logit_adjusted_loss", "logit_adjustment")
REFITTED = ("square_root", "crt", "logit_adjusted_loss", "logit_adjustment")
LABEL_CANDIDATES = ("logit_adjustment",)
THRESHOLDS = "thresholds"
METRICS = ("balanced_accuracy", "accuracy", "macro_f1")
_MAX_ROWS = 10_000  # of a comparison; a probe of more takes minutes and says the same
_DRAWS = 200  # of the bootstrap
_SIGNIFICANT = 2.0  # standard errors
_SMALLEST_GAIN = 0.005
# Of methods that cannot be told apart, the first one here: cross-validation says little about classes of few examples,
# and an adjusted loss does better on them than the same adjustment afterwards (Menon et al. 2021, tables 3 and 4).
_PREFERRED = ("logit_adjusted_loss", "crt", "inverse", "logit_adjustment", "square_root")


@dataclass(frozen=True)
class Row:
    """One method in the comparison.

    Args:
        method: Its name; "nothing" for the training as it is.
        balanced_accuracy: Mean recall; for several labels, mean of the recalls of positives and negatives.
        accuracy: Fraction of right answers; for several labels, of all labels of all examples.
        macro_f1: Mean F1 of the classes.
        log_loss: Mean cross-entropy on examples with the frequencies of training.
    """

    method: str
    balanced_accuracy: float
    accuracy: float
    macro_f1: float
    log_loss: float


@dataclass(frozen=True)
class Choice:
    """The result of a comparison.

    Args:
        balance: The record to train with; its method is "nothing" if nothing helps.
        rows: What was compared; none if the classes are even.
        metric: Metric that decided.
        summary: What was decided and why, one sentence.
    """

    balance: Balance
    rows: tuple[Row, ...]
    metric: str
    summary: str

    def lines(self) -> list[str]:
        """Return the comparison as lines of a table."""
        if not self.rows:
            return []
        names = ("method", *METRICS, "log_loss")
        cells = [names, *([_text(value) for value in asdict(row).values()] for row in self.rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(names))]
        return [
            "  ".join(
                [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
            )
            for row in cells
        ]


def even_choice(examples_ratio: float, balance: Balance, metric: str) -> Choice | None:
    """Return the decision to do nothing if the classes are even; else None.

    Args:
        examples_ratio: From `ratio`.
        balance: What the user asked for.
        metric: Metric that would decide.
    """
    if examples_ratio >= EVEN:
        return None
    summary = f"the classes are even (at most {examples_ratio:.2g} times as many examples of one): nothing is done."
    return Choice(replace(balance, method="nothing"), (), metric, summary)


def choose(
    examples: Examples,
    balance: Balance,
    *,
    metric: str,
    methods: tuple[str, ...],
    refit: bool = False,
    seed: int = 0,
) -> Choice:
    """Compare methods and choose one, or nothing.

    Args:
        examples: Training examples; nothing else is looked at.
        balance: What the user asked for.
        metric: "balanced_accuracy" or "macro_f1".
        methods: Methods to compare, and "thresholds" if the task has thresholds.
        refit: Whether the last layer will be fitted again by the method, as it is here.
        seed: Seed of the folds and of the sample of very many examples.

    Returns:
        The choice; its record keeps the other options of `balance`.
    """
    even = even_choice(ratio(examples.counts), balance, metric)
    if even is not None:
        return even
    examples = _sample(examples, seed)
    outcomes = _outcomes(examples, balance, metric, methods, seed)
    rows = tuple(
        Row(name, **{key: _metric(outcome, key) for key in METRICS}, log_loss=outcome.log_loss)
        for name, outcome in outcomes.items()
    )
    best = _best(rows, outcomes, metric, seed)
    nothing = rows[0]
    gain = getattr(best, metric) - getattr(nothing, metric)
    error = _standard_error(outcomes[best.method], outcomes["nothing"], metric, seed) if best is not nothing else 0.0
    if best is nothing or gain < max(_SIGNIFICANT * error, _SMALLEST_GAIN):
        tried = f"the best other method, {best.method}, gains" if best is not nothing else "the other methods gain"
        summary = f"nothing is done: {tried} {100 * gain:.1f} ± {100 * error:.1f} points of {metric}."
        return Choice(replace(balance, method="nothing"), rows, metric, summary)
    points = f"{100 * gain:.1f} ± {100 * error:.1f} points"
    summary = f"{best.method} gains {points} of {metric}{_side_effects(best, nothing, metric)}."
    if best.method == THRESHOLDS:
        return Choice(replace(balance, method="nothing", thresholds=metric), rows, metric, summary)
    return Choice(replace(balance, method=best.method, refit=refit), rows, metric, summary)


def _best(rows: tuple[Row, ...], outcomes: dict[str, "_Outcome"], metric: str, seed: int) -> Row:
    """Return the best row, or a preferred method that is less than a standard error of the difference below it."""
    best = max(rows, key=lambda row: getattr(row, metric))
    if best.method not in _PREFERRED:
        return best
    by_name = {row.method: row for row in rows}
    for name in _PREFERRED[: _PREFERRED.index(best.method)]:
        if name in by_name:
            error = _standard_error(outcomes[best.method], outcomes[name], metric, seed)
            if getattr(best, metric) - getattr(by_name[name], metric) < error:
                return by_name[name]
    return best


@dataclass(frozen=True, eq=False)
class _Outcome:
    """Targets, predictions and loss of one method, one row for each example."""

    targets: np.ndarray  # 0/1 [n, classes]
    predicted: np.ndarray  # 0/1 [n, classes]
    log_loss: float


def _outcomes(
    examples: Examples, balance: Balance, metric: str, methods: tuple[str, ...], seed: int
) -> dict[str, _Outcome]:
    """Return the outcome of each method, "nothing" first."""
    exclusive = examples.counts.is_exclusive
    candidates = [name for name in methods if name in (*CANDIDATES, *REFITTED)] if exclusive else LABEL_CANDIDATES
    probe, plain = probe_of(examples, replace(balance, method="nothing"), seed=seed)
    targets = mean_over(examples.averaged_groups, examples.targets)
    outcomes = {"nothing": _outcome(examples, targets, plain)}
    if THRESHOLDS in methods and (metric == "macro_f1" or not exclusive):
        outcomes[THRESHOLDS] = _with_thresholds(examples, targets, plain, metric, seed)
    # A weighted loss has fewer effective examples: it needs the same penalty or a stronger one.
    penalties = tuple(probe.penalty * factor for factor in (10.0, 10**0.5, 1.0))
    for name in candidates:
        if name == "logit_adjustment":
            logits = plain - shift_of(examples, balance).astype(np.float32)
        else:
            _, logits = probe_of(examples, replace(balance, method=name), penalties=penalties, seed=seed)
        outcomes[name] = _outcome(examples, targets, logits)
    return outcomes


def _outcome(examples: Examples, targets: np.ndarray, logits: np.ndarray) -> _Outcome:
    exclusive = examples.counts.is_exclusive
    probabilities = mean_over(examples.averaged_groups, probabilities_of(logits, exclusive=exclusive))
    predicted = _one_hot(probabilities) if exclusive else probabilities > 0.5
    return _Outcome(targets, predicted, log_loss(examples.targets, logits, exclusive=exclusive))


def _with_thresholds(examples: Examples, targets: np.ndarray, logits: np.ndarray, metric: str, seed: int) -> _Outcome:
    """Tune thresholds on all folds but one, and predict that one."""
    exclusive = examples.counts.is_exclusive
    probabilities = mean_over(examples.averaged_groups, probabilities_of(logits, exclusive=exclusive))
    folds = stratified_folds(strata_of(targets, "categorical" if exclusive else "multilabel"), folds=FOLDS, seed=seed)
    predicted = np.zeros(targets.shape, bool)
    for fold in np.unique(folds):
        test = folds == fold
        if exclusive:
            factors = class_factors(targets[~test].argmax(1), probabilities[~test], metric)
            predicted[test] = _one_hot(probabilities[test] * factors)
        else:
            predicted[test] = probabilities[test] > label_thresholds(targets[~test], probabilities[~test], metric)
    return _Outcome(targets, predicted, log_loss(examples.targets, logits, exclusive=exclusive))


def _one_hot(scores: np.ndarray) -> np.ndarray:
    return np.eye(scores.shape[1], dtype=bool)[scores.argmax(1)]


def _metric(outcome: _Outcome, metric: str) -> float:
    return float(_weighted_metric(outcome, metric, np.ones((1, len(outcome.targets)), np.float32))[0])


def _weighted_metric(outcome: _Outcome, metric: str, weights: np.ndarray) -> np.ndarray:
    """Return a metric for several weights of the examples, float32 [cases, n]: float64 [cases]."""
    targets, predicted = outcome.targets > 0.5, outcome.predicted > 0.5
    columns = (targets & predicted, targets, predicted)
    hits, actual, positives = ((weights @ column.astype(np.float32)).astype(np.float64) for column in columns)
    total = weights.sum(1, dtype=np.float64, keepdims=True)
    is_exclusive = bool((targets.sum(1) == 1).all() and (predicted.sum(1) == 1).all())
    if metric == "macro_f1":
        return _mean(2 * hits, actual + positives, actual > 0)
    if metric == "accuracy":
        right = hits if is_exclusive else (total - actual - positives + 2 * hits) / targets.shape[1]
        return right.sum(1) / total[:, 0]
    recall = _mean(hits, actual, actual > 0)
    rest = total - actual
    return recall if is_exclusive else (recall + _mean(rest - positives + hits, rest, rest > 0)) / 2


def _mean(numerators: np.ndarray, denominators: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Return the mean of the ratios [cases, classes] that are present."""
    ratios = np.where(present, numerators / np.where(present, denominators, 1.0), 0.0)
    return ratios.sum(1) / np.maximum(present.sum(1), 1)


def _standard_error(outcome: _Outcome, other: _Outcome, metric: str, seed: int) -> float:
    """Return the standard error of the difference of two methods, by a bootstrap over the examples."""
    generator, count = np.random.default_rng(seed), len(outcome.targets)
    draws = [np.bincount(generator.integers(0, count, count), minlength=count) for _ in range(_DRAWS)]
    weights = np.array(draws, np.float32)
    return float(np.std(_weighted_metric(outcome, metric, weights) - _weighted_metric(other, metric, weights)))


def _side_effects(best: Row, nothing: Row, metric: str) -> str:
    """Say what the method does to the other metrics."""
    changes = {name: getattr(best, name) - getattr(nothing, name) for name in METRICS if name != metric}
    gains = [f"{100 * change:.1f} points of {name}" for name, change in changes.items() if change >= 0.0005]
    costs = [f"{-100 * change:.1f} points of {name}" for name, change in changes.items() if change <= -0.0005]
    loss = best.log_loss - nothing.log_loss
    costs += [f"{loss:.3f} of log loss"] if loss >= 0.0005 else []
    parts = ([f" and {' and '.join(gains)}"] if gains else []) + (
        [f", and costs {' and '.join(costs)}"] if costs else []
    )
    return "".join(parts)


def _sample(examples: Examples, seed: int) -> Examples:
    """Return some of very many rows, whole groups."""
    count = len(examples.targets)
    if count <= _MAX_ROWS:
        return examples
    groups = np.arange(count) if examples.groups is None else examples.groups
    numbers = np.random.default_rng(seed).permutation(np.unique(groups))
    sizes = np.bincount(groups)[numbers]
    selected = numbers[np.cumsum(sizes) <= _MAX_ROWS]
    return examples.taken(np.flatnonzero(np.isin(groups, selected)))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.3f}"
