"""The evaluator of object detection: average precision as COCO defines it, image by image."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tltk.tasks.boxes.average_precision import ClassMatches, intervals, summary
from tltk.tasks.boxes.matching import AREA_NAMES, THRESHOLDS, match, overlaps_of
from tltk.tasks.class_scores import absent, weights_or_ones
from tltk.tasks.records import ReportParts

_BITS = (len(AREA_NAMES), len(THRESHOLDS))


class DetectionEvaluator:
    """Computes average precision as COCO's evaluation does, and what kinds of error it loses.

    Of every found box only its score and its matches are kept, about 40 bytes: images and boxes of a test set need not
    fit in memory.

    Args:
        names: Classes.

    Examples:
        >>> evaluator = DetectionEvaluator(["cat"])
        >>> box = [[[0.0, 0.0, 10.0, 10.0]]]
        >>> targets = {"boxes": box, "labels": [[0]], "ignored": [[False]], "areas": [[100.0]]}
        >>> found = {"boxes": np.array(box), "scores": [[0.9]], "labels": [["cat"]], "count": [1]}
        >>> evaluator.update(targets, found, ["image 0"])
        >>> round(evaluator.result().metrics["ap"], 6)
        1.0
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.weights: list[float] = []
        self.found: list[np.ndarray] = []  # rows of _FOUND
        self.true: list[np.ndarray] = []  # rows of image, class, counts by area

    def update(
        self,
        targets: Mapping[str, Any],
        decoded: Mapping[str, Any],
        ids: Sequence[str],
        sample_weight: np.ndarray | None = None,
    ) -> None:
        """Add a batch of images.

        Args:
            targets: "boxes" [n, k, 4] in pixels of the original images, "labels", "ignored" and "areas" [n, k]; the
                label -1 is padding.
            decoded: "boxes" [n, 100, 4], "scores" and "labels" [n, 100], and "count" [n]; see `ObjectDetection.decode`.
            ids: Id of each image.
            sample_weight: Weight of each image, float32 [n]; None if all count the same.
        """
        weights = weights_or_ones(sample_weight, len(ids))
        number_of = {name: number for number, name in enumerate(self.names)}
        for row, weight in enumerate(weights.tolist()):
            image = len(self.weights)
            self.weights.append(weight)
            labels = np.asarray(targets["labels"][row])
            is_object = labels >= 0
            ignored, areas = (np.asarray(targets[name][row])[is_object] for name in ("ignored", "areas"))
            true = np.asarray(targets["boxes"][row], np.float64).reshape(-1, 4)[is_object], ignored, areas
            count = int(decoded["count"][row])
            order = np.argsort(-np.asarray(decoded["scores"][row][:count], np.float64), kind="stable")
            boxes = np.asarray(decoded["boxes"][row][:count], np.float64).reshape(-1, 4)[order]
            scores = np.asarray(decoded["scores"][row][:count], np.float64)[order]
            classes = np.array([number_of[decoded["labels"][row][place]] for place in order], np.int64)
            self._add(image, labels[is_object], true, classes, boxes, scores)

    def _add(
        self,
        image: int,
        true_classes: np.ndarray,
        true: tuple[np.ndarray, np.ndarray, np.ndarray],
        classes: np.ndarray,
        boxes: np.ndarray,
        scores: np.ndarray,
    ) -> None:
        true_boxes, ignored, areas = true
        overlaps = overlaps_of(boxes, true_boxes, ignored)
        found_areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        for number in np.union1d(true_classes, classes):
            own, rows = true_classes == number, np.flatnonzero(classes == number)
            matches = match(overlaps[rows][:, own], found_areas[rows], areas[own].astype(np.float64), ignored[own])
            if matches.counts.any():
                self.true.append(np.array([image, number, *matches.counts]))
            if len(rows):
                self.found.append(_packed(image, int(number), scores[rows], matches.is_matched, matches.is_ignored))

    def result(self) -> ReportParts:
        """Return average precision over thresholds, at 0.5 and 0.75, by size and by class, with intervals."""
        classes = self._classes()
        weights = np.array(self.weights, np.float64)
        metrics, precision = summary(classes, weights)
        for name, (low, high) in intervals(classes, weights).items():
            metrics |= {f"{name}_low": low, f"{name}_high": high}
        counts = np.array([matches.true_counts[:, 0].sum() for matches in classes])
        rows = tuple(
            {
                "name": name,
                "ap": None if np.isnan(values[0]).any() else float(values[0].mean()),
                "ap50": None if np.isnan(values[0]).any() else float(values[0, 0]),
                "objects": int(count),
            }
            for name, values, count in zip(self.names, precision, counts, strict=True)
        )
        notes = absent(self.names, counts, "ap is the mean of the other classes")
        return ReportParts({"ap": 0.0, "ap50": 0.0, **metrics}, rows, notes=notes)

    def _classes(self) -> list[ClassMatches]:
        """Return the matches of each class in the order of falling scores."""
        found = np.concatenate([np.zeros(0, _FOUND), *self.found])
        true = np.concatenate([np.zeros((0, 2 + len(AREA_NAMES)), np.int64), *(row[None] for row in self.true)])
        found = found[np.argsort(-found["score"], kind="stable")]
        parts = []
        for number in range(len(self.names)):
            own, own_true = found[found["class"] == number], true[true[:, 1] == number]
            matched, ignored = (_unpacked(own[name]) for name in ("matched", "ignored"))
            images = own["image"].astype(np.int64)
            parts.append(ClassMatches(images, matched, ignored, own_true[:, 0], own_true[:, 2:]))
        return parts


_FOUND = np.dtype(
    [("image", np.int32), ("class", np.int32), ("score", np.float64), ("matched", np.uint64), ("ignored", np.uint64)]
)
_PLACES = np.uint64(1) << np.arange(_BITS[0] * _BITS[1], dtype=np.uint64)


def _packed(image: int, number: int, scores: np.ndarray, matched: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    """Return rows of found boxes, in which the flags [areas, thresholds, n] are bits."""
    rows = np.zeros(len(scores), _FOUND)
    rows["image"], rows["class"], rows["score"] = image, number, scores
    for name, flags in (("matched", matched), ("ignored", ignored)):
        rows[name] = (flags.reshape(-1, len(scores)).T * _PLACES).sum(1, dtype=np.uint64)
    return rows


def _unpacked(bits: np.ndarray) -> np.ndarray:
    """Return flags, bool [n, areas, thresholds]."""
    return ((bits[:, None] & _PLACES) > 0).reshape(-1, *_BITS)
