"""Fixtures of the tests of the command line."""

import pytest
from PIL import Image

from tests.conftest import coloured_squares


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    x, y = coloured_squares(36, size=24)
    for index, (pixels, label) in enumerate(zip(x, y, strict=True)):
        class_folder = folder / ("red", "green", "blue")[label]
        class_folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(class_folder / f"{index}.png")
    return folder
