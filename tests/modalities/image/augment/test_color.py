"""Color functions, compared with Pillow and the standard library."""

import colorsys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from tests.modalities.image.augment.examples import rectangles, seed_of
from tltk import augment as a
from tltk.modalities.image.augment import color

RNG = np.random.default_rng(2)
# Noise, a dark image of few values, an image of a single color, and a gradient.
PIXELS = np.stack(
    [
        RNG.integers(0, 256, (20, 26, 3)),
        RNG.integers(3, 9, (20, 26, 3)) * 10,
        np.broadcast_to([10, 200, 90], (20, 26, 3)),
        np.broadcast_to(np.linspace(0, 255, 26).round()[:, None], (20, 26, 3)),
    ]
).astype("uint8")
IMAGES = tf.constant(PIXELS, tf.float32)


def by_pillow(change):
    return np.stack([np.asarray(change(Image.fromarray(pixels)), "float32") for pixels in PIXELS])


def repeated(value):
    return tf.fill([len(PIXELS)], float(value))


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.7])
@pytest.mark.parametrize(
    ("adjust", "enhancer"),
    [
        (color.adjust_brightness, ImageEnhance.Brightness),
        (color.adjust_contrast, ImageEnhance.Contrast),
        (color.adjust_saturation, ImageEnhance.Color),
        (color.adjust_sharpness, ImageEnhance.Sharpness),
    ],
    ids=["brightness", "contrast", "saturation", "sharpness"],
)
def test_enhancements_equal_those_of_pillow(adjust, enhancer, factor):
    expected = by_pillow(lambda image: enhancer(image).enhance(factor))
    # Pillow rounds the gray or smooth image, and truncates the result to whole numbers.
    np.testing.assert_allclose(adjust(IMAGES, repeated(factor)), expected, atol=1.6)


@pytest.mark.parametrize("threshold", [0, 100, 255.5])
def test_solarize_equals_that_of_pillow(threshold):
    expected = by_pillow(lambda image: ImageOps.solarize(image, threshold))
    np.testing.assert_array_equal(color.solarize(IMAGES, repeated(threshold)), expected)


@pytest.mark.parametrize("bits", [1, 4, 7, 8])
def test_posterize_equals_that_of_pillow(bits):
    np.testing.assert_array_equal(
        color.posterize(IMAGES, bits), by_pillow(lambda image: ImageOps.posterize(image, bits))
    )


def test_auto_contrast_equals_that_of_pillow():
    # Pillow truncates to whole numbers.
    np.testing.assert_allclose(color.auto_contrast(IMAGES), by_pillow(ImageOps.autocontrast), atol=1)


def test_equalize_equals_that_of_pillow():
    np.testing.assert_array_equal(color.equalize(IMAGES), by_pillow(ImageOps.equalize))


@pytest.mark.parametrize("turn", [-0.5, -0.1, 0.25, 0.5])
def test_hue_equals_that_of_the_standard_library(turn):
    changed = color.adjust_hue(IMAGES, repeated(turn)).numpy()
    for before, after in zip(PIXELS[:2, 0].reshape(-1, 3) / 255, changed[:2, 0].reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*before)
        expected = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
        np.testing.assert_allclose(after, 255 * np.array(expected), atol=0.01)


def test_each_image_has_its_own_factor():
    changed = color.adjust_brightness(tf.fill([3, 2, 2, 3], 100.0), tf.constant([0.0, 0.5, 2.0]))
    assert changed[:, 0, 0, 0].numpy().tolist() == [0, 50, 200]


def test_sharpness_accepts_images_of_one_pixel():
    pixel = tf.fill([1, 1, 1, 3], 7.0)
    np.testing.assert_array_equal(color.adjust_sharpness(pixel, tf.constant([0.3])), pixel)


def test_the_random_values_of_saturation_do_not_change_between_versions():
    seed = seed_of(3, 4)
    saturation_seed = tf.random.experimental.stateless_fold_in(seed, 103)
    factors = tf.random.stateless_uniform([len(PIXELS), 1, 1, 1], saturation_seed, 1 - 0.7, 1 + 0.7)
    gray = tf.image.rgb_to_grayscale(IMAGES)
    expected = tf.clip_by_value(gray + (IMAGES - gray) * factors, 0.0, 255.0)
    changed, _ = a.color_jitter(saturation=0.7).build()(IMAGES, tf.zeros([4, 1]), seed)
    np.testing.assert_array_equal(changed, expected)


def test_colors_change_within_their_range_and_boxes_and_masks_stay():
    images, targets = rectangles()
    changed, returned_targets = a.color_jitter(brightness=0.2).build()(images, targets, seed_of(1, 2))
    factors = (changed / images).numpy()
    assert np.ptp(factors, axis=(1, 2, 3)) == pytest.approx(0, abs=1e-5)
    assert 0.8 <= factors.min() < 0.95 and 1.05 < factors.max() <= 1.2
    assert returned_targets is targets


def test_saturation_and_hue_do_not_change_gray_images():
    gray = tf.fill([8, 8, 8, 3], 100.0)
    for augmentation in (a.color_jitter(saturation=0.9), a.color_jitter(hue=0.4)):
        np.testing.assert_allclose(augmentation.build()(gray, {}, seed_of(0, 1))[0], gray, atol=0.01)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (a.color_jitter, "needs one of brightness"),
        (
            lambda: a.color_jitter(brightness=2, hue=0.6),
            r"(?s)`brightness` must.*`hue` must be at least 0 and at most 0.5",
        ),
    ],
)
def test_values_out_of_range_are_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_images_of_other_channels_than_rgb_keep_their_hue_and_alpha(channels):
    images = np.random.default_rng(0).uniform(20, 200, (4, 6, 6, channels)).astype("float32")
    for augmentation in (a.color_jitter(saturation=0.9, hue=0.3), a.color_jitter(brightness=0.3, contrast=0.3)):
        changed = a.chain(augmentation)(tf.constant(images), tf.zeros([4]), seed_of(0, 1))[0].numpy()
        assert changed.shape == images.shape
        if channels == 4:
            np.testing.assert_array_equal(changed[..., 3], images[..., 3])
            assert np.abs(changed[..., :3] - images[..., :3]).max() > 1
        else:
            assert (np.abs(changed - images).max() > 1) == (augmentation.to_config()["hue"] == 0)
    changed = a.chain(a.rand_augment(operations=3))(tf.constant(images), tf.zeros([4]), seed_of(0, 1))[0]
    assert changed.shape == images.shape
