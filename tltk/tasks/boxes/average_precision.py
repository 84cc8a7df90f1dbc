"""Average precision as COCO defines it, from the matches of single boxes."""

from dataclasses import dataclass
from itertools import product

import numpy as np

from tltk.tasks.boxes.matching import AREA_NAMES, THRESHOLDS, pack, unpack

_RECALLS = np.linspace(0, 1, 101)
_REPLICATES = 200  # of a bootstrap


@dataclass(frozen=True, eq=False)
class ClassMatches:
    """All predicted boxes of one class, sorted by descending score, and the number of true boxes in each image.

    Args:
        images: int64 [n], image of each predicted box.
        matched: uint64 [n], `Matches.is_matched` packed by `matching.pack`.
        ignored: uint64 [n], `Matches.is_ignored`.
        true_images: int64 [m], images with true boxes of this class.
        true_counts: int64 [m, areas], how many of them count.
    """

    images: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray
    true_images: np.ndarray
    true_counts: np.ndarray

    def scores(self, weights: np.ndarray, areas: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Compute average precision and recall.

        Args:
            weights: Weight of each image, float64 [images].
            areas: Ranges of areas to compute it for.

        Returns:
            float64 [areas, thresholds] each; NaN without true boxes.
        """
        totals = weights[self.true_images] @ self.true_counts[:, areas]
        shape = (len(totals), len(THRESHOLDS))
        precision, recall = np.full(shape, np.nan), np.full(shape, np.nan)
        box_weights = weights[self.images]
        # One threshold after the other, so that the memory does not grow by an array for each of them.
        for row, threshold in product(np.flatnonzero(totals > 0), range(len(THRESHOLDS))):
            area = range(len(AREA_NAMES))[areas][row]
            counted = np.where(unpack(self.ignored, area, threshold), 0.0, box_weights)
            is_right = unpack(self.matched, area, threshold)
            hits, misses = np.cumsum(counted * is_right), np.cumsum(counted * ~is_right)
            precisions = hits / (hits + misses + np.spacing(1))
            # At each recall, the best precision at this recall or a higher one.
            precisions = np.maximum.accumulate(precisions[::-1])[::-1]
            recalls = hits / totals[row]
            places = np.searchsorted(recalls, _RECALLS, side="left")
            precision[row, threshold] = precisions[places[places < len(recalls)]].sum() / len(_RECALLS)
            recall[row, threshold] = recalls[-1] if len(recalls) else 0.0
        return precision, recall


def precision_at(is_right: np.ndarray, count: int) -> float:
    """Compute the average precision of boxes that are right or wrong, at one threshold.

    Args:
        is_right: bool [n], sorted by descending score.
        count: Number of objects; without objects the average precision is 1.
    """
    if not count:
        return 1.0
    matched = pack(np.tile(is_right, (len(AREA_NAMES), len(THRESHOLDS), 1)))
    images = np.zeros(len(is_right), np.int64)
    counts = np.full((1, len(AREA_NAMES)), count)
    matches = ClassMatches(images, matched, np.zeros_like(matched), np.zeros(1, np.int64), counts)
    return float(matches.scores(np.ones(1), slice(0, 1))[0][0, 0])


def summary(classes: list[ClassMatches], weights: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
    """Compute the metrics of COCO.

    Args:
        classes: Matches of each class.
        weights: Weight of each image, float64 [images].

    Returns:
        Metric → value, for those that are defined; and the average precision of each class, float64 [classes, areas,
        thresholds], NaN without true boxes.
    """
    scores = [matches.scores(weights) for matches in classes]
    precision, recall = (np.stack(column) for column in zip(*scores, strict=True))
    half, three_quarters = 0, int(np.flatnonzero(np.isclose(THRESHOLDS, 0.75))[0])
    selected = {
        "ap": precision[:, 0],
        "ap50": precision[:, 0, half],
        "ap75": precision[:, 0, three_quarters],
        **{f"ap_{name}": precision[:, area] for area, name in enumerate(AREA_NAMES) if area},
        "average_recall": recall[:, 0],
    }
    return {
        name: float(np.nanmean(values)) for name, values in selected.items() if not np.isnan(values).all()
    }, precision


def intervals(classes: list[ClassMatches], weights: np.ndarray, *, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Estimate 95 % intervals of "ap" and "ap50" by a bootstrap over images.

    Args:
        classes: Matches of each class.
        weights: Weight of each image, float64 [images].
        seed: Seed of the replicates.

    Returns:
        Metric → (low, high); empty for fewer than two images, or without true boxes.
    """
    if len(weights) < 2:
        return {}
    generator = np.random.default_rng(seed)
    replicates = []
    for _ in range(_REPLICATES):
        drawn = np.bincount(generator.integers(0, len(weights), len(weights)), minlength=len(weights))
        precision = np.stack([matches.scores(weights * drawn, slice(0, 1))[0][0] for matches in classes])
        if not np.isnan(precision).all():
            replicates.append((np.nanmean(precision), np.nanmean(precision[:, 0])))
    if not replicates:
        return {}
    low, high = np.percentile(replicates, [2.5, 97.5], axis=0)
    return {name: (float(low[place]), float(high[place])) for place, name in enumerate(("ap", "ap50"))}
