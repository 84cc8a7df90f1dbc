"""Keras layers and functions are augmentations: stored as JSON, seeded by tltk, or refused in the recipe."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tltk
from tests.conftest import squares, squares_model
from tests.modalities.image.augment.examples import seed_of, smooth_batch
from tltk import augment as a
from tltk.modalities.image.augment.from_keras import GEOMETRIC_LAYERS, PHOTOMETRIC_LAYERS
from tltk.recipes import gradual_unfreeze

RANDOM = [
    layers.RandAugment(),
    layers.RandomBrightness(0.3),
    layers.RandomColorDegeneration(0.5),
    layers.RandomColorJitter(brightness_factor=0.3, contrast_factor=0.3, saturation_factor=0.3, hue_factor=0.1),
    layers.RandomContrast(0.5),
    layers.RandomElasticTransform(factor=1.0),
    layers.RandomErasing(factor=1.0),
    layers.RandomFlip("horizontal"),
    layers.RandomGaussianBlur(factor=1.0),
    layers.RandomGrayscale(),
    layers.RandomHue(0.3),
    layers.RandomInvert(),
    layers.RandomPerspective(1.0, scale=0.5),
    layers.RandomPosterization((2, 5)),
    layers.RandomRotation(0.2),
    layers.RandomSaturation(0.5),
    layers.RandomSharpness(0.5),
    layers.RandomShear(0.2, 0.2),
    layers.RandomTranslation(0.2, 0.2),
    layers.RandomZoom(0.2),
    layers.Solarization(0.5),
]
DETERMINISTIC = [layers.AutoContrast(), layers.Equalization()]


def changed_by(augmentation, *seed, images=None, targets=None):
    default_images, default_targets = smooth_batch(count=4, size=12)
    images = default_images if images is None else images
    targets = default_targets if targets is None else targets
    return a.chain(augmentation)(tf.constant(images), targets, seed_of(*seed))[0].numpy()


@keras.saving.register_keras_serializable("tests")
def darken(image):
    return image / 2


@keras.saving.register_keras_serializable("tests")
def noise(image, seed):
    return image + tf.random.stateless_uniform(tf.shape(image), seed, 0, 50)


@keras.saving.register_keras_serializable("tests")
def unseeded_noise(image):
    return image + tf.random.uniform(tf.shape(image), 0, 50)


@keras.saving.register_keras_serializable("tests")
def unseeded_keras_noise(image):
    return image + keras.random.uniform((), 0, 50)


@keras.saving.register_keras_serializable("tests")
def half_size(image):
    return image[::2, ::2]


@keras.saving.register_keras_serializable("tests")
class Tint(layers.Layer):
    """A layer of a user, with a generator of its own."""

    def __init__(self, strength=50.0, **kwargs):
        super().__init__(**kwargs)
        self.strength, self.generator = strength, keras.random.SeedGenerator(1)

    def call(self, images, training=None):
        count = keras.ops.shape(images)[0]
        shift = keras.random.uniform((count, 1, 1, 3), seed=self.generator) * self.strength
        return images + shift if training else images

    def get_config(self):
        return {**super().get_config(), "strength": self.strength}


@keras.saving.register_keras_serializable("tests")
class UnseededTint(layers.Layer):
    def call(self, images):
        return images + keras.random.uniform((3,)) * 50


def test_every_layer_that_is_accepted_is_tested():
    names = {type(layer).__name__ for layer in (*RANDOM, *DETERMINISTIC)}
    assert names == {*PHOTOMETRIC_LAYERS, *GEOMETRIC_LAYERS}


@pytest.mark.parametrize("layer", RANDOM, ids=lambda layer: type(layer).__name__)
def test_a_random_layer_depends_on_batch_and_seed_only(layer):
    (record,) = a.as_augmentations(layer)
    state = [variable.numpy() for variable in layer.variables]
    stored = json.loads(json.dumps(record.to_config()))
    first = changed_by(record, 3, 4)
    np.testing.assert_array_equal(first, changed_by(a.from_config(stored), 3, 4))
    assert any(np.abs(changed_by(record, 3, seed) - first).max() > 0.5 for seed in range(5, 9))
    assert first.shape == (4, 12, 12, 3) and first.min() >= 0 and first.max() <= 255 and first.max() > 10
    for before, variable in zip(state, layer.variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), before)


@pytest.mark.parametrize("layer", DETERMINISTIC, ids=lambda layer: type(layer).__name__)
def test_a_layer_without_random_numbers_gives_what_it_gives_alone(layer):
    images = smooth_batch(count=4, size=12)[0]
    np.testing.assert_allclose(changed_by(layer, 1, 2), layer(images).numpy(), atol=1e-3)


@pytest.mark.parametrize(
    "augmentation", [layers.RandomFlip("horizontal"), Tint(), noise], ids=["flip", "tint", "noise"]
)
def test_a_dataset_gives_the_batches_of_eager_mode_in_every_pass(augmentation):
    images, targets = map(tf.constant, smooth_batch(count=4, size=12))
    apply = a.chain(augmentation)
    dataset = tf.data.Dataset.range(3).map(
        lambda number: apply(images, targets, tf.stack([1, number]))[0], num_parallel_calls=2
    )
    first, second = ([batch.numpy() for batch in dataset] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first[2], changed_by(augmentation, 1, 2), atol=1e-3)
    assert np.abs(first[0] - first[1]).max() > 0.5


def test_images_of_one_batch_are_flipped_separately():
    images = np.repeat(smooth_batch(2)[0][1:], 16, 0)
    flipped = changed_by(layers.RandomFlip("horizontal"), 1, 2, images=images, targets=tf.zeros([16]))
    assert {bool((image == images[0]).all()) for image in flipped} == {True, False}


def test_functions_are_called_with_one_image_and_a_seed_of_its_own():
    images = np.full((2, 8, 8, 3), 100, "float32")
    assert changed_by(darken, 0, 1, images=images, targets=tf.zeros([2])) == pytest.approx(50)
    first, second = changed_by(noise, 0, 1, images=images, targets=tf.zeros([2]))
    assert np.abs(first - second).max() > 1


def test_one_or_several_layers_and_sequential_models_are_accepted():
    flip, rotation = layers.RandomFlip(seed=3), layers.RandomRotation(0.1)
    separate = tltk.fine_tune(augment=[flip, rotation]).phases[1].augment
    assert [value.to_config()["layer"]["class_name"] for value in separate] == ["RandomFlip", "RandomRotation"]
    assert tltk.full(augment=keras.Sequential([flip, rotation])).phases[0].augment == separate
    assert a.as_augmentations(layers.Pipeline([flip, rotation])) == separate
    assert tltk.linear_probe(augment=flip).phases[0].augment == separate[:1], "a layer alone"
    assert tltk.fine_tune(augment=[a.flip(), darken]).phases[1].augment[0] == a.flip()
    assert a.as_augmentations(layers.RandomFlip(seed=3)) == separate[:1], "the automatic name is not part of it"


def test_fixed_copies_take_layers():
    copies = a.build_copies(a.copies([Tint(), layers.RandomFlip()], 2), seed=0)
    images = tf.constant(np.full((3, 8, 8, 3), 100, "float32"))
    ids = tf.constant([0, 1, 2], tf.int64)
    first, again, other = (copies(images, {}, ids, tf.constant(copy, tf.int64))[0].numpy() for copy in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.5 and np.abs(first[0] - first[1]).max() > 0.5
    alone = copies(images[1:2], {}, ids[1:2], tf.constant(0, tf.int64))[0].numpy()
    np.testing.assert_array_equal(alone[0], first[1])


REFUSED = {
    "layer of another kind": (layers.Dense(3), r"keras.layers.Dense does not augment images.*RandomFlip"),
    "mixup": (layers.MixUp(), r"MixUp.*Use tltk.augment.mixup\(\)"),
    "python random": (layers.AugMix(), r"AugMix.*rand_augment\(\), since it draws with Python's random"),
    "scaling": (layers.Rescaling(1 / 255), r"Rescaling.*model contains the preprocessing"),
    "size": (layers.Resizing(8, 8), r"Resizing.*size of the model"),
    "range": (layers.RandomBrightness(0.1, value_range=(0, 1)), r"value_range=\(0, 255\).*Received: \(0, 1\)"),
    "order": (layers.RandomFlip(data_format="channels_first"), r"channels_last"),
    "lambda": (lambda image: image, r"'<lambda>'.*register_keras_serializable"),
    "text": ("flip", r"`augment` must be Augmentation.*Received: str.*tltk.augment.flip\(\)"),
    "class": (layers.RandomFlip, r"`augment` must be Augmentation"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused_when_the_recipe_is_built(name):
    augmentation, message = REFUSED[name]
    for build in (tltk.fine_tune, tltk.linear_probe, tltk.full, gradual_unfreeze):
        with pytest.raises((TypeError, ValueError), match=message):
            build(augment=[augmentation])


@keras.saving.register_keras_serializable("tests")
def blend(image, other):
    return image + other


def test_a_function_of_other_parameters_is_refused():
    with pytest.raises(TypeError, match=r"'blend' must take `image`, or `image, seed`"):
        tltk.fine_tune(augment=[blend])


def test_a_layer_that_keras_cannot_rebuild_is_refused():
    class Local(layers.Layer):
        def __init__(self, strength):
            super().__init__()
            self.strength = strength

        def call(self, images):
            return images

    with pytest.raises(ValueError, match=r"cannot rebuild the layer Local.*register_keras_serializable"):
        tltk.fine_tune(augment=[Local(3)])


@pytest.mark.parametrize("augmentation", [unseeded_noise, unseeded_keras_noise, UnseededTint()])
def test_random_numbers_without_tltks_seed_are_refused(augmentation):
    with pytest.raises(ValueError, match=r"draws random numbers that tltk's seed does not decide"):
        changed_by(augmentation, 0, 1)


def test_a_function_must_keep_the_size():
    with pytest.raises(ValueError, match=r"half_size' must keep the shape of images"):
        changed_by(half_size, 0, 1)


def test_the_error_for_an_unregistered_name_says_how_to_register():
    with pytest.raises(ValueError, match=r"'tests>gone'.*register_keras_serializable"):
        a.from_config({"name": "registered_function", "function": "tests>gone"})


def test_only_layers_that_move_no_pixels_take_masks_and_boxes():
    images = tf.zeros([1, 8, 8, 3])
    masks = {"masks": tf.ones([1, 8, 8], tf.uint8)}
    apply = a.chain(layers.RandomBrightness(0.2))
    np.testing.assert_array_equal(apply(images, masks, seed_of(0, 1))[1]["masks"], masks["masks"])
    for augmentation in (layers.RandomFlip(), Tint(), darken):
        with pytest.raises(ValueError, match=r"does not move boxes and masks.*tltk.augment: flip\(\)"):
            a.chain(augmentation)(images, masks, seed_of(0, 1))


def test_fit_trains_with_keras_layers_and_the_run_records_them(tmp_path):
    recipe = tltk.full(epochs=1, augment=[layers.RandomFlip("horizontal"), Tint(), darken])
    runs = [tltk.fit(squares_model(), squares(), recipe=recipe, seed=1, out=tmp_path / str(n)) for n in range(2)]
    assert runs[0].history[0]["loss"] == runs[1].history[0]["loss"]
    config = json.loads((tmp_path / "0" / "config.json").read_text())
    stored = config["recipe"]["phases"][0]["augment"]
    assert tuple(a.from_config(value) for value in stored) == recipe.phases[0].augment
