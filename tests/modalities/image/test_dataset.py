"""Conversion of a user's tf.data.Dataset of images to batches in the input format of a model."""

import numpy as np
import pytest
import tensorflow as tf

from tltk.modalities.image.dataset import from_dataset, pixel_problem
from tltk.specs import ImageSpec

SPEC = ImageSpec(8, 8)


def user_dataset(shape=(8, 8, 3), count=5):
    return tf.data.Dataset.from_tensor_slices((np.full((count, *shape), 9, "uint8"), np.arange(count)))


def test_unbatched_elements_are_batched_and_counted():
    dataset, steps, examples = from_dataset(user_dataset(), SPEC, batch_size=2)[:3]
    assert (steps, examples) == (3, 5)
    assert [images.shape for images, _ in dataset] == [(2, 8, 8, 3), (2, 8, 8, 3), (1, 8, 8, 3)]


def test_batches_of_the_user_are_kept():
    assert from_dataset(user_dataset().batch(4), SPEC, batch_size=2).steps_per_epoch == 2


@pytest.mark.parametrize("shape", [(8, 8, 1), (20, 30, 3)])
@pytest.mark.parametrize("batched", [True, False])
def test_grey_images_and_other_sizes_are_converted_to_the_spec(shape, batched):
    dataset = user_dataset(shape).batch(2) if batched else user_dataset(shape)
    images, _ = next(iter(from_dataset(dataset, SPEC, batch_size=2)[0]))
    assert images.shape == (2, 8, 8, 3) and images.dtype == tf.float32
    np.testing.assert_allclose(images, 9, atol=1e-3)


def test_a_dataset_of_unknown_length_is_counted():
    assert from_dataset(user_dataset().filter(lambda x, y: y < 3), SPEC, batch_size=2)[1:3] == (2, 3)


@pytest.mark.parametrize(
    ("dataset", "match"),
    [
        (user_dataset((8, 8, 5)), r"takes images of 3 channels.*images of 5 channels.*channels=5"),
        (user_dataset((8, 8)), "images must have shape"),
        (user_dataset().repeat(), "never ends"),
        (user_dataset().take(0), "no examples"),
    ],
)
def test_an_unsupported_dataset_is_rejected_with_the_problem(dataset, match):
    with pytest.raises(ValueError, match=match):
        from_dataset(dataset, SPEC, batch_size=2)


@pytest.mark.parametrize("values", [(0, 255), (0, 0), (3, 40), (-30, 280)])
def test_pixels_of_images_are_right(values):
    assert pixel_problem(*values, is_first=True) == ""


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ((0, 1), r"between 0 and 1, but the model expects \[0, 255\].*image \* 255.0"),
        ((-1, 1), "Rescaling"),
        ((-2.2, 2.6), "preprocess_input"),
        ((0, 65535), r"0 and 65535.*Rescale"),
        ((-124, 151), "Rescale"),
        ((np.nan, np.nan), "NaN"),
    ],
)
def test_pixels_that_were_scaled_are_noticed(values, match):
    with pytest.raises(ValueError, match=match):
        raise ValueError(pixel_problem(*values, is_first=True))


def test_the_range_of_the_model_may_be_another():
    assert pixel_problem(0, 1, is_first=True, value_range=(0.0, 1.0)) == ""
    assert pixel_problem(-300, 65800, is_first=True, value_range=(0.0, 65535.0)) == "", "bicubic resizing overshoots"
    message = r"between 0 and 300, but the model expects \[0, 1\].*value_range"
    with pytest.raises(ValueError, match=message):
        raise ValueError(pixel_problem(0, 300, is_first=True, value_range=(0.0, 1.0)))


def test_a_later_batch_may_be_dark():
    assert pixel_problem(0, 1, is_first=False) == "" and "NaN" in pixel_problem(np.nan, 1, is_first=False)
