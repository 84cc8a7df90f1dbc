"""Class maps come back in the size and at the place of the original image."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image

from tltk.modalities.image.letterbox import mask_to_input
from tltk.specs import ImageSpec
from tltk.tasks.masks.maps import class_maps

SPEC = ImageSpec(64, 64, resize="pad")
SIZES = [(48, 64), (200, 90), (20, 30), (64, 64)]


def drawn(size):
    mask = np.zeros(size, "uint8")
    mask[size[0] // 4 : size[0] // 2, size[1] // 2 :] = 1
    mask[size[0] * 3 // 4 :] = 2
    return mask


def test_maps_return_to_the_original():
    masks = [drawn(size) for size in SIZES]
    in_input = np.stack([mask_to_input(mask, SPEC, fill=0) for mask in masks])
    logits = tf.one_hot(in_input[:, 2::4, 2::4], 3)  # 16 x 16 positions
    classes, sizes, png = tf.function(lambda *arguments: class_maps(*arguments, SPEC))(logits, tf.constant(SIZES))
    assert classes.shape == (4, 200, 90) and sizes.numpy().tolist() == [list(size) for size in SIZES]
    for row, (mask, (height, width)) in enumerate(zip(masks, SIZES, strict=True)):
        assert np.mean(classes[row, :height, :width].numpy() != mask) < 0.08
        assert set(np.unique(classes[row, height:])) <= {255} and set(np.unique(classes[row, :, width:])) <= {255}
        decoded = np.asarray(Image.open(io.BytesIO(png[row].numpy())))
        np.testing.assert_array_equal(decoded, classes[row, :height, :width])


def test_a_map_of_the_size_of_the_input_is_the_likeliest_class_of_bilinear_logits():
    logits = tf.constant(np.random.default_rng(0).normal(size=(1, 8, 8, 5)), tf.float32)
    expected = tf.argmax(tf.image.resize(logits, (64, 64)), -1)
    np.testing.assert_array_equal(class_maps(logits, tf.constant([[64, 64]]), SPEC).classes, expected)
