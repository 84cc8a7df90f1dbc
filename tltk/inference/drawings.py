"""Draws predictions on the images they belong to."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tltk.data.source import Source
from tltk.inference.predictions import Predictions
from tltk.modalities.modality import named_modality

if TYPE_CHECKING:
    from PIL import Image


def rows_of(predictions: Predictions, source: Source) -> list[int]:
    """Return the index in the source of each prediction: both are in the same order, and some examples lack one."""
    rows = iter(range(len(source)))
    return [next(row for row in rows if source.id_of(row) == name) for name in predictions.ids]


def draw(predictions: Predictions, source: Source, *, with_truth: bool = False) -> Iterator[tuple[int, "Image.Image"]]:
    """Draw each prediction on its image, one after the other.

    Args:
        predictions: Predictions for the images of `source` that can be read.
        source: The images.
        with_truth: Whether to draw the labels of the source as well.

    Yields:
        Index in the source and an RGB image in the size of the original, in the order of the predictions; nothing for
        arrays that cannot be shown, such as five channels.
    """
    modality = named_modality(source.modality)
    for prediction, row in zip(predictions, rows_of(predictions, source), strict=True):
        image = modality.picture(source, row)
        if image is not None:
            yield row, prediction.draw(image, truth=source.label_of(row) if with_truth else None)
