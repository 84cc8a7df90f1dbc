"""Sizes of image files agree with the pixels that tltk decodes, and annotations are turned with their image."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.images import FORMATS, encoded, noise
from tltk.data.formats.image_sizes import (
    ImageSize,
    image_size,
    image_sizes,
    inside,
    is_stored,
    mismatch,
    turn_boxes,
    turn_mask,
)
from tltk.modalities.image.decode import decode_full
from tltk.modalities.image.tiff import read_as_png


def turned(image_format, orientation, pixels):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, image_format, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "GIF"])
def test_sizes_are_those_of_the_decoded_image(tmp_path, image_format):
    for orientation in range(1, 9):
        path = tmp_path / f"{orientation}.{'tif' if image_format == 'TIFF' else image_format.lower()}"
        path.write_bytes(turned(image_format, orientation, noise(12, 20)))
        data = read_as_png(path) if image_format == "TIFF" else path.read_bytes()
        decoded = decode_full(tf.constant(data))
        size = image_size(str(path))
        assert [size.height, size.width] == decoded.shape.as_list()[:2], orientation


def test_boxes_and_masks_are_turned_as_the_decoder_turns_pixels():
    pixels = np.zeros((12, 20, 3), "uint8")
    pixels[2:5, 3:10] = 255
    for orientation in range(1, 9):
        data = turned("PNG", orientation, pixels)
        shown = decode_full(tf.constant(data)).numpy()[..., 0]
        size = image_size(data)
        assert size.orientation == orientation
        ((y_min, x_min, y_max, x_max),) = turn_boxes(np.array([[2, 3, 5, 10]]), size)
        drawn = np.zeros((size.height, size.width), "uint8")
        drawn[y_min:y_max, x_min:x_max] = 255
        assert (drawn == shown).all(), orientation
        assert (turn_mask(pixels[..., 0], orientation) == shown).all(), orientation


def test_sizes_of_many_files_keep_their_order(tmp_path):
    paths = []
    for number, ending in enumerate(FORMATS):
        paths.append(str(tmp_path / f"{number}.{ending}"))
        (tmp_path / f"{number}.{ending}").write_bytes(encoded(ending, size=(20 + number, 24)))
    (tmp_path / "text.png").write_text("no image")
    *sizes, reason = image_sizes([*paths, str(tmp_path / "text.png")])
    assert sizes == [ImageSize(20 + number, 24) for number in range(len(FORMATS))]
    assert "its header cannot be read" in reason


def test_annotations_of_another_size_are_refused():
    size = ImageSize(30, 20, 6)
    assert mismatch((30, 20), size) == "" and not is_stored((30, 20), size)
    assert mismatch((20, 30), size) == "" and is_stored((20, 30), size)
    assert "60 x 40 pixels" in mismatch((40, 60), size) and not is_stored(None, size)
    assert "20 x 30" in mismatch((20, 30), ImageSize(30, 20))


def test_names_that_lead_out_of_a_folder_have_no_path():
    assert inside("/data/photos", "a/../b.jpg") == "/data/photos/b.jpg"
    assert inside("/data/photos", "/data/photos/b.jpg") == "/data/photos/b.jpg"
    for name in ("../b.jpg", "../photos2/b.jpg", "/etc/passwd", "a/../../b.jpg", ".", ""):
        assert inside("/data/photos", name) == "", name
    assert inside(".", "b.jpg") == "b.jpg" and inside(".", "../b.jpg") == inside(".", "/b.jpg") == ""
