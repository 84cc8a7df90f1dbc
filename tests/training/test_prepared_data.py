import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.conftest import squares, squares_model
from tltk.feature_cache.storage import Cache
from tltk.training.prepared_data import prepare


def dataset(count=16, batch=8):
    return tf.data.Dataset.from_tensor_slices((squares(count).examples, squares(count).targets.values)).batch(batch)


def prepared(data, cache="auto"):
    return prepare(data, squares_model(), "train", batch_size=8, cache=Cache(cache))


def test_sources_and_datasets_give_batches_of_examples():
    for data in (squares(16), dataset()):
        examples = prepared(data)
        assert (examples.count, examples.max_length) == (16, None)
        assert examples.inputs.shape.as_list() == [None, 16, 16, 3] and examples.why_not_cached() == ""
        images, targets = next(iter(examples.batches().dataset()))
        assert images.shape == (8, 16, 16, 3) and targets.shape == (8, 3)


def test_features_of_a_dataset_are_not_stored_for_later_runs():
    with pytest.raises(ValueError, match=r"`cache` must be 'auto', .* if `train` is.*Received: 'disk'"):
        prepared(dataset(), cache="disk")


def test_a_dataset_has_no_fixed_copies():
    from tltk.augment import flip

    recipe = tltk.linear_probe(epochs=3, augment=(flip(),), augmentations_per_example=2)
    with pytest.raises(ValueError, match="fixed copies need a Source"):
        tltk.fit(squares_model(), dataset(), recipe=recipe)


def test_cached_features_of_a_dataset_train_the_same_weights():
    weights = []
    start = squares_model().keras.get_weights()
    for cache in ("off", "memory"):
        model = squares_model()
        model.keras.set_weights(start)
        run = tltk.fit(model, dataset(20), dataset(8), recipe=tltk.linear_probe(epochs=3), cache=cache)
        weights.append(model.keras.get_weights())
        assert len(run.history) == 3
    for computed, stored in zip(*weights, strict=True):
        np.testing.assert_allclose(computed, stored, rtol=1e-4, atol=1e-5)
