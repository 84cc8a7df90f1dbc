"""Draws predicted and true objects on an image."""

from collections.abc import Sequence
from typing import Any

from PIL import Image

from tltk.foundation.errors import InvalidInput
from tltk.modalities.image.pictures import as_picture
from tltk.tasks.boxes.objects import DetectedObject
from tltk.tasks.drawing import TRUTH, Canvas, color_of

_ROUNDING = 1.0  # pixels by which a box may be beyond its image


def draw_objects(
    image: Any,
    objects: Sequence[DetectedObject],
    *,
    names: Sequence[str],
    min_score: float,
    truth: Any = None,
) -> Image.Image:
    """Draw objects with label and score; see `DetectionPrediction.draw`.

    Args:
        image: Path, PIL image or pixels.
        objects: The objects, sorted by descending score.
        names: All classes, which determine the colours.
        min_score: Objects with a lower score are left out.
        truth: (name, (y_min, x_min, y_max, x_max)) of each true object; None if they are unknown.

    Returns:
        A new image of the same size.

    Raises:
        InvalidInput: If a box lies outside of the image.
    """
    picture = as_picture(image)
    shown = [detection for detection in objects if detection.score >= min_score]
    true = [(str(name), tuple(map(float, box))) for name, box in truth or ()]
    _check_inside([*(detection.box for detection in shown), *(box for _, box in true)], picture.size)
    canvas = Canvas(picture)
    for detection in reversed(shown):  # the highest score on top
        canvas.box(detection.box, color_of(detection.label, names))
    for _, box in true:
        canvas.dashed_box(box)
    for detection in shown:
        canvas.label(detection.box, f"{detection.label} {detection.score:.2f}", color_of(detection.label, names))
    for name, box in true:
        canvas.label(box, f"true: {name}", TRUTH, below=True)
    return picture


def _check_inside(boxes: Sequence[Sequence[float]], size: tuple[int, int]) -> None:
    """Raise if a box lies outside of the image, which happens if the image was resized."""
    width, height = size
    for box in boxes:
        y_min, x_min, y_max, x_max = box
        if min(y_min, x_min) < -_ROUNDING or y_max > height + _ROUNDING or x_max > width + _ROUNDING:
            edges = ", ".join(f"{edge:.0f}" for edge in box)
            raise InvalidInput(
                f"`image` is {width} x {height} pixels, and a box is outside of it: ({edges}), which are y_min, x_min, "
                "y_max, x_max. Pass the image in the size in which it was predicted."
            )
