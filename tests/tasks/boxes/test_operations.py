"""Overlaps of boxes against shapely-free references: counting pixels, and loops."""

import numpy as np

from tltk.tasks.boxes.operations import area, giou, iou, pairwise_iou


def random_boxes(count, seed, side=20):
    generator = np.random.default_rng(seed)
    corners = np.sort(generator.integers(0, side, (count, 2, 2)), axis=1)
    return np.concatenate([corners[:, 0], corners[:, 1]], 1).astype("float32")


def drawn(box, side=20):
    mask = np.zeros((side, side), bool)
    y_min, x_min, y_max, x_max = box.astype(int)
    mask[y_min:y_max, x_min:x_max] = True
    return mask


def test_the_overlap_equals_that_of_drawn_boxes():
    boxes, others = random_boxes(100, 0), random_boxes(100, 1)
    expected = []
    for box, other in zip(boxes, others, strict=True):
        first, second = drawn(box), drawn(other)
        expected.append((first & second).sum() / max((first | second).sum(), 1))
    np.testing.assert_allclose(iou(boxes, others), expected, atol=1e-6)
    np.testing.assert_allclose(np.diag(pairwise_iou(boxes, others)), expected, atol=1e-6)
    assert pairwise_iou(boxes[:3], others).shape == (3, 100)


def test_giou_subtracts_the_uncovered_share_of_the_enclosing_box():
    boxes, others = random_boxes(100, 2), random_boxes(100, 3)
    boxes[:, 2:] += 1
    others[:, 2:] += 1
    for box, other, value in zip(boxes, others, np.asarray(giou(boxes, others)), strict=True):
        first, second = drawn(box, 22), drawn(other, 22)
        rows, columns = np.nonzero(first | second)
        enclosing = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        union = (first | second).sum()
        assert abs(value - ((first & second).sum() / union - (enclosing - union) / enclosing)) < 1e-6


def test_boxes_without_area_overlap_nothing():
    empty, box = [3.0, 3.0, 3.0, 3.0], [0.0, 0.0, 8.0, 8.0]
    assert float(iou(empty, box)) == float(iou(empty, empty)) == float(area(empty)) == 0
    assert np.isfinite(float(giou(empty, empty)))
