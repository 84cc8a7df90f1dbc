"""Images are converted between grey, RGB and RGBA; other channels are taken as they are."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tltk.modalities.image.channels import check_channels, convert_channels

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 6, 4)).astype("uint8")


def converted(images, channels, **options):
    return convert_channels(tf.constant(images), channels, **options).numpy()


def test_grey_is_the_luma_of_pillow():
    expected = np.asarray(Image.fromarray(PIXELS[..., :3]).convert("L"))
    assert np.abs(converted(PIXELS[..., :3], 1)[..., 0].astype(int) - expected).max() <= 1


def test_rgba_is_laid_on_white():
    canvas = Image.new("RGBA", (6, 5), "white")
    canvas.alpha_composite(Image.fromarray(PIXELS))
    expected = np.asarray(canvas.convert("RGB")).astype(int)
    assert np.abs(converted(PIXELS, 3) - expected).max() <= 1
    assert np.abs(converted(PIXELS, 1).astype(int) - converted(converted(PIXELS, 3), 1)).max() <= 1


def test_grey_and_rgb_become_opaque():
    rgba = converted(PIXELS[..., :3], 4)
    np.testing.assert_array_equal(rgba, np.concatenate([PIXELS[..., :3], np.full((5, 6, 1), 255, "uint8")], -1))
    grey = converted(PIXELS[..., :1].astype("float32") / 255, 4, high=1.0)
    np.testing.assert_array_equal(grey[..., :3], np.repeat(PIXELS[..., :1] / np.float32(255), 3, -1))
    assert (grey[..., 3] == 1).all()
    assert grey.dtype == np.float32


def test_images_of_the_right_channels_pass():
    images = tf.constant(np.zeros((2, 3, 3, 7), "uint16"))
    assert convert_channels(images, 7) is images


@pytest.mark.parametrize(("own", "channels"), [(5, 3), (3, 5), (2, 1), (None, 3)])
def test_other_channels_are_an_error_that_says_what_to_do(own, channels):
    with pytest.raises(ValueError, match=rf"takes images of {channels} channels.*{own or 'unknown'}"):
        check_channels(own, channels)


@pytest.mark.parametrize(("own", "channels"), [(1, 3), (4, 1), (3, 4), (9, 9)])
def test_grey_rgb_and_rgba_fit_each_other(own, channels):
    check_channels(own, channels)
