"""The input format of image models."""

import math
from dataclasses import dataclass
from typing import ClassVar

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput

RESIZES = ("stretch", "crop", "pad")
INTERPOLATIONS = ("bilinear", "bicubic", "nearest", "area")

MAX_PIXELS = 89_478_485  # Pillow's limit: a quarter of a gigabyte as RGB
PIXEL_RANGE = (0.0, 255.0)  # of 8-bit images


def as_value_range(value_range: object) -> tuple[float, float]:
    """Check (low, high), and return it as floats.

    Raises:
        InvalidInput: If it is not a pair of finite numbers, the first below the second.
    """
    pair = tuple(value_range) if isinstance(value_range, tuple | list) else ()
    is_pair = len(pair) == 2 and all(check.is_number(value) and math.isfinite(value) for value in pair)
    if not is_pair or not pair[0] < pair[1]:
        raise InvalidInput(f"`value_range` must be (low, high), such as (0, 65535). Received: {value_range!r}")
    return (float(pair[0]), float(pair[1]))


@dataclass(frozen=True)
class ImageSpec:
    """Input format of an image backbone: float32 in `value_range`, shape [batch, height, width, channels].

    Args:
        height: Rows in pixels the weights were trained at; other sizes work if the backbone is fully convolutional.
        width: Columns in pixels.
        channels: 1 (grey), 3 (RGB), 4 (RGBA), or those of a multispectral camera.
        resize: How an image of another size is fitted: "stretch" (ignore the aspect ratio), "crop" (keep the aspect
            ratio, cut the longer side) or "pad" (keep the aspect ratio, add black bars).
        interpolation: Interpolation of the antialiased resize: "bilinear", "bicubic", "nearest" or "area".
        crop_fraction: With "crop", the central fraction that is kept, in (0, 1]; 0.875 is the usual 256 → 224 of
            ImageNet models.
        value_range: Value of black and of white. Files are read as (0, 255), or with all 16 bits as (0, 65535).

    Raises:
        InvalidInput: If a number is out of range, `value_range` is not (low, high), or `resize` or `interpolation` is
            unknown.

    Examples:
        >>> ImageSpec(224, 224).shape
        (224, 224, 3)
    """

    height: int
    width: int
    channels: int = 3
    resize: str = "stretch"
    interpolation: str = "bilinear"
    crop_fraction: float = 1.0
    value_range: tuple[float, float] = PIXEL_RANGE

    name: ClassVar[str] = "pixels"
    dtype: ClassVar[str] = "float32"

    def __post_init__(self) -> None:
        check.positive(height=self.height, width=self.width, channels=self.channels, crop_fraction=self.crop_fraction)
        check.one_of("resize", self.resize, RESIZES)
        check.one_of("interpolation", self.interpolation, INTERPOLATIONS)
        check.within("crop_fraction", self.crop_fraction, low=0, high=1)
        object.__setattr__(self, "value_range", as_value_range(self.value_range))
        if self.height * self.width > MAX_PIXELS:
            raise InvalidInput(
                f"an image must have at most {MAX_PIXELS / 1e6:.1f} megapixels. Received: {self.height}×{self.width}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return (self.height, self.width, self.channels)

    def describe(self) -> str:
        """Return the size of an example for people, such as "224×224"."""
        return f"{self.height}×{self.width}"
