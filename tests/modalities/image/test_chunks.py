"""Decoding and resizing of several images per call."""

import numpy as np
import pytest

from tests.images import damaged_png, encoded, solid_png
from tltk.modalities.image.chunks import _resizer, decode_chunk, resize_chunk
from tltk.specs import ImageSpec


def test_a_damaged_file_does_not_affect_the_others(tmp_path):
    paths = [
        solid_png(tmp_path / "a.png", (9, 9, 9)),
        damaged_png(tmp_path / "b.png"),
        solid_png(tmp_path / "c.png", (7, 7, 7)),
    ]
    pixels, invalid = decode_chunk(np.array([*map(str, paths)], object), ImageSpec(8, 8), are_paths=True)
    assert invalid == {1: "truncated or damaged PNG"}
    assert [int(image.mean()) for image in pixels] == [9, 7]


@pytest.mark.parametrize("are_paths", [True, False])
def test_the_reason_for_each_invalid_image_is_that_of_the_decoder(tmp_path, are_paths):
    contents = {"empty": b"", "text": b"<html>", "truncated": encoded("jpg")[:300]}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "folder").mkdir()
    paths = [str(tmp_path / name) for name in (*contents, "missing", "folder")]
    images = np.array(paths if are_paths else list(contents.values()), object)
    pixels, invalid = decode_chunk(images, ImageSpec(8, 8), are_paths=are_paths)
    assert len(pixels) == 0
    expected = ["0 bytes", "not a JPEG, PNG, GIF, BMP or WebP image", "truncated or damaged JPEG"]
    assert list(invalid.values()) == [*expected, *(("missing", "Is a directory") if are_paths else ())]


def test_arrays_of_one_size_are_resized_in_one_call():
    resized = resize_chunk(np.full((3, 20, 30, 3), 50, "uint8"), ImageSpec(8, 8))
    assert resized.shape == (3, 8, 8, 3)
    assert (resized == 50).all()


def test_arrays_of_any_size_are_resized_by_one_graph():
    spec = ImageSpec(6, 6)
    _resizer.cache_clear()
    for size in (20, 21, 33):
        assert resize_chunk(np.full((1, size, 2 * size, 3), 9, "uint8"), spec).mean() == 9
    assert _resizer.cache_info().misses == 1
