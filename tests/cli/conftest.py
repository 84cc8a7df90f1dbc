"""Fixtures of the tests of the command line."""

import pytest
from PIL import Image

from tests.conftest import coloured_squares
from tests.texts import TEXTS, tiny_preset


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    x, y = coloured_squares(36, size=24)
    for index, (pixels, label) in enumerate(zip(x, y, strict=True)):
        class_folder = folder / ("red", "green", "blue")[label]
        class_folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(class_folder / f"{index}.png")
    return folder


@pytest.fixture(scope="session")
def preset(tmp_path_factory):
    return tiny_preset(tmp_path_factory.mktemp("presets") / "tiny")


@pytest.fixture(scope="session")
def reviews(preset, tmp_path_factory):
    """Arguments of `tltk train` for 36 reviews and a tiny text model, which take about a second."""
    table = tmp_path_factory.mktemp("reviews") / "reviews.csv"
    rows = [f'"{text}",{"good" if number < 3 else "bad"}' for number, text in enumerate(TEXTS)] * 6
    table.write_text("\n".join(["review,stars", *rows]))
    columns = ("--text", "review", "--label", "stars")
    return (table, *columns, "--backbone", preset, "--recipe", "linear_probe", "--epochs", "1")
