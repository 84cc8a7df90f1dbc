"""Masks in image files: palette or grey index, or colours with a table."""

import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tltk.data.formats import annotated_images as annotated
from tltk.data.formats.image_sizes import turn_mask
from tltk.data.formats.text_files import existing_file, read_text
from tltk.data.masks import IGNORE
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.specs.image import MAX_PIXELS

_INDEXED = ("1", "L", "P", "I;16", "I;16B", "I;16L", "I")  # modes of Pillow with one value per pixel
_HEX = re.compile(r"#([0-9a-fA-F]{6})")
_SPLIT = re.compile(r"[:;,\t]")
_LOSSY = ("JPEG", "MPO")
_HEAD = 65_536  # bytes of a file by which a change of it is noticed

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class MaskFile:
    """A mask in a file.

    Args:
        path: Path of the file; a name if it has `content`.
        orientation: EXIF orientation by which the mask is turned; 1 if it is not.
        content: Content of a file that is in memory; None to read it from the path.
    """

    path: str
    orientation: int = 1
    content: bytes | None = field(default=None, repr=False)

    def tobytes(self) -> bytes:
        """Return bytes that differ if another file, or a file with another beginning or size, takes its place."""
        if self.content is not None:
            return self.content
        try:
            with open(self.path, "rb") as file:  # noqa: PTH123
                return b"%d %b" % (file.seek(0, 2), file.read(_HEAD) if file.seek(0) == 0 else b"")
        except OSError:  # it is listed as invalid when it is read
            return self.path.encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class MaskReader:
    """Reads masks, and turns their values into classes.

    Args:
        classes: Pairs of a value, or of a colour as a number, and its class.
        ignore: Values or colours that do not count; they become 255.
        has_colours: Whether masks are read as colours.
    """

    classes: tuple[tuple[int, int], ...]
    ignore: tuple[int, ...] = (IGNORE,)
    has_colours: bool = False

    def __call__(self, file: MaskFile) -> np.ndarray:
        """Read a mask: uint8 [height, width].

        Raises:
            OSError: If the file cannot be read.
            InvalidInput: If it is damaged, or has a value or colour without a class.
        """
        mask = self.classes_of(
            read_values(file.path if file.content is None else file.content, colours=self.has_colours)
        )
        return np.ascontiguousarray(turn_mask(mask, file.orientation))

    def classes_of(self, values: np.ndarray) -> np.ndarray:
        """Return the class of each value.

        Raises:
            InvalidInput: If a value has no class.
        """
        table = dict(self.classes)
        unique, index = np.unique(values, return_inverse=True)
        classes = [IGNORE if value in self.ignore else table.get(value, -1) for value in unique.tolist()]
        unknown = [value for value, number in zip(unique.tolist(), classes, strict=True) if number < 0]
        if unknown:
            shown = check.listing((colour_text(value) if self.has_colours else value for value in unknown), limit=3)
            what = "colour" if self.has_colours else "value"
            belong = f"{len(unknown)} {what}s that belong" if len(unknown) > 1 else f"1 {what} that belongs"
            raise InvalidInput(f"has {belong} to none of the {len(set(table.values()))} classes: {shown}")
        return np.array(classes, np.uint8)[index.reshape(values.shape)]


def read_values(file: str | bytes, *, colours: bool) -> np.ndarray:
    """Read the values of a mask.

    Args:
        file: Path of a file, or its content.
        colours: Whether to return colours as numbers, see `colour_number`, instead of indices.

    Returns:
        int32 [height, width].

    Raises:
        OSError: If the file cannot be read.
        InvalidInput: If it is damaged, too large, a JPEG, or has colours and `colours` is False.
    """
    data = Path(file).read_bytes() if isinstance(file, str) else file
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.format in _LOSSY:
                raise InvalidInput("is a JPEG, whose compression changes values: save masks as PNG")
            if image.width * image.height > MAX_PIXELS:
                raise InvalidInput(
                    f"has {image.width * image.height / 1e6:.1f} megapixels (limit {MAX_PIXELS / 1e6:.1f})"
                )
            return _values(image, colours=colours)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"is not an image, or is damaged: {error}") from error


def _values(image: Image.Image, *, colours: bool) -> np.ndarray:
    if colours:
        rgb = np.asarray(image.convert("RGB"), np.int32)
        return rgb[..., 0] * 2**16 + rgb[..., 1] * 2**8 + rgb[..., 2]
    if image.mode in _INDEXED:
        return np.asarray(image).astype(np.int32)
    if image.mode == "LA":
        return np.asarray(image, np.int32)[..., 0]
    rgb = np.asarray(image.convert("RGB"), np.int32)
    if (rgb == rgb[..., :1]).all():  # grey, saved with three channels
        return rgb[..., 0]
    raise InvalidInput("has colours: pass the colour of each class as `colors`")


def colour_number(red: int, green: int, blue: int) -> int:
    """Return a colour as one number, 0xRRGGBB."""
    return red * 2**16 + green * 2**8 + blue


def colour_text(number: int) -> str:
    """Return a colour as it is written, such as "#ff8000"."""
    return f"#{number:06x}"


def colour_table(colors: Mapping[Any, Any] | str | os.PathLike) -> dict[str, tuple[int, ...]]:
    """Return the colours of each class.

    Args:
        colors: Class → colour: (red, green, blue), "#rrggbb", or one grey value; or a text file with a class and its
            colour per line, such as "cat:128,0,0" (labelmap.txt of CVAT) or "cat,128,0,0" (class_dict.csv).

    Returns:
        Class → colours as numbers, see `colour_number`, in the order of `colors`.

    Raises:
        InvalidInput: If a colour is invalid or belongs to two classes; all are listed.
    """
    entries = list(colors.items()) if isinstance(colors, Mapping) else _read_table(existing_file(os.fspath(colors)))
    problems = check.Problems()
    table: dict[str, tuple[int, ...]] = {}
    owners: dict[int, str] = {}
    for name, colour in entries:
        class_name, value = annotated.text(name), _as_colour(colour)
        if not class_name or value is None:
            problems.add(
                f"the colour of {name!r} must be (red, green, blue), '#rrggbb' or a grey value, of 0 to 255. Received: "
                f"{colour!r:.40}"
            )
        elif owners.setdefault(value, class_name) != class_name:
            problems.add(f"{colour_text(value)} is the colour of {owners[value]!r} and of {class_name!r}")
        else:
            table[class_name] = (*table.get(class_name, ()), value)
    if not entries:
        problems.add("`colors` must have the colour of each class. Received: none")
    problems.raise_if_any("`colors`:" if problems.messages else "")
    return table


def _as_colour(value: Any) -> int | None:
    match = _HEX.fullmatch(value.strip()) if isinstance(value, str) else None
    if match:
        return int(match[1], 16)
    channels = list(value) if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str) else [value] * 3
    numbers = [annotated.whole(channel) for channel in channels]
    if len(numbers) != 3 or any(number is None or not 0 <= number <= 255 for number in numbers):
        return None
    red, green, blue = (number for number in numbers if number is not None)
    return colour_number(red, green, blue)


def _read_table(path: Path) -> list[tuple[str, Any]]:
    """Read a class and three numbers per line; lines without numbers, such as a header, are left out."""
    entries = []
    for line in map(str.strip, read_text(path).splitlines()):
        cells = [cell.strip() for cell in _SPLIT.split(line)]
        if line.startswith("#") or len(cells) < 4:
            continue
        if all(annotated.whole(cell) is not None for cell in cells[1:4]):
            entries.append((cells[0], tuple(cells[1:4])))
    if not entries:
        raise InvalidInput(
            f"{path} must have a class and its colour in each line, such as cat:128,0,0. Received: no such line."
        )
    return entries
