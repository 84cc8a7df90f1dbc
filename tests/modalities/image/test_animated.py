"""Animated GIF and WebP files are decoded as their first frame."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image

from tltk.modalities.image.animated import still_webp
from tltk.modalities.image.decode import decode_image
from tltk.specs import ImageSpec


def red_then_blue_animation(image_format):
    file = io.BytesIO()
    first, second = (Image.new("RGB", (12, 10), colour) for colour in ((250, 0, 0), (0, 0, 250)))
    first.save(file, image_format, save_all=True, append_images=[second], duration=50, lossless=True)
    return file.getvalue()


def test_the_first_frame_of_an_animation_is_decoded():
    for image_format in ("GIF", "WEBP"):
        pixels = decode_image(tf.constant(red_then_blue_animation(image_format)), ImageSpec(10, 12)).numpy()
        np.testing.assert_allclose(pixels.mean((0, 1)), [250, 0, 0], atol=3)


def test_a_webp_without_animation_is_unchanged():
    file = io.BytesIO()
    Image.new("RGB", (12, 10)).save(file, "WEBP")
    assert still_webp(tf.constant(file.getvalue())).numpy() == file.getvalue()
