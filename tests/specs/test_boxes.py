import numpy as np
import pytest

import tltk
from tltk.specs import Boxes


def test_boxes_are_stored_as_arrays_with_the_area_of_the_box_by_default():
    boxes = tltk.Boxes([[10, 20, 30, 60], [0, 0, 1, 1]], [1, 0], ignored=[False, True])
    assert boxes.boxes.dtype == np.float32 and boxes.classes.dtype == np.int32 and boxes.ignored.dtype == bool
    assert boxes.area.tolist() == [800, 1]
    assert boxes.take(boxes.ignored).classes.tolist() == [0]


def test_an_image_can_have_no_box():
    empty = Boxes([], [])
    assert len(empty) == 0 and empty.boxes.shape == (0, 4) and empty.area.shape == (0,)


def test_everything_wrong_with_boxes_is_listed():
    with pytest.raises(ValueError, match=r"(?s)`classes` must have 2 values.*`boxes`\[1\] must be finite.*nan"):
        Boxes([[0, 0, 1, 1], [0, float("nan"), 1, 1]], [0])
    with pytest.raises(ValueError, match=r"`boxes`\[0\].*y_min <= y_max.*\[5\.0, 0\.0, 1\.0, 1\.0\]"):
        Boxes([[5, 0, 1, 1]], [0])
    with pytest.raises(ValueError, match=r"`boxes` must be \[k, 4\]. Received: \[1, 3\]"):
        Boxes([[0, 0, 1]], [0])
    with pytest.raises(ValueError, match=r"`classes` must be numbers.*cat"):
        Boxes([[0, 0, 1, 1]], ["cat"])
    with pytest.raises(ValueError, match=r"(?s)`boxes`\[0\] must be finite.*`area` must be finite. Received: inf"):
        Boxes([[0, 0, 1, 1e300]], [0], area=[1e300])
