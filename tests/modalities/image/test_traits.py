"""Hashes, headers and ranges of images."""

import numpy as np
import pytest
from PIL import Image

import tltk
from tests.images import class_folder
from tests.inspection.photos import CHANGES, changed, picture, pictures
from tltk.modalities.image.registration import SIDE
from tltk.modalities.image.traits import (
    perceptual_hashes,
    read_header,
    scaled_range,
    scaling_note,
    traits_of,
    unscaled,
)
from tltk.specs import ImageSpec


def remark(traits, name):
    return next(remark.details for remark in traits.remarks if remark.finding == name)


@pytest.mark.parametrize("change", [change for change in CHANGES if change not in ("crop", "rotate")])
def test_the_hash_of_a_changed_copy_differs_in_few_bits_and_that_of_another_image_in_many(change):
    images = [picture(1), changed(picture(1), change), picture(2)]
    sketches = np.stack([np.asarray(Image.fromarray(image).resize((SIDE, SIDE))) for image in images])
    original, copy, other = perceptual_hashes(sketches)
    assert np.bitwise_count(original ^ copy) <= 6
    assert np.bitwise_count(original ^ other) >= 16


def test_headers_say_what_surprises(tmp_path):
    folder = class_folder(tmp_path / "photos", count=8)
    Image.new("RGB", (16, 16), "red").save(folder / "cat" / "a.jpg", format="PNG")
    Image.new("RGBA", (16, 16), (1, 2, 3, 40)).save(folder / "cat" / "b.png")
    Image.new("CMYK", (16, 16)).save(folder / "cat" / "c.jpg")
    Image.fromarray(np.full((16, 16), 4000, "uint16")).save(folder / "cat" / "d.png")
    Image.new("RGB", (400, 16)).save(folder / "cat" / "e.png")
    Image.new("RGB", (1, 1)).save(folder / "cat" / "f.png")
    source = tltk.from_folder(folder)
    traits = traits_of(source, None)
    names = {
        name: {source.id_of(row): text for row, text in remark(traits, name).items()}
        for name in ("wrong_ending", "odd_channels", "odd_size")
    }
    assert names["wrong_ending"] == {"cat/a.jpg": "a PNG file"}
    assert names["odd_channels"] == {"cat/b.png": "with transparency", "cat/c.jpg": "CMYK", "cat/d.png": "16 bits"}
    assert names["odd_size"] == {"cat/e.png": "400 x 16 pixels", "cat/f.png": "1 x 1 pixels"}
    assert not traits.undecodable


def test_a_file_that_is_no_image_has_no_header(tmp_path):
    (tmp_path / "a.png").write_text("<html>")
    assert read_header(str(tmp_path / "a.png")) is None


def test_images_in_a_255th_of_their_range_were_scaled_before():
    x = pictures(4).astype("float32")
    x[1] /= 255
    details = remark(traits_of(tltk.from_arrays(x, [0, 1, 0, 1]), None), "scaling")
    assert list(details) == [1]
    twice = tltk.from_arrays(x[2:] / 255 / 255, [0, 1], value_range=(0, 1))
    assert len(remark(traits_of(twice, None), "scaling")) == 2
    eight_bits = tltk.from_arrays(pictures(2).astype("uint16"), [0, 1], value_range=(0, 65535))
    assert len(remark(traits_of(eight_bits, None), "scaling")) == 2
    black = tltk.from_arrays(np.zeros((2, 8, 8, 3), "uint8"), [0, 1])
    assert not remark(traits_of(black, None), "scaling")


def test_files_of_pixels_that_were_divided_before_they_were_saved(tmp_path):
    folder = class_folder(tmp_path / "photos", count=2)
    divided = (pictures(1)[0] / 200).round().astype("uint8")
    Image.fromarray(divided).save(folder / "cat" / "x.png")
    source = tltk.from_folder(folder)
    assert [source.id_of(row) for row in remark(traits_of(source, None), "scaling")] == ["cat/x.png"]


def test_the_range_of_the_model_is_compared():
    source = tltk.from_arrays(pictures(2) / 255, [0, 1], value_range=(0, 1))
    assert remark(traits_of(source, ImageSpec(32, 32)), "scaling")[0] == "pixels in (0, 1), the model takes (0, 255)"
    assert not remark(traits_of(source, ImageSpec(32, 32, value_range=(0, 1))), "scaling")


@pytest.mark.parametrize(
    ("scale", "name"),
    [
        (lambda x: x / 255, "[0, 1]"),
        (lambda x: x / 255 / 255, "twice"),
        (lambda x: x / 127.5 - 1, "[-1, 1]"),
        (lambda x: (x - x.mean()) / x.std(), "standardized"),
        (lambda x: x - np.array([103.9, 116.8, 123.7]), "without the mean"),
    ],
)
def test_scalings_have_names_and_can_be_undone_for_comparison(scale, name):
    x = pictures(3).astype("float64")
    assert name in scaled_range(scale(x))
    stretched = unscaled(scale(x))
    assert stretched.dtype == np.uint8
    assert (stretched.min(), stretched.max()) == (0, 255)
    assert scaled_range(x) == ""


def test_other_channels_and_ranges_have_sketches():
    x = np.random.default_rng(0).random((3, 20, 20, 5)).astype("float32")
    traits = traits_of(tltk.from_arrays(x, [0, 1, 0], value_range=(0, 1)), None)
    assert traits.sketches[np.array([2, 0])].shape == (2, SIDE, SIDE, 3)
    assert len(set(traits.hashes.tolist())) == 3


def test_scaled_images_in_memory_are_noted_before_training():
    x = pictures(4).astype("float32")
    assert scaling_note(tltk.from_arrays(x, [0, 1, 0, 1])) == ""
    note = scaling_note(tltk.from_arrays(x / 255 / 255, [0, 1, 0, 1], value_range=(0, 1)))
    assert note.startswith("4 of 4 examined images seem to be scaled twice (pixels from ")
