import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import conv_net, squares
from tltk.feature_cache.batches import dataset_feature_batches
from tltk.feature_cache.compute import layout_of
from tltk.feature_cache.user_dataset import UnevenBatchesError, compute_dataset
from tltk.modalities.batches import read_dataset
from tltk.specs import ImageSpec


@pytest.fixture(scope="module")
def prefix():
    return conv_net()


def user(data):
    return read_dataset(data, ImageSpec(16, 16), batch_size=4)


def labelled(count):
    return tf.data.Dataset.from_tensor_slices((squares(count).examples, squares(count).targets.values))


@pytest.mark.parametrize("on_disk", [False, True])
def test_stored_features_come_in_the_batches_of_the_dataset(prefix, on_disk, tmp_path):
    folder = tmp_path if on_disk else None
    features = compute_dataset(prefix, user(labelled(10).batch(4)), layout_of(prefix), folder=folder)
    assert (features.records.count, features.batch_size) == (10, 4)
    loader = dataset_feature_batches(features, prefix, encode=lambda targets: tf.one_hot(targets, 3))
    for epoch in (0, 1):
        batches = list(loader.dataset(epoch))
        assert [len(stored) for stored, _ in batches] == [4, 4, 2]
        for (stored, targets), (images, classes) in zip(batches, labelled(10).batch(4), strict=True):
            np.testing.assert_allclose(stored, prefix(tf.cast(images, tf.float32)), rtol=1e-5, atol=1e-5)
            np.testing.assert_array_equal(targets, np.eye(3)[classes])


def test_batches_of_different_sizes_cannot_be_repeated(prefix):
    for sizes in ((2, 4), (4, 2, 4)):
        data = labelled(sizes[0]).batch(sizes[0])
        for size in sizes[1:]:
            data = data.concatenate(labelled(size).batch(size))
        with pytest.raises(UnevenBatchesError):
            compute_dataset(prefix, user(data), layout_of(prefix), folder=None)


def test_features_that_overflow_16_bits_are_rejected():
    pixels = keras.Input((16, 16, 3))
    large = keras.Model(pixels, keras.layers.Rescaling(1e6)(pixels))
    with pytest.raises(ValueError, match="65504"):
        compute_dataset(large, user(labelled(4)), layout_of(large, dtype="float16"), folder=None)
