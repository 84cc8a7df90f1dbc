"""What the readers of boxes share."""

import numpy as np
import pytest

from tests.images import solid_png
from tltk.data.formats.annotated_images import AnnotatedImage, Annotation, box_source, find_images, number, text, whole
from tltk.data.invalid import Invalid
from tltk.specs import LabelSpec


def test_numbers_and_texts_of_files_are_converted():
    assert [number(value) for value in ("1.5", 2, "-3e1")] == [1.5, 2, -30]
    assert all(np.isnan(number(value)) for value in (True, None, "x", float("inf"), [], {}, 10**400))
    assert [whole(value) for value in ("3", 3.0, 3.5, "x", None)] == [3, 3, None, None, None]
    assert [text(value) for value in (" cat ", 3, None, True, [])] == ["cat", "3", "", "", ""]


def test_the_folder_with_the_images_is_found_even_if_the_first_ones_are_missing(tmp_path):
    solid_png(tmp_path / "b" / "99.png", (0, 0, 0))
    (tmp_path / "a").mkdir()
    names = [f"{index}.png" for index in range(100)]
    folder, paths = find_images(names, None, [tmp_path / "a", tmp_path / "b"], place=tmp_path)
    assert folder == tmp_path / "b" and paths[99] == str(tmp_path / "b" / "99.png") and len(paths) == 100


@pytest.mark.parametrize("normalized", [False, True])
def test_a_damaged_image_keeps_the_size_of_its_annotations(tmp_path, normalized):
    (tmp_path / "a.png").write_text("no image")
    solid_png(tmp_path / "b.png", (0, 0, 0), size=(10, 20))
    box = Annotation("row 1", (0.1, 0.2, 0.5, 1.0) if normalized else (1, 4, 5, 20), 0)
    images = [
        AnnotatedImage(name, str(tmp_path / name), [box], size) for name, size in (("a.png", (10, 20)), ("b.png", None))
    ]
    invalid = Invalid()
    source = box_source(images, LabelSpec(("cat",), "boxes"), invalid, place=tmp_path, normalized=normalized)
    assert source.targets.sizes.tolist() == [[10, 20]] * 2 and not source.invalid
    assert all(boxes.boxes.tolist() == [[1, 4, 5, 20]] for boxes in source.targets.values)
