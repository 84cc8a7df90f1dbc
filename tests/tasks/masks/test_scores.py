"""Scores of class maps against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score

from tltk.tasks.masks.scores import SegmentationEvaluator, boundary_f1

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
