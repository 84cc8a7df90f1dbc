"""Whether training and target examples differ, and how: permutation tests of a classifier that tells them apart."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.stats import rankdata

from tltk.foundation import checks as check
from tltk.probes.neighbours import unit_length
from tltk.probes.solver import principal_axes
from tltk.probes.threads import threads_for

ALPHA = 0.025  # of each of the two tests, 5 % together
_PENALTY = 0.01
_PERMUTATIONS = 199
_FOLDS = 5
_MAX_EXAMPLES = 2000  # of each side
_MIN_MATCHED = 20
_COMPONENTS = 64
_NEIGHBOURS = 5
_UNLIKE = 0.05  # fraction of training examples that are less like the others than an "unlike" target example
_MANY_UNLIKE = 0.15
_NAMED = 3  # examples, and classes whose frequency changes, that a description names


@dataclass(frozen=True, eq=False)
class Side:
    """The training examples, or those of the target.

    Args:
        features: float32 [n, channels].
        classes: Class of each example, int64 [n], -1 for one that training lacks; None if unlabelled.
        probabilities: Class probabilities that a calibrated probe predicts, float [n, classes]: out of fold for
            training examples. None without a probe.
        groups: int64 [n]; examples of a group belong together, such as the windows of one recording. None: each example
            is a group.
        ids: Names of the examples, for the description.
    """

    features: np.ndarray
    classes: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    groups: np.ndarray | None = None
    ids: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.features)

    @cached_property
    def units(self) -> np.ndarray:
        """Number of the group of each example, int64 [n], from 0."""
        return np.arange(len(self)) if self.groups is None else np.unique(self.groups, return_inverse=True)[1]

    def take(self, rows: np.ndarray) -> "Side":
        """Return some of the examples."""
        parts = {
            name: None if getattr(self, name) is None else getattr(self, name)[rows]
            for name in ("classes", "probabilities", "groups")
        }
        ids = tuple(self.ids[row] for row in rows) if self.ids else ()
        return replace(self, features=self.features[rows], ids=ids, **parts)


@dataclass(frozen=True)
class Shift:
    """How far training and target examples can be told apart.

    Args:
        separation: Area under the ROC curve of a classifier that tells them apart: 0.5 if it cannot.
        p_value: Probability of such a separation, or of so many target examples among the neighbours of target
            examples, if both came from one source; by permutations.
        prior_p_value: The same for the frequencies of the classes; of the predicted classes if the target is
            unlabelled. None if there are no classes.
        matched_p_value: `p_value` once training examples are drawn with the frequencies of the target; None if the
            frequencies do not differ, or too few examples remain.
        priors: Name of each class, and its frequency in training and in the target: counted, or estimated from
            predictions (Saerens et al. 2002) if the target is unlabelled.
        is_labelled: Whether the target has classes.
        new_classes: Classes of the target that training does not have.
        unlike: Fraction of the target that is less like its nearest training example than 95 % of those are like each
            other.
        unlike_ids: Examples of the target that are most unlike.
    """

    separation: float
    p_value: float
    prior_p_value: float | None = None
    matched_p_value: float | None = None
    priors: tuple[tuple[str, float, float], ...] = ()
    is_labelled: bool = False
    new_classes: tuple[str, ...] = ()
    unlike: float = 0.0
    unlike_ids: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """ "new classes", "label" (other frequencies of the classes), "covariate" (other inputs) or "none"."""
        if self.new_classes:
            return "new classes"
        has_other_priors = self.prior_p_value is not None and self.prior_p_value < ALPHA
        # Other inputs also change predictions: without labels, only the matched comparison tells.
        is_explained = self.is_labelled if self.matched_p_value is None else self.matched_p_value >= ALPHA
        if has_other_priors and is_explained:
            return "label"
        return "covariate" if self.p_value < ALPHA or has_other_priors else "none"

    def describe(self) -> str:
        """Describe the shift and what to do, in a few sentences."""
        measured = f"told apart with an AUC of {self.separation:.2f}, p = {self.p_value:.3g}"
        if self.kind == "new classes":
            names = check.listing(self.new_classes)
            return f"new classes in the target: {names}. Label some of them for training ({measured})"
        if self.kind == "label":
            return (
                f"the classes have other frequencies in the target, p = {self.prior_p_value:.3g}: {self._changes()}. "
                'Train with balance=tltk.balance("logit_adjustment", prior=…) and these frequencies'
            )
        if self.kind == "none":
            return f"no shift found ({measured})"
        text = f"the target looks different ({measured}): label some of its examples for training, and test on others"
        if self.prior_p_value is not None and self.prior_p_value < ALPHA:
            text += f". The frequencies of the classes seem to differ too: {self._changes()}"
        if self.unlike >= _MANY_UNLIKE:
            such_as = f", such as {check.listing(self.unlike_ids)}" if self.unlike_ids else ""
            text += (
                f". {self.unlike:.0%} of it is unlike every training example{such_as}: look whether classes are missing"
            )
        return text

    def _changes(self) -> str:
        """Write the largest changes of frequencies."""
        largest = sorted(self.priors, key=lambda row: -abs(row[2] - row[1]))[:_NAMED]
        changes = ", ".join(f"{name} {old:.0%} → {new:.0%}" for name, old, new in largest)
        return changes if self.is_labelled else f"{changes} (estimated)"


def find_shift(
    train: Side, target: Side, *, names: tuple[str, ...] = (), new_classes: tuple[str, ...] = (), seed: int = 0
) -> Shift:
    """Test whether training and target features differ (Lopez-Paz & Oquab 2017), and their class frequencies.

    Other class frequencies make the features differ too. Therefore training examples are then drawn with the
    frequencies of the target: if the sides cannot be told apart any more, nothing else has changed.

    The classifier is a ridge regression on principal components, whose solution for all permuted sides is one
    product of matrices.

    Args:
        train: Training examples.
        target: Target examples.
        names: Names of the classes.
        new_classes: Names of the classes that training lacks.
        seed: Seed of the folds and permutations.

    Examples:
        >>> random = np.random.default_rng(0)
        >>> x, other = random.normal(size=(80, 6)), random.normal(size=(60, 6)) + 1
        >>> find_shift(Side(x), Side(other)).kind, find_shift(Side(x[:40]), Side(x[40:])).kind
        ('covariate', 'none')
    """
    generator = np.random.default_rng(seed)
    train, target = (side.take(np.sort(generator.permutation(len(side))[:_MAX_EXAMPLES])) for side in (train, target))
    with threads_for(train.features.size):
        return _find_shift(train, target, generator, names=names, new_classes=new_classes)


def _find_shift(
    train: Side, target: Side, generator: np.random.Generator, *, names: tuple[str, ...], new_classes: tuple[str, ...]
) -> Shift:
    separation, p_value = _told_apart(train, target, generator)
    unlike, unlike_ids = _unlike(train, target, generator)
    shift = Shift(separation, p_value, new_classes=tuple(new_classes), unlike=unlike, unlike_ids=unlike_ids)
    if train.classes is None or (target.classes is None and target.probabilities is None):
        return shift
    old, new = _frequencies(train, target)
    prior_p_value = _prior_p_value(train, target, generator)
    matched = _matched_rows(train.classes, new, generator) if prior_p_value < ALPHA else None
    matched_p_value = None
    if matched is not None:
        in_training = target if target.classes is None else target.take(np.flatnonzero(target.classes >= 0))
        _, matched_p_value = _told_apart(train.take(matched), in_training, generator)
    return replace(
        shift,
        prior_p_value=prior_p_value,
        matched_p_value=matched_p_value,
        priors=tuple(zip(names, map(float, old), map(float, new), strict=False)),
        is_labelled=target.classes is not None,
    )


def _units(train: Side, target: Side) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit of each example of both sides, and the side of each unit: 0 for training, 1 for the target."""
    count = int(train.units.max(initial=-1)) + 1
    units = np.concatenate([train.units, target.units + count])
    sides = np.repeat([0, 1], [count, int(units.max(initial=-1)) + 1 - count])
    return units, sides


def _told_apart(train: Side, target: Side, generator: np.random.Generator) -> tuple[float, float]:
    """Return the area under the ROC curve of a classifier of the sides, and a p-value by permutations.

    A linear classifier does not see a small part that is far away from all others: the neighbours of examples are
    looked at too, and the larger of both statistics counts, in standard deviations over the permutations. Neither
    folds nor neighbours depend on the sides: all permutations are equally likely if both sides came from one source.
    """
    units, sides = _units(train, target)
    axes = principal_axes(np.concatenate([train.features, target.features]).astype(np.float32))
    order = np.argsort(-axes.variances)[:_COMPONENTS]
    folds = generator.permutation(np.arange(len(sides)) % min(_FOLDS, len(sides)))[units]
    permuted = np.stack([sides, *(generator.permutation(sides) for _ in range(_PERMUTATIONS))], axis=1)[units]
    scores = _out_of_fold(axes.coordinates[:, order].astype(np.float64), permuted, folds)
    separations = _separations(scores, permuted)
    in_target = _neighbours_in_target(np.concatenate([train.features, target.features]), units, permuted)
    statistics = np.stack([separations, in_target])
    spread = np.maximum(statistics.std(1, keepdims=True), 1e-9)
    return float(separations[0]), _p_value(((statistics - statistics.mean(1, keepdims=True)) / spread).max(0))


def _p_value(statistics: np.ndarray) -> float:
    """Return the fraction of the statistics that are at least the first one, which is not permuted."""
    return float(np.mean(statistics >= statistics[0] - 1e-9))


def _out_of_fold(coordinates: np.ndarray, sides: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return the scores of a ridge regression for each column of sides, float64 [n, permutations]."""
    scores = np.empty(sides.shape)
    for fold in np.unique(folds):
        test, fitted = folds == fold, folds != fold
        x, y = coordinates[fitted], sides[fitted]
        strength = _PENALTY * len(x) * max(float(np.square(x).mean()) if x.size else 0.0, 1e-12)
        gram = x.T @ x + strength * np.eye(x.shape[1])
        scores[test] = coordinates[test] @ np.linalg.solve(gram, x.T @ (y - y.mean(0)))
    return scores


def _separations(scores: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve of each column, float64 [permutations]; equal scores count half."""
    ranks = rankdata(np.round(scores, 9), axis=0)
    count = sides.sum(0)
    sums = np.where(sides == 1, ranks, 0).sum(0)
    return (sums - count * (count + 1) / 2) / np.maximum(count * (len(sides) - count), 1)


def _neighbours_in_target(features: np.ndarray, units: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Return the mean share of target examples among the neighbours of target examples, float64 [permutations].

    It is the statistic of Schilling (1986). Examples of one unit do not count as neighbours.
    """
    vectors = unit_length(features)
    similarity = vectors @ vectors.T
    similarity[units[:, None] == units] = -2
    count = min(_NEIGHBOURS, len(features) - 1)
    nearest = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
    shares = np.mean([sides[column] for column in nearest.T], axis=0)
    return (shares * sides).sum(0) / np.maximum(sides.sum(0), 1)


def _predicted(side: Side, other: Side) -> np.ndarray:
    """Return the classes of a side; the predicted ones if either side is unlabelled."""
    if side.classes is not None and other.classes is not None:
        return side.classes
    return np.argmax(side.probabilities, axis=1) if side.probabilities is not None else np.zeros(len(side), np.int64)


def _frequencies(train: Side, target: Side) -> tuple[np.ndarray, np.ndarray]:
    """Return the class frequencies of both sides, float64 [classes]; estimated by EM if the target is unlabelled."""
    classes = train.classes if train.classes is not None else np.zeros(0, np.int64)
    length = int(classes.max(initial=0)) + 1 if target.probabilities is None else target.probabilities.shape[1]
    old = np.bincount(classes, minlength=length) / max(len(classes), 1)
    if target.classes is not None:
        counts = np.bincount(target.classes[target.classes >= 0], minlength=length)
        return old, counts / max(counts.sum(), 1)
    return old, new_priors(np.asarray(target.probabilities, np.float64), old)


def new_priors(probabilities: np.ndarray, priors: np.ndarray, *, iterations: int = 200) -> np.ndarray:
    """Estimate the class frequencies of unlabelled examples by expectation maximization (Saerens et al. 2002).

    Args:
        probabilities: Calibrated probabilities of a classifier, float [n, classes].
        priors: Class frequencies of its training examples, float [classes].
        iterations: Number of steps.

    Examples:
        >>> probabilities = np.eye(2)[[0] * 7 + [1] * 3] * 0.8 + 0.1  # 90 % sure, and right about 90 %
        >>> new_priors(probabilities, np.array([0.5, 0.5])).round(2).tolist()
        [0.75, 0.25]
    """
    safe = np.maximum(priors, 1e-12)
    frequencies = safe / safe.sum()
    for _ in range(iterations):
        weighted = probabilities * (frequencies / safe)
        weighted /= np.maximum(weighted.sum(1, keepdims=True), 1e-300)
        frequencies = weighted.mean(0)
    return frequencies


def _prior_p_value(train: Side, target: Side, generator: np.random.Generator) -> float:
    """Return the p-value of a permuted chi-square test of equal class frequencies."""
    units, sides = _units(train, target)
    together = np.concatenate([_predicted(train, target), _predicted(target, train)])
    usable = together >= 0
    together, units = together[usable], units[usable]
    length = int(together.max(initial=0)) + 1
    total = np.bincount(together, minlength=length) / max(len(together), 1)

    def statistic(sides: np.ndarray) -> float:
        part = together[sides[units] == 1]
        expected = total * max(len(part), 1)
        return float((np.square(np.bincount(part, minlength=length) - expected) / np.maximum(expected, 1e-9)).sum())

    permuted = (generator.permutation(sides) for _ in range(_PERMUTATIONS))
    return _p_value(np.array([statistic(sides), *map(statistic, permuted)]))


def _matched_rows(classes: np.ndarray, frequencies: np.ndarray, generator: np.random.Generator) -> np.ndarray | None:
    """Draw training examples with other class frequencies, int64 [k]; None if too few remain."""
    counts = np.bincount(classes, minlength=len(frequencies))[: len(frequencies)]
    occurs = frequencies * len(classes) >= 1
    if not occurs.any():
        return None
    scale = float((counts[occurs] / frequencies[occurs]).min())
    rows = [
        generator.permutation(np.flatnonzero(classes == number))[: round(scale * frequencies[number])]
        for number in np.flatnonzero(occurs)
    ]
    drawn = np.sort(np.concatenate(rows))
    return drawn if len(drawn) >= _MIN_MATCHED else None


def _unlike(train: Side, target: Side, generator: np.random.Generator) -> tuple[float, tuple[str, ...]]:
    """Return the fraction of the target that is unlike every training example, and the names of the most unlike."""
    vectors, others = unit_length(train.features), unit_length(target.features)
    count = int(train.units.max(initial=0)) + 1
    folds = generator.permutation(np.arange(count) % _FOLDS)[train.units]
    if count < _FOLDS:
        return 0.0, ()
    nearest = np.empty(len(train), np.float32)
    for fold in range(_FOLDS):
        nearest[folds == fold] = (vectors[folds == fold] @ vectors[folds != fold].T).max(1)
    similarity = (others @ vectors.T).max(1)
    is_unlike = similarity < np.quantile(nearest, _UNLIKE)
    rows = [row for row in np.argsort(similarity)[:_NAMED] if is_unlike[row]]
    return float(is_unlike.mean()), tuple(target.ids[row] for row in rows) if target.ids else ()
