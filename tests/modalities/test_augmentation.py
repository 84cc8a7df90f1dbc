"""Augmentations are records with a registered name, and pure functions of a batch and a seed."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.modalities.image.augment.examples import ALL, name_of, seed_of, smooth_batch
from tltk import augment as a

each_augmentation = pytest.mark.parametrize("augmentation", ALL, ids=name_of)


def eager(augmentations, *seed, images=None):
    default_images, targets = smooth_batch()
    arguments = tf.constant(default_images if images is None else images), tf.constant(targets), seed_of(*seed)
    return [part.numpy() for part in a.chain(augmentations)(*arguments)]


def streamed(augmentations, *seed):
    apply = a.chain(augmentations)
    dataset = tf.data.Dataset.from_tensors(smooth_batch())
    mapped = dataset.map(lambda x, y: apply(x, y, seed_of(*seed)), num_parallel_calls=2)
    return [part.numpy() for part in next(iter(mapped))]


@each_augmentation
def test_images_change_and_keep_range_shape_and_dtype(augmentation):
    images, _ = smooth_batch()
    changed, targets = eager(augmentation, 3, 4)
    assert changed.shape == images.shape and changed.dtype == np.float32
    assert targets.shape == (8, 8) and targets.dtype == np.float32
    assert changed.min() >= 0 and changed.max() <= 255
    assert np.abs(changed - images).max() > 1
    assert changed.max() > 10, "pixels are in 0..255, not in 0..1"


@each_augmentation
def test_the_result_depends_only_on_batch_and_seed(augmentation):
    first, _ = eager(augmentation, 3, 4)
    np.random.seed(7)
    keras.utils.set_random_seed(99)
    second, _ = eager(augmentation, 3, 4)
    of_other_seeds = [eager(augmentation, 3, seed)[0] for seed in range(5, 10)]
    np.testing.assert_array_equal(first, second)
    assert any(np.abs(first - images).max() > 0.5 for images in of_other_seeds)


@each_augmentation
def test_eager_mode_and_tf_data_give_equal_results(augmentation):
    for in_eager, in_graph in zip(eager(augmentation, 5, 6), streamed(augmentation, 5, 6), strict=True):
        np.testing.assert_allclose(in_eager, in_graph, atol=2e-3)


@each_augmentation
def test_a_dataset_gives_the_same_batches_in_every_pass(augmentation):
    images, targets = map(tf.constant, smooth_batch())
    apply = a.chain(augmentation)
    dataset = tf.data.Dataset.range(4).map(
        lambda number: apply(images, targets, tf.stack([1, number]))[0], num_parallel_calls=4
    )
    first, second = ([part.numpy() for part in dataset] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(next(iter(dataset.skip(3))).numpy(), first[3])


@each_augmentation
def test_a_record_is_restored_from_json(augmentation):
    assert a.from_config(json.loads(json.dumps(augmentation.to_config()))) == augmentation


@pytest.mark.parametrize("augmentation", [record for record in ALL if not record.mixes], ids=name_of)
def test_images_of_one_batch_are_changed_differently(augmentation):
    images = np.repeat(smooth_batch(2)[0][1:], 8, 0)
    changed, _ = eager(augmentation, 1, 2, images=images)
    assert any(np.abs(image - changed[0]).max() > 0.5 for image in changed[1:])


def test_each_augmentation_of_a_chain_has_its_own_seed():
    bright = a.color_jitter(brightness=0.3)
    images = np.full((8, 4, 4, 3), 100, "float32")
    once = eager(bright, 1, 1, images=images)[0] / images
    twice = eager((bright, bright), 1, 1, images=images)[0] / images
    assert not np.allclose(twice, once**2, atol=0.01)


def test_the_global_random_state_of_keras_does_not_change():
    keras.utils.set_random_seed(5)
    expected = keras.random.normal((3,)).numpy()
    keras.utils.set_random_seed(5)
    eager((*a.standard(), a.rand_augment(), a.mixup()), 1, 2)
    np.testing.assert_array_equal(keras.random.normal((3,)).numpy(), expected)


def test_only_mixup_cutmix_and_mosaic_blend_examples():
    assert [record.name for record in ALL if record.mixes] == ["mixup", "cutmix", "mosaic"]
    assert a.mixes(a.cutmix()) and a.mixes((a.flip(), a.mixup())) and not a.mixes((a.flip(), a.rotate()))


def negate(strength: float = 1.0, ranges: tuple[float, float] = (0, 1)) -> a.Augmentation:
    return a.Augmentation("negate", (("strength", strength), ("ranges", ranges)))


def build_negate(strength, ranges):
    return lambda images, targets, seed: (images + strength * (255 - 2 * images), targets)


def test_a_registered_augmentation_works_like_those_of_tltk(restored_registries):
    tltk.register_augmentation("negate", negate, build=build_negate)
    record = a.from_config(json.loads(json.dumps(negate(strength=0.5).to_config())))
    assert record == negate(strength=0.5) and not record.mixes
    assert eager((a.flip(), record), 0, 1)[0] == pytest.approx(127.5)
    tltk.register_augmentation("negate", negate, build=build_negate)  # as when a notebook's cell runs again


def test_a_registered_augmentation_may_blend_examples(restored_registries):
    tltk.register_augmentation("negate", negate, build=build_negate, mixes=True)
    assert a.mixes(negate())
    with pytest.raises(ValueError, match=r"must not blend different examples.*Received: negate"):
        a.copies(negate(), 2)


def test_the_error_for_an_unknown_name_says_how_to_register():
    with pytest.raises(ValueError, match=r"no augmentation 'flipp'. Did you mean 'flip'\?.*tltk.register_augmentation"):
        a.from_config({"name": "flipp"})
    with pytest.raises(ValueError, match=r"no augmentation 'inverted'.*tltk.register_augmentation"):
        a.chain(a.Augmentation("inverted"))
    with pytest.raises(ValueError, match=r"no augmentation ''\."):
        a.from_config({})


def test_the_error_for_an_unknown_parameter_names_the_nearest():
    with pytest.raises(ValueError, match=r"no key 'bright'.*Did you mean 'brightness'"):
        a.from_config({"name": "color_jitter", "bright": 0.1})


def test_invalid_registrations_are_refused(restored_registries):
    with pytest.raises(ValueError, match="'flip' is registered already"):
        tltk.register_augmentation("flip", negate, build=build_negate)
    with pytest.raises(TypeError, match=r"`build` must be a function\. Received: 3"):
        tltk.register_augmentation("negate", negate, build=3)
    with pytest.raises(ValueError, match="parameter `name`"):
        tltk.register_augmentation("negate", lambda name: a.Augmentation("negate"), build=build_negate)
