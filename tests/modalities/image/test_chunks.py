import numpy as np

from tests.pictures import damaged_png, flat
from tltk.modalities.image import chunks
from tltk.specs import ImageSpec


def test_a_damaged_file_does_not_spoil_the_others(tmp_path):
    paths = [flat(tmp_path / "a.png", (9, 9, 9)), damaged_png(tmp_path / "b.png"), flat(tmp_path / "c.png", (7, 7, 7))]
    pixels, invalid = chunks.decode_chunk(np.array([*map(str, paths)], object), ImageSpec(8, 8), files=True)
    assert list(invalid) == [1]
    assert [int(image.mean()) for image in pixels] == [9, 7]


def test_arrays_are_resized_together():
    found = chunks.resize_chunk(np.full((3, 20, 30, 3), 50, "uint8"), ImageSpec(8, 8))
    assert found.shape == (3, 8, 8, 3)
    assert (found == 50).all()
