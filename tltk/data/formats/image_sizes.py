"""Sizes of image files as they are decoded, and annotations of images that a viewer turns."""

import io
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

_THREADS = 8  # they mostly wait for the disk
_FILES_PER_TASK = 256
_ORIENTATION = 0x0112  # TIFF 6.0, page 36
_WITH_EXIF = ("JPEG", "MPO", "PNG", "WEBP")  # the formats whose orientation tltk applies
# Orientations that a viewer turns upside down, and that it mirrors, after it exchanges rows and columns from 5 on.
_UPSIDE_DOWN, _MIRRORED, _TRANSPOSED = (3, 4, 7, 8), (2, 3, 6, 7), 5


@dataclass(frozen=True)
class ImageSize:
    """Size of an image as a viewer shows it.

    Args:
        height: Rows in pixels.
        width: Columns in pixels.
        orientation: EXIF orientation, 1 … 8: what a viewer does with the stored pixels.
    """

    height: int
    width: int
    orientation: int = 1

    @property
    def is_transposed(self) -> bool:
        """Whether the stored rows are shown as columns."""
        return self.orientation >= _TRANSPOSED

    @property
    def stored(self) -> tuple[int, int]:
        """Height and width of the stored pixels."""
        return (self.width, self.height) if self.is_transposed else (self.height, self.width)


def image_size(file: str | bytes) -> ImageSize | str:
    """Read the size of an image from its header.

    Args:
        file: Path of an image file, or its content.

    Returns:
        The size; or the reason why it cannot be read.
    """
    opened = file if isinstance(file, str) else io.BytesIO(file)
    try:
        with Image.open(opened) as image:
            if image.format == "TIFF":  # read by Pillow, which turns it
                return ImageSize(*_tiff_shape(image))
            orientation = _orientation(image)
            width, height = image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return f"its header cannot be read: {error}"
    size = ImageSize(height, width, orientation)
    return ImageSize(*size.stored, orientation)


def image_sizes(paths: Sequence[str]) -> list[ImageSize | str]:
    """Read the sizes of image files from their headers, see `image_size`; a few tenths of a millisecond each."""
    tasks = [paths[start : start + _FILES_PER_TASK] for start in range(0, len(paths), _FILES_PER_TASK)]
    with warnings.catch_warnings(), ThreadPoolExecutor(_THREADS) as pool:
        warnings.filterwarnings("ignore", module="PIL")  # about damaged metadata, which is harmless
        return [size for sizes in pool.map(lambda task: [image_size(path) for path in task], tasks) for size in sizes]


def turn_boxes(boxes: np.ndarray, size: ImageSize) -> np.ndarray:
    """Move boxes that were drawn on the stored pixels to the image as a viewer shows it.

    Args:
        boxes: Edges (y_min, x_min, y_max, x_max) in stored pixels, [k, 4].
        size: Size of the image, with the orientation.
    """
    y_min, x_min, y_max, x_max = np.moveaxis(np.asarray(boxes), -1, 0)
    if size.is_transposed:
        y_min, x_min, y_max, x_max = x_min, y_min, x_max, y_max
    if size.orientation in _MIRRORED:
        x_min, x_max = size.width - x_max, size.width - x_min
    if size.orientation in _UPSIDE_DOWN:
        y_min, y_max = size.height - y_max, size.height - y_min
    return np.stack([y_min, x_min, y_max, x_max], -1)


def turn_mask(mask: np.ndarray, orientation: int) -> np.ndarray:
    """Turn a mask of the stored pixels as a viewer turns the image.

    Args:
        mask: [height, width] of the stored pixels.
        orientation: EXIF orientation of the image, 1 … 8.
    """
    turned = mask.T if orientation >= _TRANSPOSED else mask
    turned = turned[:, ::-1] if orientation in _MIRRORED else turned
    return turned[::-1] if orientation in _UPSIDE_DOWN else turned


def mismatch(annotated: tuple[int, int], size: ImageSize) -> str:
    """Return why annotations made for an image of another size cannot be used; "" if they can.

    Args:
        annotated: Height and width that the annotations state.
        size: Size of the file.
    """
    if annotated in ((size.height, size.width), size.stored):
        return ""
    return (
        f"its annotations are for {annotated[1]} x {annotated[0]} pixels (width x height), and the file has "
        f"{size.width} x {size.height}: annotate the resized image, or take the original one"
    )


def is_stored(annotated: tuple[int, int] | None, size: ImageSize) -> bool:
    """Tell whether annotations were made on the stored pixels of an image whose rows a viewer shows as columns.

    Most labelling tools show an image as a viewer does. Annotations of other tools state a size with rows and columns
    exchanged. Square images, and images that are only mirrored or turned upside down, cannot be told apart.

    Args:
        annotated: Height and width that the annotations state; None if they state none.
        size: Size of the file.
    """
    return annotated is not None and annotated == size.stored != (size.height, size.width)


def _orientation(image: Image.Image) -> int:
    """Return the orientation in the first directory of the EXIF block; 1 without a valid one."""
    block = image.info.get("exif") if image.format in _WITH_EXIF else None
    if not block:
        return 1
    exif = Image.Exif()
    try:
        exif.load(block)
        orientation = exif.get(_ORIENTATION)
    except (OSError, ValueError, SyntaxError, KeyError, IndexError, OverflowError):  # a damaged block
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _tiff_shape(image: Image.Image) -> tuple[int, int]:
    """Return height and width of a TIFF, turned upright."""
    stored = (image.tag_v2.get(257), image.tag_v2.get(256))  # type: ignore[attr-defined]
    orientation = image.tag_v2.get(_ORIENTATION, 1)  # type: ignore[attr-defined]
    return (stored[1], stored[0]) if isinstance(orientation, int) and orientation >= _TRANSPOSED else stored


def inside(root: str, name: str) -> str:
    """Return the path of a file in a folder; "" if its name leads out of the folder by ".." or as an absolute path.

    Links are followed: the user has created them, not the author of the annotations.
    """
    path = os.path.normpath(os.path.join(root, name))  # noqa: PTH118
    base = os.path.join(os.path.normpath(root), "")  # noqa: PTH118
    return path if path.startswith(base) or (base == "./" and not path.startswith(("..", os.sep))) else ""
