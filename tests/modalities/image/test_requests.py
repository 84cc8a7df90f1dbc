"""An image of a request that cannot be decoded is told from the others, and spoils none of them."""

import numpy as np
import pytest
import tensorflow as tf

from tests import pictures
from tltk.modalities.image.decode import decode_image
from tltk.modalities.image.requests import read_requests
from tltk.specs import ImageSpec

SPEC = ImageSpec(16, 24)
NO_IMAGE = b"not a JPEG, PNG, GIF, BMP or WebP image"


def encoded(count=6):
    generator = np.random.default_rng(0)
    writers = (tf.io.encode_png, tf.io.encode_jpeg)
    return [writers[n % 2](generator.integers(0, 255, (20 + n, 30, 3)).astype("uint8")).numpy() for n in range(count)]


def read(held):
    found = read_requests(tf.constant(held, tf.string), SPEC)
    assert int(found.context.count) == len(held) and found.context.example_ids is None
    return [each.numpy() for each in found[:3]]


def test_good_images_are_decoded_as_ever_and_bad_ones_are_zeros():
    good = encoded()
    held = [good[0], b"", good[1], b"text", good[2][:-30], good[3], good[4][:60], b"GIF89a", b"RIFF\0\0\0\0WEBPVP8 "]
    pixels, valid, error = read(held)
    assert valid.tolist() == [True, False, True, False, False, True, False, False, False]
    for row in np.flatnonzero(valid):
        np.testing.assert_array_equal(pixels[row], decode_image(tf.constant(held[row]), SPEC))
    assert not pixels[~valid].any()
    assert error[valid].tolist() == [b""] * 3
    assert error[1] == b"0 bytes" and error[3] == NO_IMAGE
    assert all(error[row].startswith(b"truncated or damaged image") for row in (4, 6, 7, 8))


@pytest.mark.parametrize("ending", ["bmp", "webp", "gif", "png", "jpg"])
def test_what_training_would_not_read_is_not_read_either(ending):
    data = pictures.encoded(ending)
    place = 8 if ending == "webp" else 1
    _, valid, error = read([data, data[:place] + b"t" + data[place + 1 :]])
    assert valid.tolist() == [True, False]
    assert error.tolist() == [b"", NO_IMAGE]


@pytest.mark.parametrize("held", [[b"bad"], [b"", b""], []])
def test_a_batch_without_a_good_image_is_answered(held):
    pixels, valid, error = read(held)
    assert pixels.shape == (len(held), *SPEC.shape)
    assert not valid.any() and len(error) == len(held)
