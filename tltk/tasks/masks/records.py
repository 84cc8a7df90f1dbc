"""The predictions of semantic segmentation for one image."""

from dataclasses import dataclass, field

import numpy as np

from tltk.foundation import display
from tltk.tasks.records import Prediction


@dataclass(frozen=True)
class SegmentationPrediction(Prediction):
    """The class of every pixel of one image.

    `scores` has the fraction of pixels of each class that occurs, and `label` the classes by their area, such as
    "sky 71 %, sea 29 %".

    Args:
        mask: Class numbers, uint8 [height, width] of the original image.
    """

    mask: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.uint8), repr=False, compare=False)

    __repr__ = display.short_repr
