import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import squares
from tltk.modalities.image.augment.fixed_copies import build, copies
from tltk.modalities.image.augment.transforms import colour, crop_resize, flip, mixup
from tltk.pipeline.batches import batches
from tltk.specs import ImageSpec

CHANGES = (flip(), crop_resize(), colour(brightness=0.2))
SPEC = ImageSpec(16, 16)


def pass_over(feed):
    parts = [[part.numpy() for part in element] for element in feed.dataset]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def test_a_copy_does_not_depend_on_the_batch_it_is_in():
    images = tf.constant(np.random.default_rng(0).uniform(0, 255, (6, 8, 8, 3)), tf.float32)
    each = tf.function(build(copies(CHANGES, 3), seed=4))
    numbers, copy = tf.range(6, dtype=tf.int64), tf.constant(2, tf.int64)
    whole = each(images, numbers, copy).numpy()
    alone = each(images[4:5], numbers[4:5], copy).numpy()
    np.testing.assert_array_equal(whole[4:5], alone)
    assert np.abs(whole - images.numpy()).max() > 1


def test_copies_return_after_their_number_and_differ_before():
    source = squares(12)
    feed = batches(source, SPEC, batch_size=5, augment=copies(CHANGES, 2), seed=1)
    first, second, third = (pass_over(feed)[0] for _ in range(3))
    np.testing.assert_array_equal(first, third)
    assert (first != second).any(axis=(1, 2, 3)).all()


def test_shuffling_changes_the_order_and_not_the_copies():
    source = squares(12)
    plain = pass_over(batches(source, SPEC, batch_size=4, augment=copies(CHANGES, 2), seed=1))[0]
    mixed = pass_over(batches(source, SPEC, batch_size=4, augment=copies(CHANGES, 2), seed=1, shuffle=True))[0]
    key = [picture.tobytes() for picture in plain]
    assert sorted(key) == sorted(picture.tobytes() for picture in mixed)
    assert key != [picture.tobytes() for picture in mixed]


def test_copies_of_nothing_or_of_mixtures_are_refused():
    with pytest.raises(ValueError, match=r"(?s)at least one.*`count` must be a whole number above 0. Received: 0"):
        copies((), 0)
    with pytest.raises(ValueError, match="mixup mix the examples of a batch"):
        copies((flip(), mixup()), 2)


def test_a_dataset_without_numbers_has_no_copies():
    dataset = tf.data.Dataset.from_tensor_slices((squares(6).items, squares(6).targets))
    with pytest.raises(ValueError, match="does not number them"):
        batches(dataset, SPEC, augment=copies(flip(), 2))
