"""A tf.data.Dataset that a user brings becomes tuples of batches of the right size."""

import numpy as np
import pytest
import tensorflow as tf

from tltk.modalities.image.dataset import adopt
from tltk.specs import ImageSpec

SPEC = ImageSpec(8, 8)


def data(shape=(8, 8, 3), count=5):
    return tf.data.Dataset.from_tensor_slices((np.full((count, *shape), 9, "uint8"), np.arange(count)))


def test_unbatched_elements_are_batched_and_counted():
    dataset, steps, examples = adopt(data(), SPEC, batch_size=2)
    assert (steps, examples) == (3, 5)
    assert [images.shape for images, _ in dataset] == [(2, 8, 8, 3), (2, 8, 8, 3), (1, 8, 8, 3)]


def test_batches_stay_as_they_are():
    _, steps, _ = adopt(data().batch(4), SPEC, batch_size=2)
    assert steps == 2


@pytest.mark.parametrize("shape", [(8, 8, 1), (20, 30, 3)])
@pytest.mark.parametrize("batched", [True, False])
def test_grey_and_other_sizes_are_brought_to_the_spec(shape, batched):
    given = data(shape).batch(2) if batched else data(shape)
    images, _ = next(iter(adopt(given, SPEC, batch_size=2)[0]))
    assert images.shape == (2, 8, 8, 3) and images.dtype == tf.float32
    np.testing.assert_allclose(images, 9, atol=1e-3)


def test_a_dataset_of_unknown_length_is_counted():
    assert adopt(data().filter(lambda x, y: y < 3), SPEC, batch_size=2)[1:] == (2, 3)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (data((8, 8, 4)), "1 or 3 channels"),
        (data((8, 8)), "images must be"),
        (data().repeat(), "never ends"),
        (data().take(0), "no examples"),
    ],
)
def test_what_does_not_fit_is_said(given, match):
    with pytest.raises(ValueError, match=match):
        adopt(given, SPEC, batch_size=2)
