"""The evaluator of object detection: average precision as COCO defines it, image by image."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tltk.tasks.boxes.average_precision import ClassMatches, intervals, summary
from tltk.tasks.boxes.error_kinds import KINDS, Detections, image_errors, lost_precision
from tltk.tasks.boxes.matching import AREA_NAMES, match, overlaps_of, pack, unpack
from tltk.tasks.class_scores import absent, weights_or_ones
from tltk.tasks.records import ReportParts
from tltk.tasks.worst import Worst

_MISTAKES = 50  # listed in a report
# Kind of error → how a report calls and explains it.
_NOUNS = {
    "missed": "missed",
    "class": "wrong class",
    "box": "poor box",
    "both": "wrong class and poor box",
    "duplicate": "duplicate",
    "background": "background",
}
_MEANINGS = {
    "missed": "an object without a box",
    "class": "an object detected as another class",
    "box": "an object detected with an overlap of only 0.1 to 0.5",
    "both": "an object of another class, with an overlap of only 0.1 to 0.5",
    "duplicate": "a second box for an object that is already detected",
    "background": "a box where there is no object",
}


class DetectionEvaluator:
    """Computes average precision as COCO's evaluation does, and the precision lost by each kind of error.

    Only the score and the matches of each predicted box are kept, about 40 bytes: images and boxes of a test set need
    not fit in memory.

    Args:
        names: Classes.
        threshold: Score from which boxes count in the numbers of errors and in the choice of the worst images.

    Examples:
        >>> evaluator = DetectionEvaluator(["cat"])
        >>> box = [[[0.0, 0.0, 10.0, 10.0]]]
        >>> targets = {"boxes": box, "labels": [[0]], "ignored": [[False]], "areas": [[100.0]]}
        >>> decoded = {"boxes": np.array(box), "scores": [[0.9]], "labels": [["cat"]], "count": [1]}
        >>> evaluator.update(targets, decoded, ["image 0"])
        >>> round(evaluator.result().metrics["ap"], 6)
        1.0
    """

    def __init__(self, names: Sequence[str], *, threshold: float = 0.3) -> None:
        self.names, self.threshold = tuple(names), threshold
        self.worst = Worst()
        self.errors: Counter[str] = Counter()  # kind → number of boxes above the threshold, and of missed objects
        self.weights: list[float] = []
        self.detections: list[np.ndarray] = []  # rows of _DETECTION
        self.truth: list[np.ndarray] = []  # rows of image, class, counts by area
        self.missed = np.zeros(len(self.names), np.int64)  # objects without a matching box
        self.object_count = 0
        self.mistakes: list[dict[str, Any]] = []  # the wrong boxes with the highest scores

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
            truth = np.asarray(targets["boxes"][row], np.float64).reshape(-1, 4)[is_object], ignored, areas
            count = int(decoded["count"][row])
            order = np.argsort(-np.asarray(decoded["scores"][row][:count], np.float64), kind="stable")
            boxes = np.asarray(decoded["boxes"][row][:count], np.float64).reshape(-1, 4)[order]
            scores = np.asarray(decoded["scores"][row][:count], np.float64)[order]
            classes = np.array([number_of[decoded["labels"][row][place]] for place in order], np.int64)
            rows, missed = self._add(image, labels[is_object], truth, classes, boxes, scores)
            self._remember_mistakes(rows, ids[row])
            self._rank(ids[row], rows, missed)

    def _add(
        self,
        image: int,
        true_classes: np.ndarray,
        truth: tuple[np.ndarray, np.ndarray, np.ndarray],
        classes: np.ndarray,
        boxes: np.ndarray,
        scores: np.ndarray,
    ) -> tuple[np.ndarray, int]:
        """Add an image; return the rows of its predicted boxes and the number of objects missed above the threshold."""
        true_boxes, ignored, areas = truth
        overlaps = overlaps_of(boxes, true_boxes, ignored)
        detection_areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        packed, partners = np.zeros(len(classes), _DETECTION), np.full(len(classes), -1)
        for number in np.union1d(true_classes, classes):
            true_rows, rows = np.flatnonzero(true_classes == number), np.flatnonzero(classes == number)
            true_areas = areas[true_rows].astype(np.float64)
            matches = match(overlaps[rows][:, true_rows], detection_areas[rows], true_areas, ignored[true_rows])
            if matches.counts.any():
                self.truth.append(np.array([image, number, *matches.counts]))
            packed[rows] = _packed(image, int(number), scores[rows], matches.is_matched, matches.is_ignored)
            is_partner = matches.partners >= 0
            partners[rows[is_partner]] = true_rows[matches.partners[is_partner]]
        missed = self._add_errors(packed, overlaps, true_classes, ignored, partners)
        self.detections.append(packed)
        return packed, missed

    def _add_errors(
        self,
        packed: np.ndarray,
        overlaps: np.ndarray,
        true_classes: np.ndarray,
        ignored: np.ndarray,
        partners: np.ndarray,
    ) -> int:
        """Add the kinds of error to the rows of an image; return the number of objects missed above the threshold."""
        counted = np.flatnonzero(~ignored)
        place = np.full(len(ignored) + 1, -1)  # the last one is that of partner -1
        place[counted] = np.arange(len(counted))
        is_settled = unpack(packed["matched"] | packed["ignored"], 0, 0)
        counted_classes = true_classes[counted]
        errors = image_errors(overlaps[:, counted], packed["class"], counted_classes, is_settled, place[partners])
        objects = np.where(errors.objects >= 0, errors.objects, place[partners])
        packed["kind"] = errors.kinds
        packed["object"] = np.where(objects >= 0, objects + self.object_count, -1)
        packed["true_class"] = np.append(counted_classes, -1)[objects]
        self.missed += np.bincount(counted_classes[errors.missed], minlength=len(self.names))
        self.object_count += len(counted)
        is_sure = packed["score"] >= self.threshold
        return len(counted) - len(np.unique(objects[is_sure & (objects >= 0)]))

    def _rank(self, example_id: str, rows: np.ndarray, missed: int) -> None:
        """Count the errors of an image, and keep it if it is one of the worst."""
        wrong = rows[(rows["kind"] >= 0) & (rows["score"] >= self.threshold)]
        errors = Counter({"missed": missed} if missed else {})
        errors.update(KINDS[kind] for kind in wrong["kind"])
        self.errors.update(errors)
        text = ", ".join(f"{_NOUNS[kind]}: {count}" for kind, count in errors.items())
        self.worst.add(example_id, missed + float(wrong["score"].sum()), text)

    def _remember_mistakes(self, rows: np.ndarray, example_id: str) -> None:
        for row in rows[rows["kind"] >= 0][:_MISTAKES]:
            names = (*self.names, "nothing")
            self.mistakes.append(
                {
                    "example_id": example_id,
                    "true": names[row["true_class"]],
                    "predicted": names[row["class"]],
                    "probability": float(row["score"]),
                    "error": KINDS[row["kind"]],
                }
            )
        self.mistakes = sorted(self.mistakes, key=lambda mistake: -mistake["probability"])[:_MISTAKES]

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
        lost = self._lost(counts.tolist()) if counts.any() else {}
        metrics |= {f"lost_{kind}": points for kind, points in lost.items()}
        return ReportParts(
            {"ap": 0.0, "ap50": 0.0, **metrics},
            rows,
            mistakes=tuple(self.mistakes),
            notes=absent(self.names, counts, "ap is the mean of the other classes"),
            tables={self._errors_title: [self._errors_row(kind, lost) for kind in ("missed", *KINDS)]},
            worst=self.worst.rows(),
            worst_title=(
                f"Worst images: with the largest sum of missed objects, which count 1, and of the scores of wrong "
                f"boxes. Boxes with a score of at least {self.threshold:g} count. Solid: prediction, dashed: truth"
            ),
        )

    @property
    def _errors_title(self) -> str:
        return (
            f"Kinds of error: how many there are among the boxes with a score of at least {self.threshold:g}, and by "
            "how much ap50 would rise without them (TIDE, Bolya et al. 2020)"
        )

    def _errors_row(self, kind: str, lost: Mapping[str, float]) -> dict[str, Any]:
        row = {"error": _NOUNS[kind], "meaning": _MEANINGS[kind], "count": self.errors[kind]}
        return {**row, "metric": f"lost_{kind}", "points of ap50": lost.get(kind)}

    def _lost(self, counts: list[int]) -> Mapping[str, float]:
        """Return the points of `ap50` that each kind of error costs; sample weights do not count."""
        detections = self._sorted()
        detections = detections[~unpack(detections["ignored"], 0, 0)]
        is_right = unpack(detections["matched"], 0, 0)
        objects = detections["object"].astype(np.int64)
        is_taken = np.isin(objects, objects[is_right])
        classes, kinds, true_classes = (detections[name] for name in ("class", "kind", "true_class"))
        boxes = Detections(classes, is_right, kinds, objects, true_classes, is_taken)
        return lost_precision(boxes, counts, self.missed.tolist())

    def _sorted(self) -> np.ndarray:
        """Return the rows of all predicted boxes, sorted by descending score."""
        detections = np.concatenate([np.zeros(0, _DETECTION), *self.detections])
        return detections[np.argsort(-detections["score"], kind="stable")]

    def _classes(self) -> list[ClassMatches]:
        """Return the matches of each class, sorted by descending score."""
        detections = self._sorted()
        truth = np.concatenate([np.zeros((0, 2 + len(AREA_NAMES)), np.int64), *(row[None] for row in self.truth)])
        parts = []
        for number in range(len(self.names)):
            rows, true_rows = detections[detections["class"] == number], truth[truth[:, 1] == number]
            images, matched, ignored = (np.ascontiguousarray(rows[name]) for name in ("image", "matched", "ignored"))
            parts.append(ClassMatches(images, matched, ignored, true_rows[:, 0], true_rows[:, 2:]))
        return parts


_DETECTION = np.dtype(
    [
        ("image", np.int32),
        ("class", np.int32),
        ("score", np.float64),
        ("matched", np.uint64),
        ("ignored", np.uint64),
        ("kind", np.int8),
        ("object", np.int32),
        ("true_class", np.int32),
    ]
)


def _packed(image: int, number: int, scores: np.ndarray, matched: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    """Return rows of predicted boxes, in which the flags [areas, thresholds, n] are bits."""
    rows = np.zeros(len(scores), _DETECTION)
    rows["image"], rows["class"], rows["score"] = image, number, scores
    for name, flags in (("matched", matched), ("ignored", ignored)):
        rows[name] = pack(flags)
    return rows
