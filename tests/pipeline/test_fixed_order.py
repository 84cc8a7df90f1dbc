import keras
import numpy as np
import pytest
import tensorflow as tf

from tltk.pipeline.fixed_order import why_order_varies

IMAGES = tf.data.Dataset.from_tensor_slices((np.zeros((6, 4, 4, 3), "float32"), np.arange(6)))


def on_images(function, **options):
    return IMAGES.map(lambda image, label: (function(image), label), **options)


def fixed_seed(image):
    return image + tf.random.stateless_uniform([4, 4, 3], (1, 2))


FIXED = {
    "slices": IMAGES,
    "batches": IMAGES.batch(4).prefetch(2),
    "a parallel map": on_images(lambda image: image * 2, num_parallel_calls=tf.data.AUTOTUNE),
    "one order": IMAGES.shuffle(6, seed=1, reshuffle_each_iteration=False),
    "seeded numbers": on_images(fixed_seed),
    "a table": on_images(lambda image: tf.gather([1.0, 2.0], tf.cast(image, tf.int32))),
}
VARYING = {
    "shuffled": IMAGES.shuffle(6).batch(2),
    "random": on_images(tf.image.random_flip_left_right),
    "random files": tf.data.Dataset.random(),
    "sampled": tf.data.Dataset.sample_from_datasets([IMAGES, IMAGES]),
    "a shuffle inside": tf.data.Dataset.range(2).flat_map(lambda _: IMAGES.shuffle(6)),
    "any order": on_images(lambda image: image * 2, num_parallel_calls=2, deterministic=False),
    "parallel files": tf.data.Dataset.range(2).interleave(lambda _: IMAGES, num_parallel_calls=2),
    "a generator": tf.data.Dataset.from_generator(lambda: iter([1]), output_signature=tf.TensorSpec([], tf.int32)),
    "Python": on_images(lambda image: tf.numpy_function(np.flip, [image], tf.float32)),
}


@pytest.mark.parametrize("name", FIXED)
def test_a_fixed_order_is_recognized(name):
    assert why_order_varies(FIXED[name]) == ""


@pytest.mark.parametrize("name", VARYING)
def test_a_varying_order_has_a_reason(name):
    assert why_order_varies(VARYING[name]).startswith("it ")


def test_random_layers_of_keras_vary():
    layer = keras.layers.RandomBrightness(0.2)
    assert "variables" in why_order_varies(on_images(lambda image: layer(image, training=True)))


def test_options_may_allow_any_order():
    options = tf.data.Options()
    options.deterministic = False
    assert "deterministic=False" in why_order_varies(IMAGES.with_options(options))


def test_a_fixed_order_is_the_same_twice_and_a_shuffled_one_is_not():
    shuffled = IMAGES.shuffle(6, seed=3)
    assert len({tuple(int(label) for _, label in shuffled) for _ in range(4)}) > 1
    fixed = FIXED["one order"]
    assert len({tuple(int(label) for _, label in fixed) for _ in range(4)}) == 1
