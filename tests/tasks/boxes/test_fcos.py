"""The targets of FCOS against a loop that follows the paper's text."""

import numpy as np
import pytest
import tensorflow as tf

from tltk.modalities.image.letterbox import level_sizes
from tltk.tasks.boxes.fcos import BACKGROUND, IGNORED, Grid, assign, boxes_of

GRID = Grid((128, 96), level_sizes((128, 96), (8, 16, 32)))


def assigned_by_a_loop(boxes, labels, ignored, grid):
    """Section 3.2 of the paper and its centre sampling, position by position."""
    classes, distances = [], []
    ranges = [(0, 64), (64, 128), (128, np.inf)]
    for (rows, columns), stride, (low, high) in zip(grid.level_sizes, (8, 16, 32), ranges, strict=True):
        for row in range(rows):
            for column in range(columns):
                y, x = (row + 0.5) * stride, (column + 0.5) * stride
                best, result, is_ignored = np.inf, (BACKGROUND, (0, 0, 0, 0)), False
                for (top, left, bottom, right), label, ignore in zip(boxes, labels, ignored, strict=True):
                    edges = (y - top, x - left, bottom - y, right - x)
                    if label < 0 or min(edges) <= 0:
                        continue
                    if ignore:
                        is_ignored = True
                        continue
                    is_central = max(abs(y - (top + bottom) / 2), abs(x - (left + right) / 2)) < 1.5 * stride
                    if is_central and low < max(edges) <= high and (bottom - top) * (right - left) < best:
                        best, result = (bottom - top) * (right - left), (label, edges)
                if result[0] == BACKGROUND and is_ignored:
                    result = (IGNORED, (0, 0, 0, 0))
                classes.append(result[0])
                distances.append(result[1])
    return np.array(classes), np.array(distances)


def random_objects(seed, count=6):
    generator = np.random.default_rng(seed)
    size = generator.uniform(4, 120, (count, 2)) * generator.uniform(0.3, 1, (count, 1))
    low = generator.uniform(0, 1, (count, 2)) * np.maximum([128, 96] - size, 0)
    boxes = np.concatenate([low, np.minimum(low + size, [128, 96])], 1).astype("float32")
    return boxes, generator.integers(-1, 4, count).astype("int32"), generator.uniform(size=count) < 0.2


def test_the_assignment_follows_the_paper():
    scenes = [random_objects(seed) for seed in range(8)]
    columns = [tf.constant(np.stack(column)) for column in zip(*scenes, strict=True)]
    classes, distances = tf.function(lambda *targets: assign(*targets, GRID))(*columns)
    occurring = set()
    for scene, own_classes, own_distances in zip(scenes, classes.numpy(), distances.numpy(), strict=True):
        expected_classes, expected_distances = assigned_by_a_loop(*scene, GRID)
        np.testing.assert_array_equal(own_classes, expected_classes)
        np.testing.assert_allclose(own_distances, expected_distances, atol=1e-4)
        occurring |= set(own_classes.tolist())
    assert {IGNORED, BACKGROUND, 0, 1, 2, 3} <= occurring


def test_images_without_objects_are_background():
    classes, distances = assign(tf.zeros([2, 0, 4]), tf.zeros([2, 0], tf.int32), tf.zeros([2, 0], tf.bool), GRID)
    assert set(classes.numpy().ravel()) == {BACKGROUND}
    assert not distances.numpy().any()


def test_the_distances_of_a_position_lead_back_to_its_object():
    boxes, labels = tf.constant([[[10.0, 20.0, 60.0, 75.0]]]), tf.constant([[2]])
    classes, distances = assign(boxes, labels, tf.constant([[False]]), GRID)
    found = boxes_of(distances, GRID).numpy()[classes.numpy() == 2]
    assert len(found) > 4
    np.testing.assert_allclose(found, np.broadcast_to(boxes[0, 0], found.shape), atol=1e-4)


@pytest.mark.parametrize(
    ("size", "levels"), [((100, 60), ((13, 8), (7, 4), (4, 2))), ((32, 32), ((4, 4), (2, 2), (1, 1)))]
)
def test_the_positions_cover_inputs_of_any_size(size, levels):
    grid = Grid(size, level_sizes(size, (8, 16, 32)))
    assert grid.level_sizes == levels
    centres = grid.centres()
    assert len(centres) == sum(grid.counts) == len(grid.size_ranges()) == len(grid.radii())
    assert (centres > 0).all() and (centres < size).all()
