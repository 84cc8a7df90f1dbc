"""The input format of image models."""

from dataclasses import dataclass
from typing import ClassVar

from tltk.foundation import checks as check

RESIZES = ("stretch", "crop", "pad")
INTERPOLATIONS = ("bilinear", "bicubic", "nearest", "area")


@dataclass(frozen=True)
class ImageSpec:
    """Input format of an image backbone: float32 in [0, 255], shape [batch, height, width, channels].

    Args:
        height: Rows in pixels the weights were trained at; other sizes work if the backbone is fully convolutional.
        width: Columns in pixels.
        channels: 1 (grey), 3 (RGB), 4 (RGBA), or those of a multispectral camera.
        resize: How an image of another size is fitted: "stretch" (ignore the aspect ratio), "crop" (keep the aspect
            ratio, cut the longer side) or "pad" (keep the aspect ratio, add black bars).
        interpolation: Interpolation of the antialiased resize: "bilinear", "bicubic", "nearest" or "area".
        crop_fraction: With "crop", the central fraction that is kept, in (0, 1]; 0.875 is the usual 256 → 224 of
            ImageNet models.

    Raises:
        InvalidInput: If a number is out of range, or `resize` or `interpolation` is unknown.

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

    name: ClassVar[str] = "pixels"
    dtype: ClassVar[str] = "float32"

    def __post_init__(self) -> None:
        check.positive(height=self.height, width=self.width, channels=self.channels, crop_fraction=self.crop_fraction)
        check.one_of("resize", self.resize, RESIZES)
        check.one_of("interpolation", self.interpolation, INTERPOLATIONS)
        check.within("crop_fraction", self.crop_fraction, low=0, high=1)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return (self.height, self.width, self.channels)

    def describe(self) -> str:
        """Return the size of an example for people, such as "224×224"."""
        return f"{self.height}×{self.width}"
