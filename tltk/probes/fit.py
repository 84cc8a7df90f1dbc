"""The tuned, calibrated linear probe: penalty and scaling chosen by cross-validation, one temperature."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from tltk.foundation import progress
from tltk.foundation.errors import InvalidInput
from tltk.probes.calibration import smoothed
from tltk.probes.calibration import temperature as best_temperature
from tltk.probes.folds import FOLDS, strata_of, stratified_folds
from tltk.probes.links import link
from tltk.probes.solver import Axes, principal_axes, solve
from tltk.probes.threads import threads_for

# Strong to weak. The features have a total variance of 1.
PENALTIES = tuple(float(value) for value in 10.0 ** np.arange(0, -6.1, -0.5))
SCALINGS = ("standard", "global")
_PATIENCE = 2  # weaker penalties that are worse, after which no weaker one is tried
_LARGE = 20_000_000  # numbers above which penalty and scaling are chosen on some of the examples
_LARGE_FOLDS = 3


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear model of features, and what cross-validation says about it.

    Args:
        kind: "categorical", "multilabel" or "regression".
        kernel: float32 [channels, outputs]; calibrated: logits are features · kernel + bias.
        bias: float32 [outputs].
        penalty: Strength of the regularization, of features with a total variance of 1.
        scaling: "standard" or "global", see `principal_axes`.
        temperature: What the logits were divided by; kernel and bias are divided already.
        out_of_fold: Calibrated logits of each training example, by a probe that was not trained on it: float32
            [n, outputs].
        folds: Fold of each training example, int64 [n].
        loss: Mean out-of-fold loss, of `tltk.probes.calibration.smoothed` targets.
        path: (scaling, penalty, calibrated out-of-fold loss) of everything that was tried.
    """

    kind: str
    kernel: np.ndarray
    bias: np.ndarray
    penalty: float
    scaling: str
    temperature: float
    out_of_fold: np.ndarray
    folds: np.ndarray
    loss: float
    path: tuple[tuple[str, float, float], ...]

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return calibrated logits, or the numbers of a regression: float32 [n, outputs].

        Args:
            features: float32 [n, channels].
        """
        return features @ self.kernel + self.bias

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Return probabilities, or the numbers of a regression: float32 [n, outputs].

        Args:
            features: float32 [n, channels].
        """
        return link(self.kind, len(self.bias)).predict(self.logits(features))


def fit_probe(
    features: np.ndarray,
    targets: np.ndarray,
    *,
    kind: str = "categorical",
    weight: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    offset: np.ndarray | None = None,
    folds: int = FOLDS,
    penalties: tuple[float, ...] = PENALTIES,
    scalings: tuple[str, ...] = SCALINGS,
    seed: int = 0,
) -> Probe:
    """Fit a linear model, with penalty and scaling of the lowest calibrated loss in a stratified cross-validation.

    The loss decides, not the accuracy, which is too coarse for few examples. The final model is fitted to all examples.
    Of more than 20 million numbers, some examples decide first, and then three folds about the two nearest penalties.

    Args:
        features: float32 [n, channels].
        targets: float [n, outputs]: rows of class probabilities, such as one-hot vectors; 0/1 for several labels; or
            numbers.
        kind: "categorical" (softmax), "multilabel" (one logistic regression for each label) or "regression" (ridge).
        weight: Weights of the examples, float [n], in fitting, selection and calibration; None for equal ones.
        groups: int [n]; examples of one group are in one fold.
        offset: Added to the logits while fitting, float [outputs], see `tltk.probes.solver.solve`. Out-of-fold logits
            and calibration are with the offset, the returned kernel and bias without.
        folds: Number of folds; at least 2 examples are needed.
        penalties: Penalties to try, from strong to weak.
        scalings: Scalings to try.
        seed: Seed of the folds.

    Returns:
        The probe.

    Raises:
        InvalidInput: If all examples are one group, or there is only one: nothing can be held out to tune the probe.

    Examples:
        >>> features = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
        >>> probe = fit_probe(features, np.eye(2)[(features[:, 0] > 0).astype(int)])
        >>> bool((probe.predict(features).argmax(1) == (features[:, 0] > 0)).mean() > 0.9)
        True
    """
    features, targets = np.asarray(features, np.float32), np.asarray(targets, np.float32)
    if features.size > _LARGE:
        rows = np.sort(np.random.default_rng(seed).permutation(len(features))[: _LARGE // features.shape[1]])
        weights_of_part, groups_of_part = (None if values is None else values[rows] for values in (weight, groups))
        part = partial(fit_probe, features[rows], targets[rows], kind=kind, offset=offset)
        first = part(weight=weights_of_part, groups=groups_of_part, penalties=penalties, scalings=scalings)
        penalties, scalings, folds = (first.penalty, first.penalty / 3), (first.scaling,), min(folds, _LARGE_FOLDS)
    shift = targets.mean(0) if kind == "regression" else np.zeros(targets.shape[1], np.float32)
    spread = np.maximum(targets.std(0), 1e-12) if kind == "regression" else np.ones_like(shift)
    scaled_targets = (targets - shift) / spread
    fold_of = stratified_folds(strata_of(targets, kind), folds=folds, groups=groups, seed=seed)
    if not fold_of.any():
        received = "one example" if len(features) == 1 else "one group of all examples"
        raise InvalidInput(
            f"a probe is tuned on held-out examples: two groups are needed. Received: {received}. In `fit`, use "
            "tltk.linear_probe() instead."
        )
    search = _Search(scaled_targets, kind, weight, offset, fold_of)
    with threads_for(features.size):
        tried = [search.best(principal_axes(features, scaling=scaling), scaling, penalties) for scaling in scalings]
        best = min(tried, key=lambda candidate: candidate.loss)
        weights = search.fit_all(best.axes, penalties, best.penalty)
    kernel = best.axes.directions @ weights[:-1] / best.temperature * spread
    bias = weights[-1] / best.temperature * spread + shift - best.axes.center @ kernel
    return Probe(
        kind,
        kernel.astype(np.float32),
        bias.astype(np.float32),
        best.penalty,
        best.scaling,
        best.temperature,
        (best.logits / best.temperature * spread + shift).astype(np.float32),
        fold_of,
        best.loss,
        tuple(step for candidate in tried for step in candidate.path),
    )


@dataclass(frozen=True, eq=False)
class _Candidate:
    """The best penalty of one scaling."""

    axes: Axes
    scaling: str
    penalty: float
    temperature: float
    logits: np.ndarray
    loss: float
    path: tuple[tuple[str, float, float], ...] = ()


@dataclass(frozen=True, eq=False)
class _Search:
    """Cross-validation over penalties, for one set of targets and folds."""

    targets: np.ndarray
    kind: str
    weight: np.ndarray | None
    offset: np.ndarray | None
    folds: np.ndarray

    def best(self, axes: Axes, scaling: str, penalties: tuple[float, ...]) -> _Candidate:
        """Follow the penalties from strong to weak, each from the solution of the one before."""
        numbers = np.unique(self.folds)
        starts: dict[int, np.ndarray | None] = dict.fromkeys(numbers.tolist())
        candidates: list[_Candidate] = []
        losses_of = link(self.kind, self.targets.shape[1]).losses
        targets = smoothed(self.targets, kind=self.kind, weight=self.weight)
        with progress.bar(f"probe ({scaling} scaling)", len(penalties)) as advance:
            for penalty in penalties:
                logits = np.zeros_like(self.targets)
                for fold, start in starts.items():
                    rows = np.flatnonzero(self.folds != fold)
                    weights = starts[fold] = self._solve(axes, rows, penalty, start)
                    test = self.folds == fold
                    logits[test] = axes.coordinates[test] @ weights[:-1] + weights[-1]
                logits = logits if self.offset is None else logits + self.offset.astype(np.float32)
                warmth = best_temperature(logits, self.targets, kind=self.kind, weight=self.weight)
                loss = float(np.average(losses_of(logits / warmth, targets), weights=self.weight))
                candidates.append(_Candidate(axes, scaling, penalty, warmth, logits, loss))
                advance()
                losses = [candidate.loss for candidate in candidates]
                if len(losses) - 1 - int(np.argmin(losses)) == _PATIENCE:
                    break
        path = tuple((scaling, candidate.penalty, candidate.loss) for candidate in candidates)
        return replace(min(candidates, key=lambda candidate: candidate.loss), path=path)

    def fit_all(self, axes: Axes, penalties: tuple[float, ...], penalty: float) -> np.ndarray:
        """Fit to all examples, from the solution of the penalty before."""
        stronger = [value for value in penalties if value > penalty][-1:]
        rows = np.arange(len(self.folds))
        start = self._solve(axes, rows, stronger[0], None) if stronger else None
        return self._solve(axes, rows, penalty, start)

    def _solve(self, axes: Axes, rows: np.ndarray, penalty: float, start: np.ndarray | None) -> np.ndarray:
        return solve(
            axes.coordinates[rows],
            self.targets[rows],
            kind=self.kind,
            penalty=penalty,
            variances=axes.variances,
            weight=None if self.weight is None else self.weight[rows],
            offset=self.offset,
            start=start,
        )
