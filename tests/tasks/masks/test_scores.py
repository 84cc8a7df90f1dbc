"""Scores of class maps against scikit-learn."""

import pickle

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score

from tltk.tasks.masks.scores import ResampledIoU, SegmentationEvaluator, boundary_f1, iou_of
from tltk.tasks.masks.scores import confusion_matrix as confusion

NAMES = ("sky", "sea", "ship", "bird")  # no bird in any mask


def random_maps(seed, count=6):
    generator = np.random.default_rng(seed)
    sizes = generator.integers(10, 30, (count, 2))
    largest = sizes.max(0)
    masks, classes = np.full((2, count, *largest), 255, "uint8")
    for row, (height, width) in enumerate(sizes):
        mask = generator.integers(0, 3, (height, width))
        changed = generator.uniform(size=mask.shape) < 0.3
        classes[row, :height, :width] = np.where(changed, generator.integers(0, 4, mask.shape), mask)
        masks[row, :height, :width] = np.where(generator.uniform(size=mask.shape) < 0.1, 255, mask)
    return masks, classes, sizes


def test_scores_equal_those_of_scikit_learn():
    evaluator = SegmentationEvaluator(NAMES)
    pixels = []
    for seed in range(3):
        masks, classes, sizes = random_maps(seed)
        evaluator.update({"masks": masks}, {"classes": classes, "sizes": sizes}, ["x"] * len(sizes))
        pixels.append((masks[masks != 255], classes[masks != 255]))
    true, predicted = (np.concatenate(column) for column in zip(*pixels, strict=True))
    np.testing.assert_array_equal(evaluator.confusion, confusion_matrix(true, predicted, labels=range(4)))
    parts = evaluator.result()
    by_class = jaccard_score(true, predicted, labels=range(3), average=None)
    np.testing.assert_allclose([row["iou"] for row in parts.classes[:3]], by_class, atol=1e-9)
    assert abs(parts.metrics["mean_iou"] - by_class.mean()) < 1e-9
    assert abs(parts.metrics["pixel_accuracy"] - accuracy_score(true, predicted)) < 1e-9
    assert parts.classes[3]["iou"] is None and "'bird'" in parts.notes[0]


def test_images_are_weighted():
    masks, classes, sizes = random_maps(0)
    weighted, subset = SegmentationEvaluator(NAMES), SegmentationEvaluator(NAMES)
    weights = np.array([1, 0, 1, 0, 1, 0], "float32")
    weighted.update({"masks": masks}, {"classes": classes, "sizes": sizes}, ["x"] * 6, weights)
    rows = weights > 0
    subset.update({"masks": masks[rows]}, {"classes": classes[rows], "sizes": sizes[rows]}, ["x"] * 3)
    assert weighted.result().metrics == pytest.approx(subset.result().metrics)


def test_boundaries_agree_within_the_tolerance():
    true = np.zeros((100, 100), "uint8")
    true[30:60, 30:60] = 1
    assert boundary_f1(true, true) == 1
    assert boundary_f1(true, np.roll(true, 1, axis=1)) == 1  # the tolerance is one pixel
    assert boundary_f1(true, np.roll(true, 20, axis=(0, 1))) < 0.2
    assert boundary_f1(np.zeros_like(true), np.zeros_like(true)) is None
    assert boundary_f1(true, np.zeros_like(true)) == 0


def test_intervals_are_near_those_of_resampled_images_and_hold_the_value():
    evaluator, rows = SegmentationEvaluator(NAMES), []
    for seed in range(10):
        masks, classes, sizes = random_maps(seed)
        evaluator.update({"masks": masks}, {"classes": classes, "sizes": sizes}, ["x"] * len(sizes))
        for mask, found, (height, width) in zip(masks, classes, sizes, strict=True):
            rows.append(confusion(mask[:height, :width], found[:height, :width], 4))
    generator, resampled = np.random.default_rng(1), []
    for _ in range(1000):
        drawn = sum(rows[row] for row in generator.integers(0, len(rows), len(rows)))
        resampled.append(iou_of(drawn)[:3].mean())
    metrics = evaluator.result().metrics
    np.testing.assert_allclose(
        [metrics["mean_iou_low"], metrics["mean_iou_high"]], np.quantile(resampled, [0.025, 0.975]), atol=0.006
    )
    assert metrics["mean_iou_low"] < metrics["mean_iou"] < metrics["mean_iou_high"]
    first = evaluator.result().classes[0]
    assert first["iou_low"] < first["iou"] < first["iou_high"] and evaluator.result().classes[3]["iou_low"] is None
    single = SegmentationEvaluator(NAMES)
    single.update({"masks": masks[:1]}, {"classes": classes[:1], "sizes": sizes[:1]}, ["x"])
    assert "mean_iou_low" not in single.result().metrics


def test_the_worst_images_and_the_commonest_confusions_are_told():
    masks = np.zeros((4, 10, 10), "uint8")
    masks[:, :5] = 1
    classes = masks.copy()
    classes[1, :1] = 2  # ten pixels of sea are taken for a ship
    classes[2] = 1  # all sky for sea
    masks[3] = 255
    evaluator = SegmentationEvaluator(NAMES)
    evaluator.update({"masks": masks}, {"classes": classes, "sizes": [[10, 10]] * 4}, ["a", "b", "c", "d"])
    parts = evaluator.result()
    assert parts.worst == (
        {"example_id": "c", "error": "mean IoU 0.25; sky 0.00"},
        {"example_id": "b", "error": "mean IoU 0.90; sea 0.80"},
    )
    ((_, confused),) = parts.tables.items()
    assert [(row["true"], row["predicted"]) for row in confused] == [("sky", "sea"), ("sea", "ship")]
    assert confused[0]["fraction of the class"] == pytest.approx(1 / 3)
    assert confused[1]["fraction of all pixels"] == pytest.approx(10 / 300)


def test_its_memory_does_not_grow_with_the_images():
    sizes = []
    evaluator = SegmentationEvaluator(NAMES)
    for seed in range(60):
        masks, classes, size = random_maps(seed, count=10)
        names = [f"image {number:06d}" for number in range(10)]
        evaluator.update({"masks": masks}, {"classes": classes, "sizes": size}, names)
        sizes.append(len(pickle.dumps(evaluator)))
    assert sizes[-1] <= sizes[9] + 2000  # 100 of the worst are kept from the tenth batch on
    assert sizes[-1] < 50_000


def test_resampled_sets_without_a_class_do_not_count_for_its_interval():
    resampled = ResampledIoU(2)
    for true in ([[50, 0], [0, 50]], [[50, 50], [0, 0]], [[50, 50], [0, 0]]):  # the second class is in one image
        resampled.add(np.array(true), 1.0)
    (_, _), by_class = resampled.intervals(np.array([True, True]))
    assert by_class[0, 1] > 0, "0 would be the IoU of a set without a pixel of it"
