"""Images as a person looks at them: what is decoded is upright RGB in its own size."""

import numpy as np
import pytest
from PIL import Image

import tltk
from tltk.errors import InvalidInput, InvalidType, NotFound
from tltk.modalities.image.pictures import as_picture, rgb
from tltk.modalities.modality import named_modality


def turned_jpeg(path):
    """Write a JPEG of 20 x 12 pixels that EXIF turns to 12 x 20."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 12), "red").save(path, exif=exif)
    return path


def test_a_file_is_decoded_upright_and_what_is_passed_stays_as_it_is(tmp_path):
    assert as_picture(turned_jpeg(tmp_path / "a.jpg")).size == (12, 20)
    with Image.open(tmp_path / "a.jpg") as opened:
        assert as_picture(opened).size == (12, 20)
    pixels = np.zeros((4, 6), "uint8")
    picture = as_picture(pixels)
    picture.paste("white", (0, 0, 6, 4))
    assert picture.mode == "RGB" and not pixels.any()
    clear = Image.new("RGBA", (3, 2))
    assert np.asarray(as_picture(clear)).min() == 255  # alpha on white, as the model sees it


def test_what_is_no_image_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"nothing")
    for value, error, message in (
        (tmp_path / "a.jpg", InvalidInput, "a.jpg cannot be decoded: not a JPEG"),
        (tmp_path / "b.jpg", NotFound, "there is no file"),
        (tmp_path, NotFound, "there is no file"),
        (np.zeros((4, 6, 3)), InvalidInput, r"uint8.*float64\[4, 6, 3\]"),
        (np.zeros((4, 6, 7), "uint8"), InvalidInput, r"uint8\[4, 6, 7\]"),
        (None, InvalidType, "NoneType"),
    ):
        with pytest.raises(error, match=message):
            as_picture(value)


def test_arrays_of_any_range_can_be_shown():
    scaled = rgb(np.array([[[0.0], [0.5], [1.0]]], "float32"), (0.0, 1.0))
    assert scaled[0, :, 0].tolist() == [0, 128, 255] and scaled.shape == (1, 3, 3)
    deep = np.full((2, 8, 8, 1), 65535, "uint16")
    source = tltk.from_arrays(deep, value_range=(0, 65535))
    assert named_modality("image").picture(source, 0).max() == 255
    assert rgb(np.zeros((2, 2, 5), "uint8")) is None
    texts = tltk.from_arrays(["a text", "another"], ["good", "bad"])
    assert named_modality("text").picture(texts, 0) is None
