"""Objects are drawn in pixels of the original image."""

import numpy as np
import pytest
from PIL import Image

from tests.modalities.image.test_pictures import turned_jpeg
from tltk.errors import InvalidInput
from tltk.tasks.boxes.objects import DetectedObject
from tltk.tasks.boxes.records import DetectionPrediction
from tltk.tasks.drawing import PALETTE

NAMES = ("cat", "dog", "cow")


def prediction(*objects):
    return DetectionPrediction("a.jpg", "", None, {}, objects=objects, names=NAMES)


def has(picture, color):
    return bool((np.asarray(picture) == color).all(-1).any())


def test_objects_have_the_colour_of_their_class_if_they_are_sure_enough():
    image = np.full((120, 160, 3), 90, "uint8")
    drawn = prediction(DetectedObject("dog", 0.9, 10, 20, 60, 70), DetectedObject("cow", 0.2, 70, 90, 110, 150))
    picture = drawn.draw(image)
    assert picture.size == (160, 120) and has(picture, PALETTE[1]) and not has(picture, PALETTE[2])
    assert tuple(np.asarray(picture)[40, 20]) == PALETTE[1]
    assert has(drawn.draw(image, min_score=0.1), PALETTE[2])
    assert np.array_equal(np.asarray(prediction().draw(image)), image)
    with_truth = drawn.draw(image, truth=[("cat", (70, 90, 110, 150))])
    assert has(with_truth, (255, 255, 255)) and not has(picture, (255, 255, 255))
    with pytest.raises(InvalidInput, match="min_score"):
        drawn.draw(image, min_score=2)


def test_boxes_are_those_of_the_upright_image(tmp_path):
    path = turned_jpeg(tmp_path / "a.jpg")
    lower = prediction(DetectedObject("dog", 0.9, 12, 0, 20, 12))  # of 20 rows and 12 columns
    assert lower.draw(path).size == (12, 20)
    with pytest.raises(InvalidInput, match=r"20 x 12 pixels.*\(12, 0, 20, 12\)"):
        lower.draw(Image.new("RGB", (20, 12)))
