"""The sizes of images are those of the decoded pixels, whatever the format and rotation."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tltk
from tests.images import FORMATS, encoded
from tests.modalities.image.test_animated import red_then_blue_animation
from tests.modalities.image.test_decode import PHOTO, saved
from tltk.modalities.image.decode import decode_full
from tltk.modalities.image.requests import read_requests
from tltk.modalities.image.sizes import image_sizes, upright_size
from tltk.modalities.modality import modality_of
from tltk.specs import ImageSpec

PADDED = ImageSpec(32, 32, resize="pad")


def rotated(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(PHOTO, "jpg", exif=exif)


FILES = {
    **{ending: encoded(ending, size=(21, 34)) for ending in FORMATS},
    "upright": rotated(1),
    "upside down": rotated(3),
    "turned": rotated(6),
    "animated GIF": red_then_blue_animation("GIF"),
    "animated WebP": red_then_blue_animation("WEBP"),
}


def test_the_size_is_that_of_the_decoded_image():
    in_graph = tf.function(upright_size, input_signature=[tf.TensorSpec([], tf.string)])
    for name, data in FILES.items():
        expected = list(decode_full(tf.constant(data)).shape[:2])
        assert upright_size(tf.constant(data)).numpy().tolist() == in_graph(data).numpy().tolist() == expected, name


@pytest.fixture
def source(tmp_path):
    for name, data in FILES.items():
        (tmp_path / f"{name}.jpg").write_bytes(data)
    Image.new("RGB", (30, 50)).save(tmp_path / "tiff.tif")
    return modality_of(PADDED).source(str(tmp_path), PADDED)


def test_the_context_of_letterboxed_images_has_their_sizes(source):
    modality = modality_of(PADDED)
    rows = np.arange(len(source))[::2]
    sizes = modality.context(source, modality.reader(source, PADDED), rows, rows).image_sizes.numpy()
    assert sizes.tolist() == [list(modality.example_input(source, row).shape[:2]) for row in rows]
    stretched = ImageSpec(32, 32)
    assert modality.context(source, modality.reader(source, stretched), rows, rows).image_sizes is None


def test_arrays_have_one_size():
    source = tltk.from_arrays(np.zeros((5, 20, 30, 3), "uint8"), np.arange(5) % 2)
    assert image_sizes(source, modality_of(PADDED).reader(source, PADDED), np.array([1, 3])).tolist() == [[20, 30]] * 2


def test_requests_have_the_same_sizes_and_invalid_ones_that_of_the_input():
    requests = [*FILES.values(), b"no image"]
    sizes = read_requests(tf.constant(requests), PADDED).context.image_sizes.numpy().tolist()
    assert sizes == [*(list(decode_full(tf.constant(data)).shape[:2]) for data in FILES.values()), [32, 32]]
    assert read_requests(tf.constant(requests), ImageSpec(32, 32)).context.image_sizes is None
