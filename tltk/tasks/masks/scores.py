"""The evaluator of semantic segmentation: confusion matrix of pixels, and boundaries."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tltk.data.masks import IGNORE
from tltk.tasks.class_scores import absent, weights_or_ones
from tltk.tasks.records import ReportParts
from tltk.tasks.worst import Worst

_SAMPLES, _BOUNDS = 400, (0.025, 0.975)  # resampled test sets, and the bounds of 95 % of them
_FEWEST = 2  # images for an interval
_PAIRS = 10  # confusions in a report
_TOLERANCE = 0.0075  # of the diagonal of an image, within which boundaries agree (Csurka et al. 2013)


class SegmentationEvaluator:
    """Computes intersection over union, accuracy and F1 of boundaries, image by image, in constant memory.

    Args:
        names: Classes.

    Examples:
        >>> evaluator = SegmentationEvaluator(["sky", "sea"])
        >>> targets = {"masks": np.array([[[0, 0], [1, 1]]], "uint8")}
        >>> decoded = {"classes": np.array([[[0, 0], [0, 1]]], "uint8"), "sizes": [[2, 2]]}
        >>> evaluator.update(targets, decoded, ["image 0"])
        >>> round(evaluator.result().metrics["mean_iou"], 4)
        0.5833
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.confusion = np.zeros((len(names), len(names)))
        self.boundary = np.zeros(2)  # sums of F1 and of weights of images
        self.resampled = ResampledIoU(len(names))
        self.worst = Worst()

    def update(
        self,
        targets: Mapping[str, Any],
        decoded: Mapping[str, Any],
        ids: Sequence[str],
        sample_weight: np.ndarray | None = None,
    ) -> None:
        """Add a batch of images.

        Args:
            targets: "masks" uint8 [n, h, w], 255 for pixels that do not count.
            decoded: "classes" uint8 [n, h, w] and "sizes" [n, 2], of which an image takes the first rows and columns.
            ids: Id of each image.
            sample_weight: Weight of each image, float32 [n]; None if all count the same.
        """
        weights = weights_or_ones(sample_weight, len(ids))
        rows = zip(targets["masks"], decoded["classes"], decoded["sizes"], weights, strict=True)
        for example_id, (mask, classes, (height, width), weight) in zip(ids, rows, strict=True):
            true, predicted = mask[:height, :width], classes[:height, :width]
            confusion = confusion_matrix(true, predicted, len(self.names))
            self.confusion += weight * confusion
            self.resampled.add(confusion, float(weight))
            self._rank(example_id, confusion)
            score = boundary_f1(true, predicted)
            if score is not None:
                self.boundary += weight * np.array([score, 1])

    def _rank(self, example_id: str, confusion: np.ndarray) -> None:
        """Keep an image if it is one of those with the lowest mean IoU."""
        true, iou = confusion.sum(1), iou_of(confusion)
        if not true.any():
            return
        mean, lowest = float(iou[true > 0].mean()), int(np.where(true > 0, iou, np.inf).argmin())
        text = f"mean IoU {mean:.2f}; {self.names[lowest]} {iou[lowest]:.2f}"
        self.worst.add(example_id, 1 - mean, text)

    def _confused(self) -> list[dict[str, Any]]:
        """Return the most frequent confusions, as fractions of all pixels."""
        wrong = self.confusion * (1 - np.eye(len(self.names)))
        pairs = [
            np.unravel_index(place, wrong.shape) for place in np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS]
        ]
        return [
            {
                "true": self.names[true],
                "predicted": self.names[predicted],
                "fraction of the class": float(wrong[true, predicted] / self.confusion[true].sum()),
                "fraction of all pixels": float(wrong[true, predicted] / self.confusion.sum()),
            }
            for true, predicted in pairs
            if wrong[true, predicted]
        ]

    def result(self) -> ReportParts:
        """Return mean IoU, accuracy of pixels, mean accuracy and F1 of boundaries, and one row per class."""
        hits, true, predicted = self.confusion.diagonal(), self.confusion.sum(1), self.confusion.sum(0)
        occurs, total = true > 0, max(self.confusion.sum(), 1)
        iou, recall = iou_of(self.confusion), hits / np.maximum(true, 1e-12)
        intervals = self.resampled.intervals(occurs)
        by_class = np.full((2, len(iou)), np.nan) if intervals is None else intervals[1]
        precision = hits / np.maximum(predicted, 1e-12)
        rows = tuple(
            {
                "name": name,
                "iou": float(iou[number]) if occurs[number] else None,
                "iou_low": None if np.isnan(by_class[0, number]) else float(by_class[0, number]),
                "iou_high": None if np.isnan(by_class[1, number]) else float(by_class[1, number]),
                "precision": float(precision[number]) if predicted[number] else None,
                "recall": float(recall[number]) if occurs[number] else None,
                "pixels": float(true[number] / total),
            }
            for number, name in enumerate(self.names)
        )
        metrics = {
            "mean_iou": float(iou[occurs].mean()) if occurs.any() else 0.0,
            **({} if intervals is None else dict(zip(("mean_iou_low", "mean_iou_high"), intervals[0], strict=True))),
            "pixel_accuracy": float(hits.sum() / total),
            "mean_accuracy": float(recall[occurs].mean()) if occurs.any() else 0.0,
        }
        if self.boundary[1]:
            metrics["boundary_f1"] = float(self.boundary[0] / self.boundary[1])
        notes = absent(self.names, true, "mean_iou and mean_accuracy are the means of the other classes")
        tables = {"Commonest confusions: pixels of one class that were taken for another": self._confused()}
        return ReportParts(
            metrics,
            rows,
            notes=notes,
            tables=tables,
            worst=self.worst.rows(),
            worst_title="Worst images: with the lowest IoU, mean over the classes that are in the image",
        )


class ResampledIoU:
    """Intervals of intersection over union by a bootstrap over images, in constant memory.

    Each resampled test set counts every image a number of times that is drawn from a Poisson distribution with the mean
    1, so that images can be added one by one (Chamandy et al. 2012, "Estimating uncertainty for massive data streams").

    Args:
        classes: Number of classes.
    """

    def __init__(self, classes: int) -> None:
        # Pixels of intersection and union, and true pixels, in each resampled test set.
        self.sums = np.zeros((_SAMPLES, 3, classes))
        self.generator = np.random.default_rng(0)
        self.count = 0

    def add(self, confusion: np.ndarray, weight: float) -> None:
        """Add an image.

        Args:
            confusion: int64 [classes, classes], its pixels by true and predicted class.
            weight: Weight of the image.
        """
        self.count += 1
        hits = confusion.diagonal()
        true = confusion.sum(1)
        pixels = np.stack([hits, confusion.sum(0) + true - hits, true])
        self.sums += weight * self.generator.poisson(1.0, _SAMPLES)[:, None, None] * pixels

    def intervals(self, occurs: np.ndarray) -> tuple[tuple[float, float], np.ndarray] | None:
        """Return the 95 % interval of the mean IoU, and those of the classes.

        Args:
            occurs: bool [classes], the classes over which the mean is.

        Returns:
            Lower and upper bound of the mean; float64 [2, classes], NaN for classes that do not occur. None for fewer
            than two images, or without a class.
        """
        if self.count < _FEWEST or not occurs.any():
            return None
        hits, union, true = self.sums[:, 0], self.sums[:, 1], self.sums[:, 2]
        iou = np.divide(hits, union, out=np.full(hits.shape, np.nan), where=(true > 0) & occurs)
        iou = iou[~np.isnan(iou).all(1)]
        by_class = np.full((2, len(occurs)), np.nan)
        by_class[:, occurs] = np.nanquantile(iou[:, occurs], _BOUNDS, axis=0)
        low, high = np.quantile(np.nanmean(iou, 1), _BOUNDS)
        return (float(low), float(high)), by_class


def iou_of(confusion: np.ndarray) -> np.ndarray:
    """Return the intersection over union of each class, float64 [classes]; 0 for those that do not occur.

    Args:
        confusion: Pixels by true and predicted class, [classes, classes].
    """
    hits = confusion.diagonal()
    return hits / np.maximum(confusion.sum(0) + confusion.sum(1) - hits, 1e-12)


def confusion_matrix(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Count pixels by true and predicted class, int64 [classes, classes]; pixels with the true value 255 do not count.

    Args:
        true: uint8 [h, w].
        predicted: uint8 [h, w], below `classes`.
        classes: Number of classes.
    """
    valid = true != IGNORE
    pairs = true[valid].astype(np.int64) * classes + predicted[valid]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def boundary_f1(true: np.ndarray, predicted: np.ndarray) -> float | None:
    """Compute the F1 of the boundaries of classes, averaged over the classes with a boundary (Csurka et al. 2013).

    A pixel at a boundary is right if a boundary of the same class in the other map is near: within 0.75 % of the
    diagonal along both axes.

    Args:
        true: uint8 [h, w]; pixels with the value 255 do not count.
        predicted: uint8 [h, w].

    Returns:
        F1 in [0, 1]; None if no class has a boundary in either map.
    """
    radius = max(1, round(_TOLERANCE * float(np.hypot(*true.shape))))
    valid = true != IGNORE
    scores = []
    for number in np.union1d(np.unique(true[valid]), np.unique(predicted[valid])):
        true_boundary, predicted_boundary = (_boundary(mask == number) & valid for mask in (true, predicted))
        if not true_boundary.any() and not predicted_boundary.any():
            continue
        precision = (predicted_boundary & _near(true_boundary, radius)).sum() / max(predicted_boundary.sum(), 1)
        recall = (true_boundary & _near(predicted_boundary, radius)).sum() / max(true_boundary.sum(), 1)
        scores.append(2 * precision * recall / max(precision + recall, 1e-12))
    return float(np.mean(scores)) if scores else None


def _boundary(region: np.ndarray) -> np.ndarray:
    """Return the pixels of a region with a neighbour outside of it; the border of the image does not count."""
    inside = np.pad(region, 1, mode="edge")
    is_inner = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    return region & ~is_inner


def _near(pixels: np.ndarray, radius: int) -> np.ndarray:
    """Return the pixels within `radius` rows and columns of a given pixel."""
    counts = np.pad(pixels, ((radius + 1, radius), (radius + 1, radius))).astype(np.int32).cumsum(0).cumsum(1)
    side = 2 * radius + 1
    return counts[side:, side:] - counts[:-side, side:] - counts[side:, :-side] + counts[:-side, :-side] > 0
