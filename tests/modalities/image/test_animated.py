"""Animated GIF and WebP files are decoded as their first frame."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.images import noise
from tltk.modalities.image import animated
from tltk.modalities.image.animated import still_webp
from tltk.modalities.image.decode import decode_full, decode_image
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


def gif(frames, *, declared=None):
    """An animation; `declared` overwrites the width and height of its last frame."""
    file = io.BytesIO()
    images = [Image.fromarray(noise(20, 24, seed=seed)) for seed in range(frames)]
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], comment=b"a comment" * 60, loop=0)
    data = bytearray(file.getvalue())
    if declared:
        start = data.rindex(b"\x2c\0\0\0\0") + 5
        data[start : start + 4] = struct.pack("<HH", *declared)
    return bytes(data)


@pytest.mark.parametrize("frames", [1, 3])
def test_a_still_gif_is_the_first_frame_of_the_file(frames):
    data = gif(frames)
    still, size = animated.still_gif(tf.constant(data))
    assert size.numpy().tolist() == [20, 24]
    assert data.startswith(still.numpy()[:-1]) and (len(still.numpy()) < len(data)) == (frames > 1)
    with Image.open(io.BytesIO(still.numpy())) as image:
        assert image.n_frames == 1
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), expected)
    np.testing.assert_array_equal(decode_full(tf.constant(data)), expected)


def test_the_frames_of_a_gif_may_not_be_larger_than_the_limit_whatever_the_canvas():
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"over 89.5 megapixels"):
        decode_full(tf.constant(gif(1, declared=(65535, 65535))))
    later = decode_full(tf.constant(gif(3, declared=(65535, 65535))))  # 4 GB that nobody unpacks
    np.testing.assert_array_equal(later, decode_full(tf.constant(gif(3))))


def test_a_gif_whose_first_frame_is_cut_off_or_missing_is_damaged():
    data = gif(1)
    for content in (data[:-2], data[: len(data) // 2], data[:13], data[:20], data[:6], gif(2)[:13] + b"\x21\xfe\x05ab"):
        assert animated.still_gif(tf.constant(content)).size.numpy().tolist() == [0, 0]
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"truncated or damaged|no pixels"):
            decode_full(tf.constant(content))


def test_a_webp_frame_with_bytes_lost_in_the_middle_is_damaged():
    file = io.BytesIO()
    images = [Image.fromarray(noise(20, 24, seed=seed)) for seed in range(3)]
    images[0].save(file, "WEBP", save_all=True, append_images=images[1:], lossless=True)
    data = file.getvalue()
    assert decode_full(tf.constant(data)).shape == (20, 24, 3)
    middle = data.index(b"ANMF") + 200
    for content in (data[:middle] + data[middle + 7 :], data[:middle] + b"x" * 11 + data[middle:]):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode_full(tf.constant(content))
