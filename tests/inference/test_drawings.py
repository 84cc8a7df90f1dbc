"""Drawings belong to the examples that can be read, whatever is left out between them."""

import numpy as np
from PIL import Image

import tltk
from tests.tasks.boxes.scenes import source
from tests.tasks.test_object_detection import detector
from tltk.inference.drawings import draw, rows_of
from tltk.inference.predict import as_source


def test_an_unreadable_image_does_not_shift_the_drawings(tmp_path):
    for number, side in enumerate((40, 50, 60)):
        Image.fromarray(np.full((side, 2 * side, 3), 80, "uint8")).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes(b"no image")
    paths = sorted(tmp_path.glob("*.png"))
    model = detector()
    predictions = tltk.predict(model, paths)
    files = as_source(paths, model.input_spec)
    assert rows_of(predictions, files) == [0, 2]
    assert [(row, picture.size) for row, picture in draw(predictions, files)] == [(0, (80, 40)), (2, (120, 60))]


def test_the_truth_is_drawn_if_asked_for():
    scenes, model = source(2), detector()
    predictions = tltk.predict(model, scenes)
    plain, with_truth = (dict(draw(predictions, scenes, with_truth=flag)) for flag in (False, True))
    assert plain.keys() == with_truth.keys() == {0, 1}
    assert all(np.asarray(plain[row]).tobytes() != np.asarray(with_truth[row]).tobytes() for row in plain)
