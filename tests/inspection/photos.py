"""Images with something to see: blobs of random place, size and color, which no two images share."""

import io

import numpy as np
from PIL import Image, ImageEnhance

SIDE = 64


def picture(seed: int, side: int = SIDE) -> np.ndarray:
    """Return random pixels of low frequency, uint8 [side, side, 3]."""
    small = np.random.default_rng(seed).integers(20, 200, (6, 6, 3)).astype("uint8")
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC))


def pictures(count: int, *, first: int = 0) -> np.ndarray:
    """Return `count` different pictures, uint8 [count, side, side, 3]."""
    return np.stack([picture(first + number) for number in range(count)])


def changed(pixels: np.ndarray, change: str) -> np.ndarray:
    """Return a near duplicate: cropped, resized, re-encoded, brightened or rotated."""
    image = Image.fromarray(pixels)
    width, height = image.size
    if change == "crop":
        box = (width // 20, height // 16, width, height - height // 20)
        image = image.crop(box).resize((width, height), Image.Resampling.BILINEAR)
    elif change == "resize":
        image = image.resize((width // 2, height // 2), Image.Resampling.BILINEAR).resize((width, height))
    elif change == "re-encode":
        file = io.BytesIO()
        image.save(file, "JPEG", quality=60)
        image = Image.open(file).convert("RGB")
    elif change == "brighten":
        image = ImageEnhance.Brightness(image).enhance(1.2)
    elif change == "rotate":
        image = image.rotate(4, Image.Resampling.BILINEAR, fillcolor=tuple(int(value) for value in pixels[0, 0]))
    return np.asarray(image)


CHANGES = ("crop", "resize", "re-encode", "brighten", "rotate")
