"""Matching of predicted with true boxes; tests/tasks/boxes/test_evaluator.py compares it with pycocotools."""

import numpy as np

from tltk.tasks.boxes.matching import match, overlaps_of


def matches(detections, truth, ignored):
    detections, truth = np.array(detections, float), np.array(truth, float)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (detections, truth)]
    return match(overlaps_of(detections, truth, np.array(ignored)), *areas, np.array(ignored))


def test_each_true_box_matches_once_and_an_ignored_one_any_number_of_times():
    result = matches([[0, 0, 10, 10], [0, 0, 10, 10], [50, 0, 60, 10], [50, 0, 60, 10]],
                     [[0, 0, 10, 10], [50, 0, 60, 10]], [False, True])  # fmt: skip
    assert result.is_matched[0, 0].tolist() == [True, False, True, True]
    assert result.is_ignored[0, 0].tolist() == [False, False, True, True]
    assert result.counts.tolist() == [1, 1, 0, 0] and result.partners.tolist() == [0, -1, 1, 1]


def test_a_box_inside_a_crowd_overlaps_it_whole():
    overlaps = overlaps_of(np.array([[0.0, 0, 5, 5]]), np.array([[0.0, 0, 10, 10]] * 2), np.array([True, False]))
    np.testing.assert_allclose(overlaps, [[1.0, 0.25]])


def test_a_closer_box_must_overlap_more():
    result = matches([[0, 0, 10, 8]], [[0, 0, 10, 10]], [False])
    assert result.is_matched[0, :, 0].tolist() == [True] * 7 + [False] * 3  # 0.8 matches up to the threshold 0.8
