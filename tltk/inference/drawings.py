"""Draws predictions on the images they belong to."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tltk.data.source import Source
from tltk.inference.predictions import Predictions
from tltk.modalities.modality import named_modality

if TYPE_CHECKING:
    from PIL import Image


def rows_of(predictions: Predictions, source: Source) -> list[int]:
    """Return the index in the source of each prediction: both are in the same order, and some examples lack one."""
    rows = iter(range(len(source)))
    return [next(row for row in rows if source.id_of(row) == name) for name in predictions.ids]


def draw(
    predictions: Predictions,
    source: Source,
    *,
    with_truth: bool = False,
    picture_of: Callable[[Source, int], Any] | None = None,
) -> Iterator[tuple[int, "Image.Image"]]:
    """Draw each prediction on its image, one after the other.

    Args:
        predictions: Predictions for the images of `source` that can be read.
        source: The images.
        with_truth: Whether to draw the labels of the source as well.
        picture_of: Source and row → the image to draw on, or None if there is none; default: that of the modality.

    Yields:
        Index in the source and an RGB image in the size of the original, in the order of the predictions; nothing for
        arrays that cannot be shown, such as five channels.
    """
    picture_of = named_modality(source.modality).picture if picture_of is None else picture_of
    for prediction, row in zip(predictions, rows_of(predictions, source), strict=True):
        image = picture_of(source, row)
        if image is not None:
            yield row, prediction.draw(image, truth=source.label_of(row) if with_truth else None)
