"""The predictions of object detection for one image."""

from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from tltk.foundation import checks as check
from tltk.foundation import display
from tltk.tasks.boxes.draw import draw_objects
from tltk.tasks.boxes.objects import DetectedObject
from tltk.tasks.records import Prediction


@dataclass(frozen=True)
class DetectionPrediction(Prediction):
    """The objects in one image.

    `label` counts those above the threshold of the task, such as "2 cat, 1 dog"; `scores` has the highest score of each
    predicted class.

    Args:
        objects: All predicted objects, sorted by descending score.
        names: All classes of the task, which determine the colours in drawings.
        threshold: Score from which an object is drawn and counts in `label`.
    """

    objects: tuple[DetectedObject, ...] = ()
    names: tuple[str, ...] = field(default=(), repr=False, compare=False)
    threshold: float = field(default=0.3, repr=False, compare=False)

    __repr__ = display.short_repr

    def details(self) -> dict[str, list[dict[str, Any]]]:
        """Return the objects for JSON: label, score, and the edges in pixels of the image.

        Examples:
            >>> cat = DetectedObject("cat", 0.9, 4, 8, 40, 48)
            >>> DetectionPrediction("a.jpg", "1 cat", None, {"cat": 0.9}, objects=(cat,)).details()
            {'objects': [{'label': 'cat', 'score': 0.9, 'y_min': 4, 'x_min': 8, 'y_max': 40, 'x_max': 48}]}
        """
        return {"objects": [detected._asdict() for detected in self.objects]}

    def draw(self, image: Any, *, truth: Any = None, min_score: float | None = None) -> Image.Image:
        """Draw the objects on their image: a box in the colour of the class, with label and score.

        Args:
            image: The image that was predicted: its path, a PIL image, or pixels uint8 [height, width, channels].
            truth: The true objects, as `source[3].label` has them, (name, (y_min, x_min, y_max, x_max)) of each:
                dashed boxes. None if they are unknown.
            min_score: Objects with a lower score are left out; None for the threshold of the task.

        Returns:
            A new RGB image of the same size.

        Raises:
            NotFound: If `image` is a path and there is no such file.
            InvalidType: If `image` is something else.
            InvalidInput: If it cannot be decoded, or a box lies outside of it.

        Examples:
            >>> import numpy as np
            >>> cat = DetectedObject("cat", 0.9, 4, 8, 40, 48)
            >>> prediction = DetectionPrediction("a.jpg", "1 cat", None, {"cat": 0.9}, objects=(cat,))
            >>> prediction.draw(np.zeros((48, 64, 3), "uint8"), truth=[("cat", (5, 8, 40, 50))]).size
            (64, 48)
        """
        if min_score is not None:
            check.within("min_score", min_score, low=0, high=1)
        lowest = self.threshold if min_score is None else min_score
        names = self.names or tuple(self.scores)
        return draw_objects(image, self.objects, names=names, min_score=lowest, truth=truth)
