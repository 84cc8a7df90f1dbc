"""Draws predicted classes as a translucent overlay with a legend."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from tltk.data.masks import IGNORE
from tltk.foundation.errors import InvalidInput
from tltk.modalities.image.pictures import as_picture
from tltk.tasks.drawing import Entry, beside, color_of, with_legend

_OPACITY = 0.5
_CLEAR = "background"  # the class that is not coloured
_LEAST = 0.001  # fraction of pixels from which a class is in the legend
_IGNORED = (128, 128, 128)


def draw_masks(image: Any, mask: np.ndarray, *, names: Sequence[str], truth: Any = None) -> Image.Image:
    """Draw a mask over its image; see `SegmentationPrediction.draw`.

    Args:
        image: Path, PIL image or pixels.
        mask: Class numbers, uint8 [height, width].
        names: All classes, in the order of their numbers.
        truth: The true mask, which is drawn beside the prediction, 255 for pixels that do not count; or None.

    Returns:
        A new image; the size is that of `image` if there is room for the legend and no truth.

    Raises:
        InvalidInput: If a mask has another size than the image.
    """
    picture = as_picture(image)
    if truth is None:
        overlaid, entries = _overlaid(picture, mask, names, "mask")
        return with_legend(overlaid, entries, busy=~_is_clear(names)[mask])
    true = np.asarray(truth)
    panels = [_overlaid(picture, values, names, name) for values, name in ((mask, "mask"), (true, "truth"))]
    joined = beside([panel for panel, _ in panels], ["prediction", "truth"])
    classes = dict.fromkeys(entry.text.rsplit(" ", 1)[0] for _, shown in panels for entry in shown)
    return with_legend(joined, [Entry(_color(name, names), name) for name in classes])


def _overlaid(
    picture: Image.Image, mask: np.ndarray, names: Sequence[str], argument: str
) -> tuple[Image.Image, list[Entry]]:
    """Return an image with a mask over it, and the lines of the legend: the largest class first."""
    if (picture.height, picture.width) != mask.shape:
        height, width = mask.shape if mask.ndim == 2 else (0, 0)
        raise InvalidInput(
            f"`image` is {picture.width} x {picture.height} pixels, and `{argument}` {width} x {height}. Pass the "
            "image in the size in which it was predicted."
        )
    counts = np.bincount(mask.ravel(), minlength=IGNORE + 1)
    labels = [*names, *["ignored"] * (IGNORE + 1 - len(names))]
    colors = np.array([_color(name, names) for name in labels], np.uint8)
    is_clear = _is_clear(names)
    pixels = np.asarray(picture)
    overlay = (pixels * (1 - _OPACITY) + colors[mask] * _OPACITY).astype(np.uint8)
    edges = np.zeros(mask.shape, bool)  # outlines in the pure colour
    across, down = mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    edges[1:] |= down
    edges[:-1] |= down
    overlay[edges] = colors[mask[edges]]
    shown = np.where(is_clear[mask][..., None], pixels, overlay)
    order = [int(number) for number in np.argsort(-counts, kind="stable") if counts[number] >= _LEAST * mask.size]
    entries = [
        Entry(_color(labels[number], names), f"{labels[number]} {counts[number] / mask.size:.0%}")
        for number in order
        if not is_clear[number]
    ]
    return Image.fromarray(shown), entries


def _is_clear(names: Sequence[str]) -> np.ndarray:
    """Return which class numbers are not coloured, bool [256]."""
    is_clear = np.zeros(IGNORE + 1, bool)
    is_clear[: len(names)] = [name.casefold() == _CLEAR for name in names]
    return is_clear


def _color(name: str, names: Sequence[str]) -> tuple[int, int, int]:
    return color_of(name, names) if name in names else _IGNORED
