"""Whether training and target examples differ: a classifier two-sample test with a permuted p-value."""

from dataclasses import dataclass

import numpy as np

from tltk.probes.folds import stratified_folds
from tltk.probes.solver import principal_axes

_PENALTY = 0.01
_PERMUTATIONS = 199
_MAX_EXAMPLES = 2000  # of each side
_COMPONENTS = 64


@dataclass(frozen=True)
class Shift:
    """How far training and target examples can be told apart.

    Args:
        separation: Area under the ROC curve of a classifier that tells them apart: 0.5 if it cannot.
        p_value: Probability of such a separation if both came from one source, by permutations.
        prior_p_value: The same for their class frequencies; None without target labels.
        new_classes: Classes of the target that training does not have.
    """

    separation: float
    p_value: float
    prior_p_value: float | None = None
    new_classes: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """ "none", "new classes", "label" or "covariate"."""
        if self.new_classes:
            return "new classes"
        if self.prior_p_value is not None and self.prior_p_value < 0.05:
            return "label"
        return "covariate" if self.p_value < 0.05 else "none"

    def describe(self) -> str:
        """Describe the shift and what to do, in one line."""
        measured = f"told apart with an AUC of {self.separation:.2f}, p = {self.p_value:.3g}"
        if self.kind == "new classes":
            names = ", ".join(self.new_classes)
            return f"new classes in the target: {names}. Label some of them for training ({measured})"
        if self.kind == "label":
            return (
                f"the classes have other frequencies in the target (p = {self.prior_p_value:.3g}): adjust the priors, "
                f"or collect examples in its proportions ({measured})"
            )
        if self.kind == "covariate":
            return f"the target looks different ({measured}): label some of its examples, and test on them"
        return f"no shift found ({measured})"


def find_shift(
    features: np.ndarray,
    target: np.ndarray,
    *,
    classes: np.ndarray | None = None,
    target_classes: np.ndarray | None = None,
    names: tuple[str, ...] = (),
    seed: int = 0,
) -> Shift:
    """Test whether training and target features differ (Lopez-Paz & Oquab 2017), and their class frequencies.

    The classifier is a ridge regression on principal components, whose out-of-fold scores for permuted labels cost one
    matrix product, so that all permutations take seconds.

    Args:
        features: Training features, float32 [n, channels].
        target: Target features, float32 [m, channels].
        classes: Classes of the training examples, int64 [n], or None.
        target_classes: Classes of the target, int64 [m], in the same numbering; -1 for classes that training lacks.
        names: Names of the classes that training lacks.
        seed: Seed of the folds and permutations.

    Examples:
        >>> random = np.random.default_rng(0)
        >>> x, other = random.normal(size=(80, 6)), random.normal(size=(60, 6)) + 1
        >>> find_shift(x, other).kind, find_shift(x[:40], x[40:]).kind
        ('covariate', 'none')
    """
    generator = np.random.default_rng(seed)
    first, second = (part[np.sort(generator.permutation(len(part))[:_MAX_EXAMPLES])] for part in (features, target))
    sides = np.repeat([0, 1], [len(first), len(second)])
    axes = principal_axes(np.concatenate([first, second]).astype(np.float32))
    order = np.argsort(-axes.variances)[:_COMPONENTS]
    hats = _hats(axes.coordinates[:, order].astype(np.float64), stratified_folds(sides, seed=seed))
    separation = _separation(hats, sides)
    permuted = [_separation(hats, generator.permutation(sides)) for _ in range(_PERMUTATIONS)]
    p_value = (1 + sum(value >= separation for value in permuted)) / (1 + _PERMUTATIONS)
    prior = None
    if classes is not None and target_classes is not None:
        prior = _prior_p_value(classes, target_classes[target_classes >= 0], generator)
    return Shift(float(separation), float(p_value), prior, tuple(names))


def _hats(coordinates: np.ndarray, folds: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return (test rows, training rows, matrix from training labels to test scores) of each fold."""
    hats = []
    for fold in np.unique(folds):
        test, fitted = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        x = coordinates[fitted]
        gram = x.T @ x + _PENALTY * len(x) * np.eye(x.shape[1]) * float(np.square(x).mean())
        hats.append((test, fitted, coordinates[test] @ np.linalg.solve(gram, x.T)))
    return hats


def _separation(hats: list[tuple[np.ndarray, np.ndarray, np.ndarray]], sides: np.ndarray) -> float:
    """Return the area under the ROC curve of out-of-fold scores."""
    scores = np.empty(len(sides))
    for test, fitted, hat in hats:
        labels = sides[fitted]
        scores[test] = hat @ (labels - labels.mean())
    ranks = np.empty(len(scores))
    ranks[np.argsort(scores, kind="stable")] = np.arange(1, len(scores) + 1)
    positive = sides == 1
    count = positive.sum()
    return float((ranks[positive].sum() - count * (count + 1) / 2) / max(count * (len(sides) - count), 1))


def _prior_p_value(classes: np.ndarray, others: np.ndarray, generator: np.random.Generator) -> float:
    """Return the p-value of a permuted chi-square test of equal class frequencies."""
    together = np.concatenate([classes, others])
    length = int(together.max(initial=0)) + 1
    total = np.bincount(together, minlength=length)

    def statistic(part: np.ndarray) -> float:
        expected = total * len(part) / max(len(together), 1)
        return float((np.square(np.bincount(part, minlength=length) - expected) / np.maximum(expected, 1e-9)).sum())

    measured = statistic(others)
    permuted = [statistic(generator.permutation(together)[: len(others)]) for _ in range(_PERMUTATIONS)]
    return float((1 + sum(value >= measured - 1e-9 for value in permuted)) / (1 + _PERMUTATIONS))
