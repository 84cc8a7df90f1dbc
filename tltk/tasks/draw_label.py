"""Draws a label on an image."""

from collections.abc import Mapping
from typing import Any

from PIL import Image

from tltk.modalities.image.pictures import as_picture
from tltk.tasks.drawing import TRUTH, Canvas, Entry, color_of


def draw_label(
    image: Any, label: str, probability: float | None, scores: Mapping[str, float], *, truth: Any = None
) -> Image.Image:
    """Write a label into the upper left corner of an image; see `Prediction.draw`.

    Args:
        image: Path, PIL image or pixels.
        label: The predicted label.
        probability: Its probability; None if the task has no single probability.
        scores: Score of each class or column, whose names in alphabetical order determine the colours.
        truth: The true label; None if it is unknown.

    Returns:
        A new image of the same size.
    """
    picture = as_picture(image)
    text = label if probability is None else f"{label} {probability:.2f}"
    entries = [Entry(color_of(label, sorted(scores)), text)] if text else []
    if truth is not None:
        true = ", ".join(map(str, truth)) if isinstance(truth, list | tuple) else truth
        entries.append(Entry(TRUTH, f"true: {true}"))
    Canvas(picture).caption(entries)
    return picture
