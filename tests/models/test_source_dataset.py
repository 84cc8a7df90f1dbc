import keras
import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.conftest import squares, squares_model
from tests.images import class_folder, damaged_png
from tltk.augment import flip
from tltk.specs import ImageSpec


@pytest.fixture(scope="module")
def model():
    return squares_model()


def images_of(dataset):
    return np.concatenate([images for images, _ in dataset])


def test_a_dataset_for_a_model_is_what_keras_fit_takes(model):
    dataset = squares(10).to_dataset(model, batch_size=4)
    assert isinstance(dataset, tf.data.Dataset) and len(dataset) == 3
    images, targets = next(iter(dataset))
    assert images.dtype == tf.float32 and images.shape == (4, 16, 16, 3)
    np.testing.assert_array_equal(targets, np.eye(3)[[0, 1, 2, 0]])
    model.keras.compile("sgd", model.task.loss(), metrics=model.task.metrics())
    history = model.keras.fit(dataset, validation_data=dataset, epochs=2, shuffle=False, verbose=0)
    assert len(history.history["val_accuracy"]) == 2


def test_a_dataset_for_a_spec_has_raw_targets_or_none():
    dataset = squares(5).to_dataset(ImageSpec(8, 8), batch_size=4)
    assert [targets.numpy().tolist() for _, targets in dataset] == [[0, 1, 2, 0], [1]]
    unlabelled = tltk.from_arrays(squares(5).examples).to_dataset(ImageSpec(8, 8))
    assert next(iter(unlabelled)).shape == (5, 8, 8, 3)


def test_each_iteration_has_a_new_order_that_depends_on_the_seed_only(model):
    def epochs(seed, **options):
        dataset = squares(12).to_dataset(model, batch_size=4, seed=seed, **options)
        return [images_of(dataset) for _ in range(3)]

    first, second, _ = epochs(1, shuffle=True)
    assert np.any(first != second)
    np.testing.assert_array_equal([first, second], epochs(1, shuffle=True)[:2])
    assert np.any(first != epochs(2, shuffle=True)[0])
    np.testing.assert_array_equal(*epochs(1)[:2])
    assert np.any(epochs(1, augment=flip())[0] != epochs(1)[0])


def test_unusable_images_are_left_out_and_named(tmp_path, caplog):
    class_folder(tmp_path, count=6)
    (tmp_path / "cat" / "0003.png").write_bytes(b"")
    damaged_png(tmp_path / "dog" / "0001.png")
    dataset = tltk.from_folder(tmp_path).to_dataset(ImageSpec(16, 16), batch_size=6)
    assert len(images_of(dataset)) == len(images_of(dataset)) == 10
    messages = [record.getMessage() for record in caplog.records]
    assert sum("cat/0003.png" in message for message in messages) == 1
    assert sum("dog/0001.png was left out: truncated" in message for message in messages) == 1


def test_a_source_that_does_not_fit_is_rejected(model):
    with pytest.raises(ValueError, match="does not know: pink"):
        tltk.from_arrays(squares(2).examples, [0, 1], labels=("pink", "green", "blue")).to_dataset(model)
    with pytest.raises(ValueError, match="no modality has specs of type Sequential"):
        squares(2).to_dataset(keras.Sequential())
    with pytest.raises(ValueError, match="`batch_size`"):
        squares(2).to_dataset(model, batch_size=0)
