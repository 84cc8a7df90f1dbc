"""The predictions of semantic segmentation."""

import numpy as np

from tltk.tasks.masks.records import SegmentationPrediction


def test_a_prediction_holds_a_map_and_can_be_compared():
    one, other = (SegmentationPrediction("a.jpg", "sky 100%", None, {"sky": 1.0}, mask=np.zeros((2, 2))) for _ in "ab")
    assert one == other and one.mask.shape == (2, 2)
    assert SegmentationPrediction("a.jpg", "", None, {}).mask.size == 0
