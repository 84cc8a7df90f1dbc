"""Average precision of hand-made matches; tests/tasks/boxes/test_evaluator.py compares it with pycocotools."""

import numpy as np
import pytest

from tltk.tasks.boxes.average_precision import ClassMatches, intervals, summary
from tltk.tasks.boxes.matching import pack


def class_matches(right, *, objects, images=None):
    """Return matches that are equal in all areas and thresholds."""
    matched = pack(np.broadcast_to(np.array(right, bool), (4, 10, len(right))))
    images = np.zeros(len(right), int) if images is None else np.array(images)
    counts = np.tile([[objects] * 4], (images.max(initial=0) + 1, 1))
    return ClassMatches(images, matched, np.zeros_like(matched), np.arange(len(counts)), counts)


def test_precision_is_averaged_over_101_recalls():
    metrics, _ = summary([class_matches([True, False, True], objects=2)], np.ones(1))
    # Up to a recall of one half the precision is 1, and behind it two thirds.
    for name in ("ap", "ap75", "ap_large"):
        assert metrics[name] == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert metrics["average_recall"] == 1


def test_classes_without_objects_do_not_count():
    classes = [class_matches([True], objects=1), class_matches([False], objects=0)]
    metrics, precision = summary(classes, np.ones(1))
    assert metrics["ap"] == pytest.approx(1) and np.isnan(precision[1]).all()


def test_the_interval_of_equal_images_is_a_point_and_of_one_image_unknown():
    classes = [class_matches([True, True, True], objects=1, images=[0, 1, 2])]
    assert intervals(classes, np.ones(3))["ap"] == pytest.approx((1, 1))
    assert intervals(classes, np.ones(1)) == {}
