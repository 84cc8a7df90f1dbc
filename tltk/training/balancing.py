"""What `tltk.fit` does about uneven classes: before, during and after the training."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from tltk.balancing.choose import CANDIDATES, REFITTED, THRESHOLDS, Choice, choose, even_choice
from tltk.balancing.class_weights import class_weights, label_weights
from tltk.balancing.cross_fit import Examples, probe_of
from tltk.balancing.last_layer import LastLayer, mean_over, probabilities_of
from tltk.balancing.priors import cost_matrix, logit_shift, ratio, serving_prior, training_prior
from tltk.balancing.record import AFTERWARDS, Balance, as_balance
from tltk.balancing.thresholds import class_factors, label_thresholds
from tltk.data.source import Source
from tltk.feature_cache.storage import Cache
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.models.transfer_model import TransferModel
from tltk.pipeline.sampling import SAMPLING, Sampler
from tltk.probes.calibration import temperature as best_temperature
from tltk.recipes.recipe import Recipe
from tltk.tasks.base import Task
from tltk.tasks.loss_terms import LossTerms
from tltk.tasks.uneven import LOSSES, WEIGHTS, ClassCounts
from tltk.trainability.layers import HEAD, layer_rows
from tltk.training.head_features import (
    ElementFeatures,
    last_features,
    last_layer,
    pooled_features,
    read_weights,
)
from tltk.training.prepared_data import Data, PreparedSource

log = logging.getLogger("tltk")
_LEARNED = (
    "The backbone was trained, so that its features know the training labels, on which thresholds are tuned: "
    'they may be too high. Pass tltk.balance(…, tuned_on="val") to tune them on validation.'
)
_BALANCING = (*WEIGHTS, *SAMPLING, *AFTERWARDS, "logit_adjusted_loss")


@dataclass(frozen=True, eq=False)
class Parts:
    """Prepared data of a training, and how its features are stored.

    Args:
        train: Training examples.
        val: Validation examples, or None.
        cache: Where features are stored.
        length: Length that elements are padded to; None if they have one shape.
        seed: Seed of folds.
        is_frozen: Whether no phase trains the backbone, so that its features stay what they are.
    """

    train: PreparedSource
    val: PreparedSource | None
    cache: Cache
    length: int | None
    seed: int
    is_frozen: bool


@dataclass(frozen=True, eq=False)
class Balancing:
    """What a training does about uneven classes, decided before its first phase.

    Args:
        balance: With the method that is used: not "auto".
        counts: Of the training part.
        train_prior: Frequencies in the training part, float64 [classes].
        serving_prior: Frequencies expected when the model is used, float64 [classes].
        terms: What changes the loss; None for nothing.
        sampler: Draws the elements of each epoch; None for nothing.
        outcome: What is stored in `run.config["balance"]`, JSON values.
    """

    balance: Balance
    counts: ClassCounts
    train_prior: np.ndarray
    serving_prior: np.ndarray
    terms: LossTerms | None = None
    sampler: Sampler | None = None
    outcome: dict[str, Any] = field(default_factory=dict)

    @property
    def changes_training(self) -> bool:
        """Whether phases are trained in another way, and the best epoch is that with the best balanced metric."""
        return (self.terms is not None or self.sampler is not None) and not self.balance.refit

    @property
    def reads_features(self) -> bool:
        """Whether features are needed after the training, for the last layer or for thresholds."""
        balance = self.balance
        return balance.method in AFTERWARDS or balance.refit or balance.calibrate or balance.thresholds is not None


def check_balance(value: Any, model: TransferModel, train: Data, val: Data | None, class_weight: Any) -> Balance | None:
    """Check the argument `balance` of `fit`.

    Args:
        value: As the user passed it.
        model: The model to train.
        train: Training examples.
        val: Validation examples, or None.
        class_weight: Argument of `fit`.

    Returns:
        The record; None for no balancing.

    Raises:
        InvalidType: If it is neither a name nor a record.
        InvalidInput: If the task or the data cannot be balanced like this; all problems are listed.
    """
    balance, task = as_balance(value), model.task
    if balance is None:
        return None
    if class_weight is not None:
        raise InvalidInput("`balance` and `class_weight` both weigh the classes. Pass one of them.")
    if balance.method not in task.balance_methods:
        raise InvalidInput(_impossible(balance.method, task))
    if not isinstance(train, Source):
        raise InvalidInput(
            "`balance` counts the examples of each class, which a tf.data.Dataset does not tell. Pass a Source, or "
            "class_weight={class: weight}."
        )
    problems = check.Problems()
    for problem in (*_data_problems(balance, train, val), *_option_problems(balance, task)):
        problems.add(problem)
    problems.raise_if_any()
    serving_prior(task.class_names, balance.prior, exclusive=task.exclusive_classes)
    cost_matrix(task.class_names, balance.costs or ())
    if balance.method in (*AFTERWARDS, "auto") or balance.calibrate or balance.thresholds:
        last_layer(model, len(task.class_names), f'"{balance.method}"')
    return balance


def _data_problems(balance: Balance, train: Source, val: Data | None) -> Iterator[str]:
    if train.storage == "stream":
        yield "`balance` needs examples that can be counted and drawn, not a stream. Read them from files"
    if (balance.calibrate or balance.tuned_on == "val") and not isinstance(val, Source):
        yield "`calibrate=True` and `tuned_on='val'` of tltk.balance need `val`, a Source"


def _option_problems(balance: Balance, task: Task) -> Iterator[str]:
    asked = {"thresholds": balance.thresholds, "costs": balance.costs, "calibrate": balance.calibrate}
    for option, value in asked.items():
        if value and option not in task.balance_options:
            options = check.listing(task.balance_options) or "none"
            yield f"`{option}` of tltk.balance cannot be used for {task.name}. It has: {options}"
    if task.objective.loss is not None and balance.method in (*WEIGHTS, *LOSSES, "auto"):
        yield (
            f"balance={balance.method!r} changes the loss of the task, which your own `loss` replaces. Use a method "
            "that leaves it as it is, such as 'balanced_batches' or 'logit_adjustment'"
        )
    if balance.thresholds == "precision_at_recall" and task.exclusive_classes and len(task.class_names) > 2:
        yield '`thresholds="precision_at_recall"` needs two classes, or several labels'


def without_decision(model: TransferModel) -> TransferModel:
    """Return the model without prior, thresholds and costs of a previous training; as a rule, the model itself."""
    task = model.task.without_decision()
    return model if task == model.task else replace(model, task=task)


def _impossible(method: str, task: Task) -> str:
    if not task.balance_methods:
        return f"`balance` cannot be used for {task.name}: {task.why_unbalanced}. Leave it out."
    methods = check.listing(f'"{name}"' for name in task.balance_methods)
    return f'`balance="{method}"` cannot be used for {task.name}: {task.why_unbalanced}. Use one of {methods}.'


def decide(model: TransferModel, balance: Balance, parts: Parts, *, previous: dict[str, Any] | None) -> Balancing:
    """Decide what is done, from the training part alone.

    Args:
        model: The model before the training.
        balance: From `check_balance`.
        parts: Prepared data; only the training part is looked at.
        previous: The outcome of a training that is resumed, so that nothing is decided again; else None.

    Returns:
        The decision; with "auto", the comparison is logged.
    """
    task, train = model.task, parts.train
    targets: Any = train.targets
    counts = task.class_counts(targets)
    prior = training_prior(counts)
    wanted = serving_prior(counts.names, balance.prior, exclusive=counts.is_exclusive)
    outcome: dict[str, Any] = {"options": balance.to_config()}
    if balance.method == "auto" and previous is not None:
        kept = {"method": previous["method"], "thresholds": previous["thresholds_for"], "refit": previous["refit"]}
        balance = replace(balance, **kept)
        outcome |= {name: previous[name] for name in ("metric", "table", "summary")}
    elif balance.method == "auto":
        choice = _choose(model, balance, counts, (prior, wanted), parts)
        balance = choice.balance
        outcome |= {"metric": choice.metric, "table": [asdict(row) for row in choice.rows], "summary": choice.summary}
    else:
        outcome["summary"] = f"{balance.method}, as it was asked for."
    terms = _terms(balance, counts, prior, wanted)
    sampler = None
    if balance.method in SAMPLING:
        sampler = Sampler(task.class_rows(targets).argmax(1), balance.method)
    outcome |= {
        "method": balance.method,
        "thresholds_for": balance.thresholds,
        "refit": balance.refit,
        "counts": _named(counts.names, counts.counts),
        "train_prior": _named(counts.names, prior),
        "prior": _named(counts.names, _assumed(balance, terms, counts, prior, wanted)),
    }
    if terms is not None and terms.class_weights:
        outcome["weights"] = _named(counts.names, np.array(terms.class_weights))
    return Balancing(balance, counts, prior, wanted, terms, sampler, outcome)


def trains_backbone(model: TransferModel, recipe: Recipe) -> bool:
    """Tell whether any phase changes the backbone, so that its features know the training labels."""
    weighted = [row for row in layer_rows(model) if row.parameters and row.stage != HEAD]
    decisions = [phase.plan.resolve(model) for phase in recipe.phases]
    return any(by_layer[row.name].action != "frozen" for by_layer in decisions for row in weighted)


def _choose(
    model: TransferModel,
    balance: Balance,
    counts: ClassCounts,
    priors: tuple[np.ndarray, np.ndarray],
    parts: Parts,
) -> Choice:
    """Compare methods on cached features; log the table and the decision."""
    task = model.task
    metric = balance.metric or ("balanced_accuracy" if task.class_targets and counts.is_exclusive else "macro_f1")
    choice = even_choice(ratio(counts), balance, metric)
    if choice is None:
        features = pooled_features(model, parts.train, parts.cache, length=parts.length)
        examples = _examples(task, features, parts.train, counts, priors)
        has_thresholds = "thresholds" in task.balance_options and not (balance.thresholds or balance.costs)
        # Fitting the last layer again is exactly what is compared, as long as the features stay what they are.
        refit = parts.is_frozen and counts.is_exclusive
        methods = (*(REFITTED if refit else CANDIDATES), *([THRESHOLDS] if has_thresholds else []))
        choice = choose(examples, balance, metric=metric, methods=methods, refit=refit, seed=parts.seed)
        size, folds = len(examples.targets), "cross-validation on the features of"
        log.info("balance: %d methods, %s %s training examples", len(choice.rows), folds, f"{size:,}")
        for line in choice.lines():
            log.info("%s", line)
    log.info("balance: %s", choice.summary)
    return choice


def _terms(balance: Balance, counts: ClassCounts, prior: np.ndarray, wanted: np.ndarray) -> LossTerms | None:
    """Return what the method changes in the loss; None for nothing."""
    method = balance.method
    if method in WEIGHTS and counts.is_exclusive:
        weights = class_weights(counts.counts, method, beta=balance.beta)
        return LossTerms(class_weights=tuple(weights.tolist()))
    if method in WEIGHTS:
        positives, negatives = label_weights(counts, method, beta=balance.beta)
        return LossTerms(class_weights=tuple(positives.tolist()), negative_weights=tuple(negatives.tolist()))
    if method == "focal":
        return LossTerms(focal_gamma=balance.gamma)
    if method == "label_smoothing":
        return LossTerms(label_smoothing=balance.smoothing)
    if method == "logit_adjusted_loss":
        shift = logit_shift(prior, wanted, tau=balance.tau, exclusive=counts.is_exclusive)
        return LossTerms(logit_offsets=tuple(shift.tolist()))
    return None


def _assumed(
    balance: Balance, terms: LossTerms | None, counts: ClassCounts, prior: np.ndarray, wanted: np.ndarray
) -> np.ndarray:
    """Return the frequencies of classes that the outputs of the trained model assume, float64 [classes]."""
    if balance.method in WEIGHTS and terms is not None:
        positives, negatives = np.array(terms.class_weights), np.array(terms.negative_weights)
        weighted = prior * positives
        return weighted / (weighted.sum() if counts.is_exclusive else weighted + (1 - prior) * negatives)
    return wanted if balance.method in _BALANCING else prior


def _named(names: tuple[str, ...], values: np.ndarray) -> dict[str, float]:
    return {name: float(f"{value:.6g}") for name, value in zip(names, values.tolist(), strict=True)}


def _examples(
    task: Task, features: ElementFeatures, data: PreparedSource, counts: ClassCounts, priors: tuple[Any, Any]
) -> Examples:
    """Return features with their classes; of tokens, those with a label."""
    targets: Any = data.targets
    elements = targets.take(features.rows)
    rows = task.class_rows(elements)
    if task.uses_pooling:
        return Examples(features.features, rows, counts, *priors, groups=features.groups)
    tags = np.asarray(elements)
    length = features.features.shape[1]
    tags = np.pad(tags, ((0, 0), (0, max(length - tags.shape[1], 0))), constant_values=-1)[:, :length]
    is_labelled = tags >= 0
    groups = features.rows if features.groups is None else features.groups
    of_tokens = np.broadcast_to(groups[:, None], tags.shape)[is_labelled]
    return Examples(features.features[is_labelled], rows, counts, *priors, groups=of_tokens, is_averaged=False)


def finish(model: TransferModel, balancing: Balancing, parts: Parts) -> tuple[TransferModel, dict[str, Any]]:
    """Change the last layer and the decoding of a trained model.

    Args:
        model: Trained; its last layer is changed in place.
        balancing: From `decide`.
        parts: Prepared data. Validation is looked at for a temperature, and for thresholds with tuned_on="val".

    Returns:
        The model with a task that has the prior, thresholds or costs; and the outcome for `run.config["balance"]`.
    """
    balance, task, outcome = balancing.balance, model.task, dict(balancing.outcome)
    decision: dict[str, Any] = {}
    if balance.method != "nothing":
        decision["prior"] = tuple(outcome["prior"].values())
    if balancing.reads_features:
        layer = last_layer(model, len(task.class_names), f'"{balance.method}"')
        afterwards = _Afterwards(
            model, balancing, parts, lambda data: last_features(model, layer, data, parts.cache, length=parts.length)
        )
        weights, warmth = afterwards.weights(read_weights(layer))
        layer.set_weights([weights.kernel, weights.bias])
        if balance.calibrate:
            outcome["temperature"] = float(f"{warmth:.6g}")
        if balance.thresholds:
            if balance.tuned_on == "train" and not parts.is_frozen:
                log.warning("%s", _LEARNED)
            limits = tuple(float(f"{value:.6g}") for value in afterwards.limits(weights).tolist())
            decision["factors" if balancing.counts.is_exclusive else "thresholds"] = limits
    if balance.costs:
        decision["costs"] = cost_matrix(task.class_names, balance.costs)
    task = task.with_decision(decision)
    outcome |= {name: value for name, value in task.describe_decoding().items() if name in decision}
    return replace(model, task=task), outcome


@dataclass(eq=False)
class _Afterwards:
    """The steps after a training; features are computed once for each part."""

    model: TransferModel
    balancing: Balancing
    parts: Parts
    features_of: Callable[[PreparedSource], ElementFeatures]

    def __post_init__(self) -> None:
        self._examples: dict[str, Examples] = {}

    def examples(self, part: str) -> Examples:
        """Return the features before the last layer of "train" or "val"."""
        data: Any = getattr(self.parts, part)
        if part not in self._examples:
            balancing = self.balancing
            priors = (balancing.train_prior, balancing.serving_prior)
            self._examples[part] = _examples(self.model.task, self.features_of(data), data, balancing.counts, priors)
        return self._examples[part]

    def weights(self, weights: LastLayer) -> tuple[LastLayer, float]:
        """Return the last layer of the method, calibrated if that was asked for, and its temperature."""
        balance, balancing = self.balancing.balance, self.balancing
        exclusive = balancing.counts.is_exclusive
        if balance.method == "crt" or balance.refit:
            probe, _ = probe_of(self.examples("train"), balance, seed=self.parts.seed)
            weights = LastLayer(probe.kernel, probe.bias)
        if balance.method == "tau_normalization":
            weights = weights.normalized(balance.tau)
        elif balance.method == "logit_adjustment":
            priors = (balancing.train_prior, balancing.serving_prior)
            weights = weights.shifted(logit_shift(*priors, tau=balance.tau, exclusive=exclusive))
        if not balance.calibrate:
            return weights, 1.0
        val = self.examples("val")
        assumed = np.array(list(balancing.outcome["prior"].values()))
        importance = val.targets @ (assumed / balancing.train_prior) if exclusive else None
        kind = "categorical" if exclusive else "multilabel"
        warmth = best_temperature(weights.logits(val.features), val.targets, kind=kind, weight=importance)
        return weights.divided(warmth), warmth

    def limits(self, weights: LastLayer) -> np.ndarray:
        """Return the thresholds of labels or the factors of classes, float64 [classes]."""
        balance, exclusive = self.balancing.balance, self.balancing.counts.is_exclusive
        examples = self.examples(balance.tuned_on)
        logits = weights.logits(examples.features)
        if balance.tuned_on == "train":
            _, logits = probe_of(examples, balance, seed=self.parts.seed)
        probabilities = mean_over(examples.averaged_groups, probabilities_of(logits, exclusive=exclusive))
        targets = mean_over(examples.averaged_groups, examples.targets)
        options: dict[str, Any] = {"recall": balance.recall}
        if exclusive:
            return class_factors(targets.argmax(1), probabilities, balance.thresholds or "", **options)
        return label_thresholds(targets, probabilities, balance.thresholds or "", **options)
