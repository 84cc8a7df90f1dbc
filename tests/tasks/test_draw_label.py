import numpy as np

from tltk.tasks.drawing import PALETTE
from tltk.tasks.records import Prediction


def test_a_label_is_drawn_in_the_colour_of_its_class_and_the_truth_below_it():
    image = np.zeros((64, 96, 3), "uint8")
    prediction = Prediction("a.jpg", "dog", 0.8, {"dog": 0.8, "cat": 0.2})
    drawn, with_truth = (np.asarray(prediction.draw(image, truth=truth)) for truth in (None, "cat"))
    assert tuple(drawn[0, 0]) == PALETTE[1] and not image.any()
    assert (with_truth == 255).all(-1).sum() > 100 > (drawn == 255).all(-1).sum()
    assert np.asarray(Prediction("a.jpg", "", None, {}).draw(image)).max() == 0  # no label above the threshold
    several = np.asarray(prediction.draw(image, truth=("cat", "dog")))
    assert several.shape == image.shape
