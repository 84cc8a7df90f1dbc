"""Draws labels, boxes and legends on images, so that they are legible on light and dark ones."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]
Box = tuple[float, float, float, float]

# Colours that people with a colour vision deficiency can tell apart: those of Okabe & Ito (2008) without black, then
# some of Tol's "muted" scheme (2021). Further classes repeat them, so that a colour never stands without its label.
PALETTE: tuple[Color, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (51, 34, 136),
    (136, 34, 85),
    (153, 153, 51),
    (204, 102, 119),
    (68, 170, 153),
    (221, 221, 221),
)
TRUTH: Color = (255, 255, 255)
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
_SMALLEST_TEXT = 10  # pixels
_TEXT, _LINE = 0.028, 0.005  # of the shorter side of an image


class Entry(NamedTuple):
    """A line of a legend.

    Attributes:
        color: Colour of its square.
        text: Text beside it.
    """

    color: Color
    text: str


def color_of(name: str, names: Sequence[str]) -> Color:
    """Return the colour of a class, the same in every image.

    Args:
        name: Name of the class.
        names: All classes of the task; a name that is not among them has the colour of the first one.

    Examples:
        >>> color_of("dog", ["cat", "dog"])
        (86, 180, 233)
    """
    return PALETTE[(names.index(name) if name in names else 0) % len(PALETTE)]


class Canvas:
    """Draws on an image; labels avoid each other.

    Args:
        image: RGB image, which is changed.
    """

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self.draw = ImageDraw.Draw(image)
        self.line = max(2, round(_LINE * min(image.size)))
        self.font = font(_text_size(image))
        self.labels: list[Box] = []  # left, top, right, bottom of those drawn so far

    def box(self, box: Sequence[float], color: Color) -> None:
        """Draw a box as a solid line with a dark rim.

        Args:
            box: (y_min, x_min, y_max, x_max) in pixels: edges, so that an image of height h spans 0 to h.
            color: Colour of the line.
        """
        left, top, right, bottom = self._corners(box)
        for grown, width, line in ((1, self.line + 2, _BLACK), (0, self.line, color)):
            corners = (left - grown, top - grown, max(right, left) + grown, max(bottom, top) + grown)
            self.draw.rectangle(corners, outline=line, width=width)

    def dashed_box(self, box: Sequence[float]) -> None:
        """Draw a box as a dashed line, black and white: for true objects."""
        left, top, right, bottom = self._corners(box)
        width, dash = max(1, self.line // 2), 4 * self.line
        self.draw.rectangle((left, top, right, bottom), outline=_BLACK, width=width)
        for start in range(left, right, 2 * dash):
            for y in (top, bottom):
                self.draw.line((start, y, min(start + dash, right), y), fill=_WHITE, width=width)
        for start in range(top, bottom, 2 * dash):
            for x in (left, right):
                self.draw.line((x, start, x, min(start + dash, bottom)), fill=_WHITE, width=width)

    def label(self, box: Sequence[float], text: str, color: Color, *, below: bool = False) -> None:
        """Write a label at a box, away from other labels if there is room.

        Args:
            box: (y_min, x_min, y_max, x_max) in pixels.
            text: The label; cut off if the image is too narrow.
            color: Background of the label.
            below: Whether to prefer the lower edge.
        """
        left, top, right, bottom = self._corners(box)
        text, width, height = self._fitted(text, self.image.width)
        rows = [top - height, top + self.line, bottom - height - self.line, bottom + 1]
        rows = rows[::-1] if below else rows
        columns = (left, right - width + 1)
        places = [self._inside(column, row, width, height) for row in rows for column in columns]
        wanted = [row for row in rows for _ in columns]
        free = [
            place
            for place, row in zip(places, wanted, strict=True)
            if round(place[1]) == row and not any(_overlap(place, other) for other in self.labels)
        ]
        self._write((free or places)[0], text, color)

    def caption(self, entries: Sequence[Entry]) -> None:
        """Write labels below each other in the upper left corner."""
        top = 0
        for color, entry in entries:
            text, width, height = self._fitted(entry, self.image.width)
            self._write((0, top, width, top + height), text, color)
            top += height

    def _corners(self, box: Sequence[float]) -> tuple[int, int, int, int]:
        """Return first and last column and row of a box, x first, as Pillow takes them."""
        y_min, x_min, y_max, x_max = box
        return round(x_min), round(y_min), max(round(x_max) - 1, round(x_min)), max(round(y_max) - 1, round(y_min))

    def _inside(self, left: float, top: float, width: float, height: float) -> Box:
        """Return left, top, right and bottom, moved into the image."""
        left = max(0, min(left, self.image.width - width))
        top = max(0, min(top, self.image.height - height))
        return left, top, left + width, top + height

    def _fitted(self, text: str, room: float) -> tuple[str, int, int]:
        """Return a text of one line, shortened to the room, and the width and height of its label."""
        text, pad = " ".join(text.split()), max(2, self.line)
        ascent, descent = self.font.getmetrics()
        while len(text) > 1 and self.font.getlength(text) + 2 * pad > room:
            text = text.removesuffix("…")[:-1] + "…"
        return text, round(self.font.getlength(text)) + 2 * pad, ascent + descent + 2

    def _write(self, place: Box, text: str, color: Color) -> None:
        left, top, right, bottom = place
        self.draw.rectangle((left, top, right - 1, bottom - 1), fill=color)
        self.draw.text((left + max(2, self.line), top + 1), text, font=self.font, fill=ink_on(color))
        self.labels.append(place)


def with_legend(image: Image.Image, entries: Sequence[Entry], *, busy: np.ndarray | None = None) -> Image.Image:
    """Write a legend into a corner of an image, or below it if it would cover more than a quarter.

    Args:
        image: RGB image, which is changed if the legend is written into it.
        entries: Lines of the legend.
        busy: bool [height, width], pixels that the legend should avoid; None writes it below the image.

    Returns:
        The image, or a higher one with the legend below.
    """
    if not entries:
        return image
    letters = font(_text_size(image))
    ascent, descent = letters.getmetrics()
    row, pad = ascent + descent + 2, 4
    width = round(max(letters.getlength(text) for _, text in entries)) + ascent + 3 * pad
    height = row * len(entries) + 2 * pad
    fits = 4 * width * height <= image.width * image.height and width <= image.width and height <= image.height
    if busy is None or not fits:
        higher = Image.new("RGB", (max(image.width, width), image.height + height), _WHITE)
        higher.paste(image)
        left, top, image = 0, image.height, higher
    else:
        corners = [(x, y) for y in (image.height - height, 0) for x in (0, image.width - width)]
        left, top = min(corners, key=lambda corner: busy[corner[1] :, corner[0] :][:height, :width].sum())
    draw = ImageDraw.Draw(image)
    draw.rectangle((left, top, left + width - 1, top + height - 1), fill=_WHITE)
    for number, (color, text) in enumerate(entries):
        y = top + pad + number * row
        draw.rectangle((left + pad, y + 2, left + pad + ascent - 2, y + ascent), fill=color, outline=_BLACK)
        draw.text((left + 2 * pad + ascent, y), text, font=letters, fill=_BLACK)
    return image


def beside(images: Sequence[Image.Image], titles: Sequence[str]) -> Image.Image:
    """Put images of one height side by side, each below a title.

    Args:
        images: RGB images.
        titles: A title for each.
    """
    gap, letters = 4, font(_text_size(images[0]))
    ascent, descent = letters.getmetrics()
    title_height = ascent + descent + 2
    widths = [max(image.width, round(letters.getlength(title))) for image, title in zip(images, titles, strict=True)]
    height = title_height + max(image.height for image in images)
    joined = Image.new("RGB", (sum(width + gap for width in widths) - gap, height), _WHITE)
    draw, left = ImageDraw.Draw(joined), 0
    for image, title, width in zip(images, titles, widths, strict=True):
        draw.text((left, 1), title, font=letters, fill=_BLACK)
        joined.paste(image, (left, title_height))
        left += width + gap
    return joined


def ink_on(color: Color) -> Color:
    """Return black or white, whichever has more contrast with a colour (WCAG 2.2, relative luminance).

    Examples:
        >>> ink_on((240, 228, 66)), ink_on((51, 34, 136))
        ((0, 0, 0), (255, 255, 255))
    """
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in (c / 255 for c in color)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return _BLACK if (luminance + 0.05) ** 2 > 1.05 * 0.05 else _WHITE


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which Matplotlib includes: Latin, Greek, Cyrillic and other letters.

    Args:
        size: Height in pixels.
    """
    from matplotlib import get_data_path  # here, so that nobody waits for it who draws nothing

    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def _text_size(image: Image.Image) -> int:
    return max(_SMALLEST_TEXT, round(_TEXT * min(image.size)))


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
