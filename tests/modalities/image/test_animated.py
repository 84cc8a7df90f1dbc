import io

import numpy as np
import tensorflow as tf
from PIL import Image

from tltk.modalities.image import animated as frames
from tltk.modalities.image.decode import decode_image
from tltk.specs import ImageSpec


def animation(kind):
    out = io.BytesIO()
    first, second = (Image.new("RGB", (12, 10), colour) for colour in ((250, 0, 0), (0, 0, 250)))
    first.save(out, kind, save_all=True, append_images=[second], duration=50, lossless=True)
    return out.getvalue()


def test_the_first_frame_of_an_animation_is_shown():
    for kind in ("GIF", "WEBP"):
        found = decode_image(tf.constant(animation(kind)), ImageSpec(10, 12)).numpy()
        np.testing.assert_allclose(found.mean((0, 1)), [250, 0, 0], atol=3)


def test_a_still_webp_is_left_as_it_is():
    out = io.BytesIO()
    Image.new("RGB", (12, 10)).save(out, "WEBP")
    assert frames.still_webp(tf.constant(out.getvalue())).numpy() == out.getvalue()
