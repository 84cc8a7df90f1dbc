"""Images as a person looks at them: RGB in their own size, upright, to be shown or drawn on."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from tltk.data.formats.arrays import as_pixels
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput, NotFound
from tltk.modalities.image.channels import FILE_CHANNELS, RGB, convert_channels
from tltk.modalities.image.decode import decode_full, why_undecodable
from tltk.modalities.image.tiff import is_tiff, read_as_png
from tltk.specs.image import PIXEL_RANGE


def decoded(data: bytes, name: str) -> np.ndarray:
    """Decode an encoded image as tltk does for training, but in its own size.

    Args:
        data: The bytes of a file.
        name: Name of the image, for the error message.

    Returns:
        uint8 [height, width, 3].

    Raises:
        InvalidInput: If it cannot be decoded.
    """
    reason = why_undecodable(data)
    if reason:
        raise InvalidInput(f"{name} cannot be decoded: {reason}")
    return decode_full(tf.constant(data)).numpy()


def encoded(path: str | Path) -> bytes:
    """Return the bytes of an image file; a TIFF file as PNG."""
    return read_as_png(path) if is_tiff(path) else Path(path).read_bytes()


def rgb(pixels: np.ndarray, value_range: tuple[float, float] = PIXEL_RANGE) -> np.ndarray | None:
    """Convert pixels in memory to what can be shown.

    Args:
        pixels: [height, width, channels], within `value_range`.
        value_range: Value of black and of white.

    Returns:
        uint8 [height, width, 3]; None unless there are 1, 3 or 4 channels.
    """
    if pixels.ndim != 3 or pixels.shape[-1] not in FILE_CHANNELS:
        return None
    if pixels.dtype != np.uint8 or value_range != PIXEL_RANGE:
        low, high = value_range
        pixels = np.clip((pixels.astype(np.float32) - low) / (high - low) * 255 + 0.5, 0, 255).astype(np.uint8)
    return convert_channels(tf.constant(pixels), RGB).numpy()


def as_picture(image: Any) -> Image.Image:
    """Return a new RGB picture of an image, upright, as tltk decodes it.

    Args:
        image: Path of a file, a PIL image, or pixels [height, width] or [height, width, channels], uint8 in [0, 255].

    Returns:
        A PIL image that can be drawn on; the one that was passed stays as it is.

    Raises:
        NotFound: If there is no such file.
        InvalidType: If it is something else.
        InvalidInput: If it cannot be decoded, or its pixels are not uint8.
    """
    if isinstance(image, str | Path):
        if not Path(image).is_file():
            raise NotFound(f"`image`: there is no file {image}.")
        return Image.fromarray(decoded(encoded(image), str(image)))
    check.instance_of(
        "image", image, (Image.Image, np.ndarray), hint="Pass a path, a PIL image, or pixels [height, width, 3]."
    )
    pixels = np.asarray(as_pixels(image))
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    shown = rgb(pixels) if pixels.dtype == np.uint8 else None
    if shown is None:
        raise InvalidInput(
            "`image` must be pixels [height, width] or [height, width, 1, 3 or 4] of dtype uint8 in [0, 255]. "
            f"Received: {pixels.dtype}{list(pixels.shape)}"
        )
    return Image.fromarray(shown)
