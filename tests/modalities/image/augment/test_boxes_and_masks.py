"""Boxes and masks under affine maps, compared with values computed by hand."""

import numpy as np
import pytest
import tensorflow as tf

from tltk.modalities.image.augment.boxes_and_masks import move_targets

IMAGES = tf.zeros([1, 8, 10, 3])  # height 8, width 10
UNMOVED = [[1, 0, 0], [0, 1, 0]]
ONE_TO_THE_LEFT = [[1, 0, 1], [0, 1, 0]]  # pixel (x, y) of the result is pixel (x + 1, y) of the original
TRANSPOSED = [[0, 1, 0], [1, 0, 0]]


def moved(matrix, **targets):
    result = move_targets(
        {key: tf.constant(value) for key, value in targets.items()}, tf.constant([matrix], tf.float32), IMAGES
    )
    return {key: value.numpy() for key, value in result.items()}


def moved_box(matrix, *box, label=5):
    result = moved(matrix, boxes=np.array([[box]], "float32"), labels=[[label]])
    return result["boxes"][0, 0].tolist(), result["labels"][0, 0]


def test_the_identity_leaves_boxes_bit_for_bit():
    box = np.array([0.1, 3.3, 7.7, 9.123], "float32")
    assert moved_box(UNMOVED, *box) == (box.tolist(), 5)


def test_a_shifted_box_is_clipped_at_the_edge():
    assert moved_box(ONE_TO_THE_LEFT, 2, 3, 5, 6) == ([2, 2, 5, 5], 5)
    assert moved_box(ONE_TO_THE_LEFT, 2, 0, 5, 4) == ([2, 0, 5, 3], 5)


def test_a_box_of_which_less_than_30_percent_is_left_is_marked_as_empty():
    seven_to_the_left = [[1, 0, 7], [0, 1, 0]]
    assert moved_box(seven_to_the_left, 0, 0, 4, 10) == ([0, 0, 4, 3], 5), "3 of 10 columns are 30 %"
    assert moved_box([[1, 0, 7.5], [0, 1, 0]], 0, 0, 4, 10) == ([0, 0, 0, 0], -1)
    assert moved_box(ONE_TO_THE_LEFT, 1, 1, 1, 4) == ([0, 0, 0, 0], -1), "a box without area"


def test_a_mirrored_box_swaps_its_sides():
    assert moved_box([[-1, 0, 9], [0, 1, 0]], 1, 0, 3, 4) == ([1, 6, 3, 10], 5)
    assert moved_box([[1, 0, 0], [0, -1, 7]], 1, 0, 3, 4) == ([5, 0, 7, 4], 5)


def test_a_transposed_box_swaps_its_axes():
    assert moved_box(TRANSPOSED, 1, 2, 3, 6) == ([2, 1, 6, 3], 5)


def test_a_sheared_box_becomes_the_bounding_box_of_its_corners():
    sheared = [[1, 0.5, 0], [0, 1, 0]]  # centres: x' = x - y / 2
    # The corners (4, 2), (8, 2), (4, 4), (8, 4) are at 3.5 - 1.5 / 2 + 0.5 = 3.25, 7.25, 2.25, 6.25.
    assert moved_box(sheared, 2, 4, 4, 8) == ([2, 2.25, 4, 7.25], 5)


def test_rows_without_an_object_keep_their_position():
    boxes = np.array([[[0, 0, 0, 0], [1, 1, 3, 3]]], "float32")
    result = moved(ONE_TO_THE_LEFT, boxes=boxes, labels=[[-1, 0]])
    assert result["boxes"].tolist() == [[[0, 0, 0, 0], [1, 0, 3, 2]]]
    assert result["labels"].tolist() == [[-1, 0]]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "int64"])
def test_a_mask_is_ignored_outside_the_original_image(dtype):
    mask = np.arange(80).reshape(1, 8, 10).astype(dtype)
    result = moved(ONE_TO_THE_LEFT, masks=mask)["masks"]
    assert result.dtype == dtype
    np.testing.assert_array_equal(result[:, :, :-1], mask[:, :, 1:])
    assert (result[:, :, -1] == 255).all()


def test_other_targets_are_returned_unchanged():
    vectors = tf.eye(3)
    assert move_targets(vectors, tf.constant([UNMOVED], tf.float32), IMAGES) is vectors
    assert moved(TRANSPOSED, difficult=[[True, False]], weight=[0.5])["weight"].tolist() == [0.5]


def test_all_problems_of_targets_are_listed():
    with pytest.raises(ValueError, match=r'(?s)"boxes".*float32 \[b, n, 4\].*needs `targets\["labels"\]`'):
        moved(UNMOVED, boxes=[[[1, 2, 3, 4]]])
    with pytest.raises(ValueError, match=r'(?s)"labels".*uint8.*"masks".*int8'):
        moved(
            UNMOVED,
            boxes=np.zeros((1, 2, 4), "float32"),
            labels=np.zeros((1, 2), "uint8"),
            masks=np.zeros((1, 8, 10), "int8"),
        )
    with pytest.raises(ValueError, match=r"of the size of the images.*\(1, 4, 5\)"):
        moved(UNMOVED, masks=np.zeros((1, 4, 5), "uint8"))
    with pytest.raises(ValueError, match=r"'keypoints'.*cannot be moved"):
        moved(UNMOVED, keypoints=np.zeros((1, 5, 2), "float32"))


def test_the_error_for_ragged_targets_says_how_to_pad_them():
    boxes = tf.ragged.constant([[[0.0, 0, 1, 1]]], ragged_rank=1)
    with pytest.raises(ValueError, match=r"ragged.*to_tensor\(-1\)"):
        move_targets({"boxes": boxes, "labels": tf.ragged.constant([[1]])}, tf.constant([UNMOVED], tf.float32), IMAGES)
