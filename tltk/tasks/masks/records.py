"""The predictions of semantic segmentation for one image."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from tltk.foundation import display
from tltk.tasks.masks.draw import draw_masks
from tltk.tasks.records import Prediction


@dataclass(frozen=True)
class SegmentationPrediction(Prediction):
    """The class of every pixel of one image.

    `scores` has the fraction of pixels of each class that occurs, and `label` the classes by their area, such as
    "sky 71 %, sea 29 %".

    Args:
        mask: Class numbers, uint8 [height, width] of the original image.
        names: All classes, in the order of their numbers.
    """

    mask: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.uint8), repr=False, compare=False)
    names: tuple[str, ...] = field(default=(), repr=False, compare=False)

    __repr__ = display.short_repr

    def draw(self, image: Any, *, truth: Any = None) -> Image.Image:
        """Draw the classes over their image, translucent, with a legend; a class named "background" stays clear.

        Args:
            image: The image that was predicted: its path, a PIL image, or pixels uint8 [height, width, channels].
            truth: The true mask, as `source[3].label` has it, uint8 [height, width], 255 for pixels that do not count:
                it is drawn beside the prediction. None if it is unknown.

        Returns:
            A new RGB image. It has the size of `image`, unless there is a truth, or no room for the legend.

        Raises:
            NotFound: If `image` is a path and there is no such file.
            InvalidType: If `image` is something else.
            InvalidInput: If it cannot be decoded, or has another size than a mask.

        Examples:
            >>> mask = np.zeros((480, 640), "uint8")
            >>> prediction = SegmentationPrediction("a.jpg", "sky 100%", None, {}, mask=mask, names=("sky", "sea"))
            >>> prediction.draw(np.zeros((480, 640, 3), "uint8")).size
            (640, 480)
        """
        names = self.names or tuple(f"class {number}" for number in range(int(self.mask.max(initial=0)) + 1))
        return draw_masks(image, self.mask, names=names, truth=truth)
