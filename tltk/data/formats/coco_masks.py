"""Masks from the polygons and run lengths of COCO."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tltk.data.formats.annotated_images import AnnotatedImage, source_of, usable_images
from tltk.data.formats.image_sizes import is_stored, turn_mask
from tltk.data.invalid import Invalid
from tltk.data.masks import MaskTargets
from tltk.data.source import Source
from tltk.data.targets import as_objects
from tltk.foundation.errors import InvalidInput, MissingExtra
from tltk.specs import LabelSpec

_FAR = 4  # times the longer side of an image


@dataclass(frozen=True)
class Outlines:
    """The objects of an image, from which its mask is drawn.

    Args:
        height: Rows of the annotated image.
        width: Its columns.
        orientation: EXIF orientation by which the mask is turned; 1 if it is not.
        shapes: Class, and polygons or run lengths, of each object, in the order they are drawn.
    """

    height: int
    width: int
    orientation: int
    shapes: tuple[tuple[int, Any], ...]


def mask_source(images: Sequence[AnnotatedImage], labels: LabelSpec, invalid: Invalid, *, place: Path) -> Source:
    """Create a source with masks from annotated images, whose `extra` holds the outlines of objects.

    Raises:
        MissingExtra: If pycocotools is not installed.
        InvalidInput: If no image can be used, or the first label is not "background".
    """
    _tools()
    if labels.names[0] != "background":
        raise InvalidInput(
            f'the first of `labels` must be "background", the pixels without an object. Received: {labels.names[0]!r}'
        )
    usable, sizes = usable_images(images, invalid, place=place)
    values = []
    contents = np.zeros((len(usable), len(labels)), bool)
    contents[:, 0] = True
    for row, (image, size) in enumerate(zip(usable, sizes, strict=True)):
        turned = is_stored(image.annotated_size, size)
        height, width = size.stored if turned else (size.height, size.width)
        segments = sorted(image.extra, key=lambda segment: -segment.area)  # the smaller one is drawn over the larger
        contents[row, [segment.class_index for segment in segments]] = True
        shapes = tuple((segment.class_index, segment.shape) for segment in segments)
        values.append(Outlines(height, width, size.orientation if turned else 1, shapes))
    shapes_of_images = np.array([(size.height, size.width) for size in sizes], np.int32)
    return source_of(usable, MaskTargets(as_objects(values), draw, shapes_of_images, contents), labels, invalid)


def draw(outlines: Outlines) -> np.ndarray:
    """Draw the mask of an image.

    Returns:
        Class of each pixel, uint8 [height, width]; 0 where there is no object.

    Raises:
        InvalidInput: If the run lengths of an object are damaged, or belong to an image of another size.
    """
    mask = np.zeros((outlines.height, outlines.width), np.uint8)
    for class_index, shape in outlines.shapes:
        mask[object_pixels(shape, outlines.height, outlines.width)] = class_index
    return np.ascontiguousarray(turn_mask(mask, outlines.orientation))


def object_pixels(shape: Any, height: int, width: int) -> np.ndarray:
    """Return which pixels belong to an object, bool [height, width].

    Args:
        shape: Polygons [[x, y, …], …], or run lengths {"size", "counts"}.
        height: Rows of the image.
        width: Its columns.

    Raises:
        InvalidInput: If run lengths are damaged or belong to an image of another size, or a polygon lies far outside.
    """
    tools = _tools()
    if not isinstance(shape, dict):
        _check_polygons(shape, height, width)
        return tools.decode(tools.merge(tools.frPyObjects(shape, height, width))).astype(bool)
    counts = shape["counts"]
    if list(shape["size"]) != [height, width]:
        rows, columns = shape["size"]
        raise InvalidInput(f"run lengths of {columns} x {rows} pixels in an image of {width} x {height}")
    lengths = counts if isinstance(counts, list) else _lengths(counts)
    if sum(lengths) != height * width or min(lengths) < 0:  # pycocotools does not check that
        raise InvalidInput(f"damaged run lengths: {sum(lengths)} pixels in an image of {width} x {height}")
    return tools.decode(tools.frPyObjects({"size": [height, width], "counts": lengths}, height, width)).astype(bool)


def _lengths(text: str) -> list[int]:
    """Return the lengths in the compressed text of COCO: 5 bits a character, differences to the last but one."""
    lengths: list[int] = []
    value = shift = 0
    for character in text.encode():
        bits = character - 48
        if not 0 <= bits < 64 or shift > 30:
            raise InvalidInput("damaged run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) * bool(bits & 16)
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    if shift:
        raise InvalidInput("damaged run lengths: they end too early")
    return lengths


def _check_polygons(polygons: list[list[float]], height: int, width: int) -> None:
    """Raise if a polygon lies far outside of its image: pycocotools takes memory for each pixel of its outline.

    Raises:
        InvalidInput: If it does.
    """
    for polygon in polygons:
        points = np.reshape(polygon, (-1, 2))
        if (points < -_FAR * max(height, width)).any() or (points > _FAR * max(height, width)).any():
            raise InvalidInput(
                f"a polygon with the coordinate {np.abs(points).max():g} in an image of {width} x {height}"
            )


def _tools() -> Any:
    try:
        from pycocotools import mask
    except ImportError as error:
        raise MissingExtra(
            "masks from COCO files need pycocotools: pip install tltk[boxes]", name="pycocotools"
        ) from error
    return mask
