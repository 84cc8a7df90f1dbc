"""Non-maximum suppression against a loop in NumPy, and against TensorFlow's for one class."""

import numpy as np
import tensorflow as tf

from tltk.tasks.boxes.nms import suppress
from tltk.tasks.boxes.operations import pairwise_iou


def random_candidates(seed, count=60, classes=3):
    generator = np.random.default_rng(seed)
    low = generator.uniform(0, 60, (count, 2))
    boxes = np.concatenate([low, low + generator.uniform(5, 40, (count, 2))], 1).astype("float32")
    return boxes, generator.permutation(count * classes).reshape(count, classes).astype("float32") / (count * classes)


def kept_by_a_loop(boxes, scores, max_detections, min_score, max_iou):
    overlaps = np.asarray(pairwise_iou(boxes, boxes))
    rows = []
    for number in range(scores.shape[1]):
        kept = []
        for row in np.argsort(-scores[:, number]):
            if scores[row, number] > min_score and all(overlaps[row, other] <= max_iou for other in kept):
                kept.append(row)
        rows += [(scores[row, number], number, row) for row in kept[:max_detections]]
    return sorted(rows, reverse=True)[:max_detections]


def test_the_best_boxes_of_each_class_are_kept():
    images = [random_candidates(seed) for seed in range(4)]
    boxes, scores = (np.stack(column) for column in zip(*images, strict=True))
    for max_detections in (5, 100):
        options = {"max_detections": max_detections, "min_score": 0.2, "max_iou": 0.5}
        found, kept_scores, classes, counts = suppress(tf.constant(boxes), tf.constant(scores), **options)
        assert found.shape == (4, max_detections, 4)
        for image in range(4):
            expected = kept_by_a_loop(boxes[image], scores[image], max_detections, 0.2, 0.5)
            assert int(counts[image]) == len(expected)
            for place, (score, number, row) in enumerate(expected):
                assert (float(kept_scores[image, place]), int(classes[image, place])) == (float(score), number)
                np.testing.assert_array_equal(found[image, place], boxes[image, row])
            assert not found[image, len(expected) :].numpy().any()


def test_one_class_equals_tensorflows_suppression():
    boxes, scores = random_candidates(7, classes=1)
    rows = tf.image.non_max_suppression(boxes, scores[:, 0], 20, iou_threshold=0.4, score_threshold=0.1)
    options = {"max_detections": 20, "min_score": 0.1, "max_iou": 0.4}
    found, _, _, counts = suppress(tf.constant(boxes[None]), tf.constant(scores[None]), **options)
    np.testing.assert_array_equal(found[0, : int(counts[0])], boxes[rows.numpy()])
