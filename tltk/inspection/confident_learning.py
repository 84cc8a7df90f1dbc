"""Likely wrong labels, by confident learning (Northcutt, Jiang & Chuang 2021, JAIR 70, 1373-1411).

Implemented from the paper. Notation there: labels ỹ, unknown true labels y*, out-of-fold probabilities p̂, thresholds
t_j, the confident joint C and the estimated joint distribution Q of ỹ and y*.
"""

from typing import NamedTuple

import numpy as np

from tltk.foundation import progress

MIN_EXAMPLES = 10  # of a class: fewer give no probabilities worth a threshold
_FOLDS = 5
_COMPONENTS = 256  # of the features: nearly all of their variance, in a fraction of the time
_MAX_ITERATIONS = 200
_INVERSE_PENALTY = 1.0  # of features of length 1; measured with MIN_MARGIN, see docs/benchmarks.md
MIN_MARGIN = 0.5


class LabelIssues(NamedTuple):
    """Examples whose label is likely wrong, most likely first.

    Attributes:
        rows: int64 [k], rows of the examples.
        suggested: int64 [k], the class that each seems to have.
        margins: float64 [k], probability of that class minus that of the label.
    """

    rows: np.ndarray
    suggested: np.ndarray
    margins: np.ndarray


def out_of_fold(features: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, seed: int) -> np.ndarray:
    """Predict each example by a logistic regression that was not trained on it.

    Args:
        features: float32 [n, channels].
        labels: int64 [n], classes from 0; each occurs at least MIN_EXAMPLES times.
        groups: int64 [n]; examples with equal values are in one fold, so that a copy does not confirm the label of its
            copy.
        seed: Seed of the folds.

    Returns:
        float64 [n, classes], probabilities.
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    components = min(_COMPONENTS, *features.shape)
    reduced = PCA(components, svd_solver="randomized", random_state=seed).fit_transform(features)
    reduced /= max(float(np.sqrt((reduced**2).sum(1).mean())), 1e-12)  # length 1 on average
    probabilities = np.zeros((len(labels), labels.max() + 1))
    folds = _folds(labels, groups, seed=seed)
    with threadpool_limits(1), progress.bar("looking for wrong labels", _FOLDS) as advance:
        for fold in range(_FOLDS):
            fitted, held_out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            classes = np.unique(labels[fitted])
            if len(held_out) and len(classes) > 1:
                probe = LogisticRegression(C=_INVERSE_PENALTY, max_iter=_MAX_ITERATIONS, tol=1e-3)
                probe.fit(reduced[fitted], labels[fitted])
                probabilities[np.ix_(held_out, classes)] = probe.predict_proba(reduced[held_out])
            else:
                probabilities[np.ix_(held_out, classes)] = 1
            advance()
    return probabilities


def _folds(labels: np.ndarray, groups: np.ndarray, *, seed: int) -> np.ndarray:
    """Return the fold of each example, int64 [n]: whole groups, and each class in all folds as far as possible."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(first))
    by_class = shuffled[np.argsort(labels[first[shuffled]], kind="stable")]
    folds = np.empty(len(first), np.int64)
    folds[by_class] = np.arange(len(first)) % _FOLDS
    return folds[inverse]


def thresholds(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return t_j: the mean probability of class j among the examples labelled j (equation 2).

    Args:
        probabilities: float [n, classes].
        labels: int64 [n].
    """
    classes = range(probabilities.shape[1])
    return np.array([probabilities[labels == j, j].mean() if (labels == j).any() else np.inf for j in classes])


def confident_classes(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the class that each example confidently has, int64 [n]; -1 if it reaches no threshold.

    If it reaches several thresholds, the class with the highest probability counts (equation 1).

    Args:
        probabilities: float [n, classes].
        labels: int64 [n].
    """
    reaches = probabilities >= thresholds(probabilities, labels) - 1e-12
    best = np.where(reaches, probabilities, -1).argmax(1)
    return np.where(reaches.any(1), best, -1)


def confident_joint(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Count examples labelled i that are confidently of class j, int64 [classes, classes] (equation 1).

    Args:
        probabilities: float [n, classes].
        labels: int64 [n].
    """
    count = probabilities.shape[1]
    confident = confident_classes(probabilities, labels)
    joint = np.zeros((count, count), np.int64)
    np.add.at(joint, (labels[confident >= 0], confident[confident >= 0]), 1)
    return joint


def joint_counts(joint: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Scale the confident joint so that its rows sum to the number of examples with each label (equation 3).

    Args:
        joint: From `confident_joint`.
        labels: int64 [n].

    Returns:
        float64 [classes, classes]: n times the joint distribution of labels and true classes.
    """
    sizes = np.bincount(labels, minlength=len(joint)).astype(np.float64)
    totals = joint.sum(1, keepdims=True)
    shares = np.where(totals > 0, joint / np.maximum(totals, 1), np.eye(len(joint)))
    return shares * sizes[:, None]


def label_issues(probabilities: np.ndarray, labels: np.ndarray) -> LabelIssues:
    """Find likely wrong labels: "prune by noise rate" among the examples that are confidently of another class.

    The estimated joint distribution gives, for each label i and class j, the number of examples that are labelled i and
    belong to class j. That many examples with the largest margin p_j - p_i are taken, if they are confidently of class
    j and the margin is at least MIN_MARGIN: smaller ones are mostly hard examples.

    Args:
        probabilities: Out-of-fold probabilities, float [n, classes].
        labels: int64 [n].
    """
    joint = joint_counts(confident_joint(probabilities, labels), labels)
    confident = confident_classes(probabilities, labels)
    label_probabilities = probabilities[np.arange(len(labels)), labels]
    rows: list[np.ndarray] = []
    for label, other in zip(*np.nonzero(joint), strict=True):
        if label != other:
            candidates = np.flatnonzero((labels == label) & (confident == other))
            margin = probabilities[candidates, other] - label_probabilities[candidates]
            order = np.argsort(-margin, kind="stable")[: round(joint[label, other])]
            rows.append(candidates[order][margin[order] >= MIN_MARGIN])
    suspects = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    margins = probabilities[suspects, confident[suspects]] - label_probabilities[suspects]
    order = np.argsort(-margins, kind="stable")
    return LabelIssues(suspects[order], confident[suspects][order], margins[order])
