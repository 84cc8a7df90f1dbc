"""The predictions of object detection for one image."""

from dataclasses import dataclass
from typing import NamedTuple

from tltk.foundation import display
from tltk.tasks.records import Prediction


class DetectedObject(NamedTuple):
    """An object that was found in an image.

    Attributes:
        label: Its class.
        score: How sure the model is, in [0, 1].
        y_min: Upper edge in pixels of the original image.
        x_min: Left edge.
        y_max: Lower edge.
        x_max: Right edge.
    """

    label: str
    score: float
    y_min: float
    x_min: float
    y_max: float
    x_max: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The edges (y_min, x_min, y_max, x_max)."""
        return (self.y_min, self.x_min, self.y_max, self.x_max)


@dataclass(frozen=True)
class DetectionPrediction(Prediction):
    """The objects in one image.

    `label` counts those above the threshold of the task, such as "2 cat, 1 dog", and `scores` has the highest score of
    each class that was found.

    Args:
        objects: All objects that were found, the surest first.
    """

    objects: tuple[DetectedObject, ...] = ()

    __repr__ = display.short_repr
