"""Values of masks in image files."""

import io
import pickle

import numpy as np
import pytest
from PIL import Image

from tests.images import huge_png
from tltk.data.formats.mask_files import MaskFile, MaskReader, colour_number, colour_table, colour_text, read_values
from tltk.errors import InvalidInput


def test_values_without_a_class_are_listed():
    reader = MaskReader(((0, 0), (5, 1)), ignore=(9,))
    assert reader.classes_of(np.array([[0, 5], [9, 5]])).tolist() == [[0, 1], [255, 1]]
    with pytest.raises(InvalidInput, match=r"has 4 values that belong to none of the 2 classes: 1, 2, 3 … and 1 more"):
        reader.classes_of(np.array([0, 1, 2, 3, 4]))


def test_masks_are_read_from_bytes_too():
    file = io.BytesIO()
    Image.fromarray(np.array([[0, 1]], np.uint8)).save(file, "PNG")
    reader = pickle.loads(pickle.dumps(MaskReader(((0, 0), (1, 1)))))
    assert reader(MaskFile("name", content=file.getvalue())).tolist() == [[0, 1]]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_mask_that_declares_too_many_pixels_is_not_read(tmp_path):
    huge_png(tmp_path / "huge.png", 12_000)
    with pytest.raises(InvalidInput, match=r"144.0 megapixels"):
        read_values(str(tmp_path / "huge.png"), colours=False)


def test_colours_are_numbers():
    assert colour_text(colour_number(255, 128, 0)) == "#ff8000"
    assert colour_table({"a": "#ff8000", "b": 7}) == {"a": (0xFF8000,), "b": (0x070707,)}
    with pytest.raises(InvalidInput, match="`colors` must have the colour of each class"):
        colour_table({})
