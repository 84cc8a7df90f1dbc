"""TIFF files: Pillow reads them, and the decoder of all other images takes their pixels as a PNG."""

import io
import os
from pathlib import Path

from PIL import Image

from tltk.foundation.errors import InvalidInput
from tltk.specs.image import MAX_PIXELS

SUFFIXES = (".tif", ".tiff")
_MODES = {"1": "L", "L": "L", "LA": "RGBA", "P": "RGBA", "PA": "RGBA", "RGB": "RGB", "RGBA": "RGBA", "CMYK": "RGB"}
_DEEP_MODES = ("I;16", "I;16B", "I;16L")


def is_tiff(path: str | bytes | Path) -> bool:
    """Tell whether a path ends like that of a TIFF file."""
    return os.fsdecode(path).lower().endswith(SUFFIXES)


def why_unsupported(image: Image.Image) -> str:
    """Return why the pixels of a TIFF cannot be used; "" for 8 bits per channel and for grey with 16 bits."""
    if image.mode in (*_MODES, *_DEEP_MODES):
        return ""
    return (
        f"a TIFF with pixels of Pillow's mode {image.mode}. Convert it, or pass arrays: "
        "tltk.from_arrays(pixels, labels, value_range=(low, high))"
    )


def too_large(image: Image.Image) -> str:
    """Return why an image has too many pixels to be decoded, or ""."""
    pixels = image.width * image.height
    return f"{pixels / 1e6:.1f} megapixels (limit {MAX_PIXELS / 1e6:.1f})" if pixels > MAX_PIXELS else ""


def read_as_png(path: str | bytes | Path) -> bytes:
    """Read the first image of a TIFF file as a PNG with the same pixels, upright.

    Args:
        path: Path of the file.

    Raises:
        OSError: If the file cannot be read.
        InvalidInput: If it is not a TIFF file, is damaged, or has pixels that a PNG cannot have.
    """
    content = Path(os.fsdecode(path)).read_bytes()
    try:
        image = Image.open(io.BytesIO(content), formats=("TIFF",))
        reason = too_large(image)
        if not reason:
            image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidInput("truncated or damaged TIFF") from error
    reason = reason or why_unsupported(image)
    if reason:
        raise InvalidInput(reason)
    mode = "I;16" if image.mode in _DEEP_MODES else _MODES[image.mode]  # Pillow has turned it upright
    png = io.BytesIO()
    (image if image.mode == mode else image.convert(mode)).save(png, format="PNG", compress_level=1)
    return png.getvalue()
