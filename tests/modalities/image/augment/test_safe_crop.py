"""Crops that keep objects, scale jitter and mosaic: what becomes of objects, of images without any, and of others."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import squares
from tests.modalities.image.augment.examples import IGNORE, name_of, seed_of
from tltk import augment as a
from tltk.errors import InvalidInput
from tltk.modalities.batches import batches
from tltk.modalities.image.augment import build_copies, copies, move_targets
from tltk.modalities.image.augment.fixed_copies import build_moves
from tltk.specs import ImageSpec

RECORDS = (
    a.safe_crop(scale=(0.05, 0.1), ratio=(0.5, 2.0)),
    a.scale_jitter(scale_range=(0.5, 3.0)),
    a.mosaic(probability=1.0),
)
SIZE = 40
each_record = pytest.mark.parametrize("record", RECORDS, ids=name_of)


def example(boxes, labels=None, *, count=16, **entries):
    """Return a batch of equal images of noise with these boxes."""
    images = np.random.default_rng(0).uniform(50, 255, (1, SIZE, SIZE, 3)).astype("float32")
    boxes = np.array(boxes, "float32").reshape(1, -1, 4)
    targets = {
        "boxes": boxes,
        "labels": np.array([range(boxes.shape[1]) if labels is None else labels], "int32").reshape(1, -1),
        "ignored": np.zeros(boxes.shape[:2], bool),
        **{name: np.array([values]) for name, values in entries.items()},
    }
    repeated = tf.nest.map_structure(lambda values: tf.constant(np.repeat(values, count, 0)), targets)
    return tf.constant(np.repeat(images, count, 0)), repeated


def apply(record, images, targets, *seed):
    changed, moved = a.chain(record)(images, targets, seed_of(*(seed or (1, 2))))
    return changed.numpy(), tf.nest.map_structure(lambda values: values.numpy(), moved)


def test_a_safe_crop_contains_an_object_wholly_however_small_the_window():
    boxes = [[2, 3, 6, 9], [30, 31, 40, 40]]
    _, moved = apply(RECORDS[0], *example(boxes, count=64))
    kept = moved["labels"] >= 0
    assert kept.any(1).all()
    assert {tuple(row) for row in kept} >= {(True, False), (False, True)}, "each object is chosen sometimes"
    for row, column in np.argwhere(kept):
        top, left, bottom, right = moved["boxes"][row, column]
        height, width = np.subtract(boxes[column][2:], boxes[column][:2])
        if min(top, left) > 0 and max(bottom, right) < SIZE:  # not cut off
            assert SIZE * height / (bottom - top) < 20 and SIZE * width / (right - left) < 20, "a small window"


def test_a_window_grows_to_the_size_of_a_large_object():
    _, moved = apply(RECORDS[0], *example([[0, 1, 40, 39]]))
    assert (moved["boxes"][:, 0, 0] == 0).all() and (moved["boxes"][:, 0, 2] == SIZE).all()
    assert (moved["boxes"][:, 0, 3] - moved["boxes"][:, 0, 1] >= 38 - 1e-3).all()


def test_ignored_objects_are_not_those_that_a_safe_crop_keeps():
    images, targets = example([[1, 1, 5, 5], [30, 30, 36, 36]])
    targets["ignored"] = tf.tile([[True, False]], [16, 1])
    assert (apply(RECORDS[0], images, targets)[1]["labels"][:, 1] == 1).all()


def test_a_safe_crop_of_a_mask_contains_a_class_and_rare_ones_as_often():
    mask = np.zeros((SIZE, SIZE), "uint8")
    mask[:, :8], mask[20, 38], mask[:4] = 1, 2, IGNORE
    images, _ = example([], count=64)
    _, moved = apply(RECORDS[0], images, {"masks": tf.constant(np.repeat(mask[None], 64, 0))})
    contents = [set(np.unique(values)) for values in moved["masks"]]
    assert moved["masks"].dtype == np.uint8 and all(content & {1, 2} for content in contents)
    assert 16 < sum(2 in content for content in contents) < 48
    for values in (0, IGNORE):  # masks without an object
        _, moved = apply(RECORDS[0], images, {"masks": tf.fill([64, SIZE, SIZE], tf.constant(values, tf.uint8))})
        assert (moved["masks"] == values).all()


@each_record
def test_images_without_boxes_and_boxes_without_area(record):
    for boxes, labels in (([], []), ([[0, 0, 0, 0]] * 2, [-1, -1]), ([[9, 9, 9, 20], [40, 40, 40, 40]], None)):
        images, targets = example(boxes, labels)
        changed, moved = apply(record, images, targets)
        assert changed.shape == images.shape and np.abs(changed - images).max() > 1
        assert (moved["labels"] == -1).all() and (moved["boxes"] == 0).all()
        assert moved["boxes"].dtype == np.float32 and moved["ignored"].dtype == bool


@each_record
def test_objects_that_are_cut_off_are_dropped_or_ignored(record):
    config = record.to_config()
    boxes = [[4 * row, 4 * column, 4 * row + 4, 4 * column + 4] for row in range(10) for column in range(10)]
    images, targets = example(boxes)
    parts = {}
    for truncated in ("drop", "ignore"):
        strict = a.from_config({**config, "min_visibility": 0.99, "truncated": truncated})
        _, moved = apply(strict, images, targets)
        is_object = moved["labels"] >= 0
        assert not moved["ignored"][~is_object].any()
        parts[truncated] = sorted(map(tuple, moved["boxes"][is_object & ~moved["ignored"]].tolist()))
        assert moved["ignored"].any() == (truncated == "ignore")
        assert ((moved["boxes"] >= 0) & (moved["boxes"] <= SIZE)).all()
    assert parts["drop"] == parts["ignore"] and parts["drop"]
    lenient = a.from_config({**config, "min_visibility": 0})
    images, targets = example(boxes)
    assert (apply(lenient, images, targets)[1]["labels"] >= 0).sum() > len(parts["drop"])


def test_ignoring_needs_a_place_for_it():
    images, targets = example([[1, 1, 9, 9]])
    del targets["ignored"]
    with pytest.raises(InvalidInput, match=r'truncated="ignore" needs `targets\["ignored"\]`'):
        apply(a.scale_jitter(truncated="ignore"), images, targets)
    outside = tf.constant([[[1.0, 0, 100], [0, 1, 0]]])
    targets = {"boxes": [[[1.0, 1, 9, 9]]], "labels": [[3]], "ignored": [[False]]}
    targets = {name: tf.constant(values) for name, values in targets.items()}
    moved = move_targets(targets, outside, images[:1], truncated="ignore")
    assert moved["labels"].numpy() == [[-1]] and not moved["ignored"].numpy().any()


def test_sources_of_classes_take_jitter_and_mosaic_and_are_told_what_to_use_instead_of_a_safe_crop():
    source = squares(8)

    def one_hot(classes):
        return tf.one_hot(classes, len(source.labels))

    def first(record, **options):
        loader = batches(source, ImageSpec(16, 16), batch_size=8, augment=record, **options)
        return next(iter(loader.dataset()))

    images, targets = first((a.scale_jitter(), a.mosaic()), encode=one_hot)
    assert images.shape == (8, 16, 16, 3) and np.allclose(tf.reduce_sum(targets, 1), 1)
    for options in ({}, {"encode": one_hot}):
        with pytest.raises(InvalidInput, match=r"safe_crop.*needs targets with boxes or masks.*crop_resize\(\)"):
            first(a.safe_crop(), **options)


def test_copies_of_a_safe_crop_do_not_depend_on_padding_and_are_moved_without_pixels():
    images, targets = example([[2, 3, 6, 9], [30, 31, 36, 40], [20, 1, 24, 9]], count=2)
    ids, copy = tf.range(2, dtype=tf.int64), tf.constant(1, tf.int64)
    fixed = copies((a.flip(), RECORDS[0]), 2)
    assert fixed.reads_targets and not copies(a.flip(), 2).reads_targets
    make, move = map(tf.function, (build_copies(fixed, 4), build_moves(fixed, 4, (SIZE, SIZE, 3))))
    changed, moved = make(images, targets, ids, copy)
    padding = {"boxes": [[0, 0], [0, 5], [0, 0]], "labels": [[0, 0], [0, 5]], "ignored": [[0, 0], [0, 5]]}
    padded = {
        name: tf.pad(values, padding[name], constant_values=-1 if name == "labels" else 0)
        for name, values in targets.items()
    }
    of_padded, padded_moved = make(images, padded, ids, copy)
    np.testing.assert_array_equal(changed, of_padded)
    for name, values in move(targets, ids, copy).items():
        np.testing.assert_allclose(values, moved[name], rtol=1e-6)
        np.testing.assert_array_equal(padded_moved[name][:, :3], moved[name])


def test_records_are_restored_from_json_and_wrong_values_are_listed():
    for record in (*RECORDS, a.safe_crop(), a.scale_jitter(), a.mosaic(truncated="ignore")):
        assert a.from_config(json.loads(json.dumps(record.to_config()))) == record
    with pytest.raises(
        InvalidInput, match=r"(?s)`scale`.*<= 1.*`ratio`.*`min_visibility`.*`truncated`.*'drip'.*'drop'"
    ):
        a.safe_crop(scale=(0.5, 2), ratio=(0, 1), min_visibility=2, truncated="drip")
    with pytest.raises(InvalidInput, match=r"`scale_range` must be \(low, high\).*Received: 2"):
        a.scale_jitter(scale_range=2)
    with pytest.raises(InvalidInput, match=r"(?s)`probability`.*`scale_range`.*`center_range`"):
        a.mosaic(probability=0, scale_range=(2, 1), center_range=(0.5, 1.5))
