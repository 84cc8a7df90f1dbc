"""The record of what `tltk.fit` does about uneven classes, and `tltk.balance`, which builds it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tltk.foundation import checks as check
from tltk.foundation import display, familiar
from tltk.foundation.errors import InvalidInput, InvalidType
from tltk.tasks.uneven import LOSSES, SAMPLING, WEIGHTS

AFTERWARDS = ("logit_adjustment", "crt", "tau_normalization")  # change the last layer after the training
METHODS = ("auto", *WEIGHTS, *SAMPLING, *LOSSES, *AFTERWARDS, "nothing")
THRESHOLD_METRICS = ("macro_f1", "balanced_accuracy", "accuracy", "precision_at_recall")
AUTO_METRICS = ("balanced_accuracy", "macro_f1")
PARTS = ("train", "val")
UNIFORM = "uniform"
# Option → its default, and the methods that have it.
_OPTIONS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "tau": (1.0, ("logit_adjusted_loss", "logit_adjustment", "tau_normalization")),
    "beta": (0.999, ("effective_number",)),
    "gamma": (2.0, ("focal",)),
    "smoothing": (0.1, ("label_smoothing",)),
    "prior": (None, ("logit_adjusted_loss", "logit_adjustment")),
    "metric": (None, ("auto",)),
}


@dataclass(frozen=True)
class Balance:
    """What a training does about uneven classes; see `tltk.balance`.

    Args:
        method: One of `METHODS`.
        tau: Strength of a logit adjustment, or exponent of the norms.
        beta: β of the effective number.
        gamma: γ of the focal loss.
        smoothing: Fraction of label smoothing.
        prior: (class, frequency) pairs expected when the model is used; None for equal frequencies.
        metric: Metric by which "auto" chooses; None for that of the task.
        thresholds: Metric for which thresholds are tuned; None for no thresholds.
        recall: Recall that "precision_at_recall" keeps.
        costs: (true class, predicted class, cost) of mistakes; None for equal costs.
        calibrate: Whether a temperature is fitted on validation.
        tuned_on: "train" or "val".
        refit: Whether the last layer is fitted again after the training, as it was compared; set by "auto" if the
            backbone is frozen. "crt" does so in any case.
    """

    method: str = "auto"
    tau: float = 1.0
    beta: float = 0.999
    gamma: float = 2.0
    smoothing: float = 0.1
    prior: tuple[tuple[str, float], ...] | None = None
    metric: str | None = None
    thresholds: str | None = None
    recall: float = 0.9
    costs: tuple[tuple[str, str, float], ...] | None = None
    calibrate: bool = False
    tuned_on: str = "train"
    refit: bool = False

    __repr__ = display.short_repr

    def to_config(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return asdict(self)


@familiar.arguments
def balance(
    method: str = "auto",
    *,
    tau: float = 1.0,
    beta: float = 0.999,
    gamma: float = 2.0,
    smoothing: float = 0.1,
    prior: Mapping[str, float] | None = None,
    metric: str | None = None,
    thresholds: str | None = None,
    recall: float = 0.9,
    costs: Mapping[tuple[str, str], float] | None = None,
    calibrate: bool = False,
    tuned_on: str = "train",
) -> Balance:
    """Describe what a training does about uneven classes.

    Args:
        method: "auto" compares a few methods by cross-validation on the training examples. Weights in the loss:
            "inverse", "square_root", "effective_number" (Cui et al. 2019). Sampling: "oversample", "undersample",
            "balanced_batches". Losses: "focal" (Lin et al. 2017), "label_smoothing", "logit_adjusted_loss" (Menon et
            al. 2021). After the training: "logit_adjustment" (Menon et al. 2021), "crt" and "tau_normalization" (Kang
            et al. 2020). "nothing" is for thresholds, costs or calibration alone.
        tau: Strength of a logit adjustment, or the power of the norms in "tau_normalization"; above 0.
        beta: β of the effective number (1 − βⁿ) / (1 − β) of n examples, in [0, 1).
        gamma: γ of the focal loss; above 0.
        smoothing: Fraction of each target spread over all classes by "label_smoothing", in (0, 1).
        prior: Class → its frequency when the model is used, for logit adjustments; None for equal frequencies.
        metric: Metric by which "auto" chooses: "balanced_accuracy" or "macro_f1"; None means the former, for several
            labels and for tags the latter.
        thresholds: Metric for which thresholds are tuned: "macro_f1", "balanced_accuracy", "accuracy" or
            "precision_at_recall"; None tunes none.
        recall: Recall that "precision_at_recall" keeps, in (0, 1].
        costs: (true class, predicted class) → cost of this mistake; others cost 1, and right answers nothing.
        calibrate: Whether a temperature is fitted on the validation examples.
        tuned_on: Part on which thresholds are tuned: "train", by cross-validation of the last layer, or "val".

    Returns:
        A record for `tltk.fit(balance=…)`.

    Raises:
        InvalidType: If `prior` or `costs` is not a dict.
        InvalidInput: If a name is unknown, a number is out of range, or the method does not have an option.

    Examples:
        >>> balance("logit_adjustment", prior={"cat": 0.9, "dog": 0.1}).prior
        (('cat', 0.9), ('dog', 0.1))
    """
    check.one_of("method", method, METHODS)
    problems = check.Problems()
    given = {"tau": tau, "beta": beta, "gamma": gamma, "smoothing": smoothing, "prior": prior, "metric": metric}
    for name, value in given.items():
        default, methods = _OPTIONS[name]
        if value != default and method not in methods:
            problems.add(f"`{name}` is an option of {check.listing(map(repr, methods))}. Received: method={method!r}")
    for problem in (*_number_problems(tau, beta, gamma, smoothing, recall), *_name_problems(metric, thresholds)):
        problems.add(problem)
    if tuned_on not in PARTS:
        problems.add(f"`tuned_on` must be 'train' or 'val'. Received: {tuned_on!r}")
    if costs is not None and thresholds is not None:
        problems.add("`costs` and `thresholds` both decide for a class. Pass one of them")
    problems.raise_if_any()
    return Balance(
        method,
        tau=float(tau),
        beta=float(beta),
        gamma=float(gamma),
        smoothing=float(smoothing),
        prior=_as_prior(prior),
        metric=metric,
        thresholds=thresholds,
        recall=float(recall),
        costs=_as_costs(costs),
        calibrate=bool(calibrate),
        tuned_on=tuned_on,
    )


def as_balance(value: Any) -> Balance | None:
    """Convert the argument `balance` of `tltk.fit`: None, the name of a method, or a record.

    Raises:
        InvalidType: If it is something else.
        InvalidInput: If there is no method of this name.
    """
    if value is None or isinstance(value, Balance):
        return value
    if not isinstance(value, str):
        raise InvalidType(f"`balance` must be the name of a method or tltk.balance(…). Received: {value!r:.80}")
    check.one_of("balance", value, METHODS)
    return balance(value)


def _number_problems(tau: Any, beta: Any, gamma: Any, smoothing: Any, recall: Any) -> list[str]:
    limits = {
        "tau": (tau, "above 0", lambda value: value > 0),
        "beta": (beta, "at least 0 and below 1", lambda value: 0 <= value < 1),
        "gamma": (gamma, "above 0", lambda value: value > 0),
        "smoothing": (smoothing, "above 0 and below 1", lambda value: 0 < value < 1),
        "recall": (recall, "above 0 and at most 1", lambda value: 0 < value <= 1),
    }
    return [
        f"`{name}` must be a number {limit}. Received: {value!r}"
        for name, (value, limit, is_valid) in limits.items()
        if not check.is_number(value) or value == float("inf") or not is_valid(value)
    ]


def _name_problems(metric: Any, thresholds: Any) -> list[str]:
    problems = []
    for name, value, allowed in (("metric", metric, AUTO_METRICS), ("thresholds", thresholds, THRESHOLD_METRICS)):
        if value is not None and value not in allowed:
            choices = check.listing(map(repr, allowed))
            hint = check.did_you_mean(value, allowed)
            problems.append(f"`{name}` must be one of {choices}. Received: {value!r}.{hint}")
    return problems


def _as_prior(prior: Any) -> tuple[tuple[str, float], ...] | None:
    if prior is None:
        return None
    if not isinstance(prior, Mapping):
        raise InvalidType(f"`prior` must be a dict {{class: frequency}}. Received: {prior!r:.80}")
    wrong = {name: value for name, value in prior.items() if not check.is_number(value) or not 0 < value < float("inf")}
    if wrong:
        raise InvalidInput(f"the frequencies in `prior` must be finite numbers above 0. Received: {wrong!r:.120}")
    return tuple((str(name), float(value)) for name, value in prior.items())


def _as_costs(costs: Any) -> tuple[tuple[str, str, float], ...] | None:
    if costs is None:
        return None
    if not isinstance(costs, Mapping):
        raise InvalidType(f"`costs` must be a dict {{(true class, predicted class): cost}}. Received: {costs!r:.80}")
    for pair, cost in costs.items():
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise InvalidInput(f"the keys of `costs` must be pairs (true class, predicted class). Received: {pair!r}")
        if not check.is_number(cost) or not 0 <= cost < float("inf"):
            raise InvalidInput(f"the costs must be finite numbers of at least 0. Received: {pair!r}: {cost!r}")
    return tuple((str(true), str(predicted), float(cost)) for (true, predicted), cost in costs.items())
