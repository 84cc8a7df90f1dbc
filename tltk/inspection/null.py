"""The null distribution: how much examples of different classes differ, as the baseline for near duplicates."""

import numpy as np

MIN_PAIRS = 50  # pairs of different classes from which a distribution is estimated
_TAIL = 0.05  # fraction of them that is its tail
_FEWEST = 20  # pairs in the tail
_CANDIDATE_QUANTILE = 0.99
_SAMPLED = 200_000
_DISTANT = 3.0  # the tail ends at this many times the limit or further out, where pairs are not duplicates


def min_cosine(features: np.ndarray, classes: np.ndarray | None, *, seed: int) -> float:
    """Return the cosine that 1 % of pairs of different classes exceed, from a sample.

    Args:
        features: float32 [n, channels], of length 1.
        classes: int64 [n], -1 for unlabelled examples; None takes all pairs.
        seed: Seed of the sample.
    """
    if not len(features):
        return -1.0
    generator = np.random.default_rng(seed)
    first, second = generator.integers(0, len(features), (2, _SAMPLED))
    differ = first != second
    if classes is not None:
        of_classes = differ & (classes[first] != classes[second]) & (classes[first] >= 0) & (classes[second] >= 0)
        differ = of_classes if of_classes.sum() >= MIN_PAIRS else differ
    first, second = first[differ], second[differ]
    if not len(first):
        return -1.0
    blocks = (slice(start, start + 8192) for start in range(0, len(first), 8192))
    cosines = [np.einsum("ij,ij->i", features[first[block]], features[second[block]]) for block in blocks]
    return float(np.quantile(np.concatenate(cosines), _CANDIDATE_QUANTILE))


def near_threshold(
    differences: np.ndarray, is_cross_class: np.ndarray, *, limit: float, false_alarms: float
) -> tuple[float, bool]:
    """Choose the largest difference of near duplicates so that few of the reported pairs are expected to be false.

    Hardly any candidates of different classes are duplicates. How many of them are below a small difference t is
    extrapolated from the smallest twentieth by a power law, whose exponent is estimated by the median, so that a few
    duplicates with wrong labels do not matter. Pairs of one class are more alike: their number is scaled by the ratio
    of both kinds at differences too large for duplicates.

    Args:
        differences: float [k] of the candidates, at least 0.
        is_cross_class: bool [k], whether the labels of a candidate differ.
        limit: Largest possible threshold.
        false_alarms: Largest expected fraction of false pairs among those below the threshold.

    Returns:
        The threshold, and whether it was estimated; if not, it is `limit`.
    """
    cross = np.sort(differences[is_cross_class])
    distant = np.flatnonzero(np.isfinite(cross) & (cross >= _DISTANT * limit))
    last = max(int(_TAIL * len(cross)), _FEWEST, int(distant[0]) if len(distant) else len(cross)) - 1
    if len(cross) < MIN_PAIRS or last >= len(cross) or not np.isfinite(cross[last]):
        return limit, False
    end = float(cross[last])
    tail = np.maximum(cross[: last + 1], 1e-6)
    exponent = np.log(2) / max(float(np.median(np.log(end / tail))), 1e-6)
    bulk = (differences > limit) & (differences <= end)
    ratio = bulk.sum() / max((bulk & is_cross_class).sum(), 1)
    candidates = np.sort(differences[differences <= limit])
    expected = (last + 1) * (candidates / end) ** exponent * ratio
    is_enough = expected <= false_alarms * np.arange(1, len(candidates) + 1)
    return (float(candidates[is_enough][-1]) if is_enough.any() else 0.0), True
