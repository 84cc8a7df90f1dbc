"""One object predicted by a detector."""

from typing import NamedTuple


class DetectedObject(NamedTuple):
    """An object detected in an image.

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
