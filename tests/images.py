"""Image files for tests, valid and damaged."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

FORMATS = {"jpg": "JPEG", "png": "PNG", "gif": "GIF", "bmp": "BMP", "webp": "WEBP"}


def noise(height: int = 20, width: int = 24, *, seed: int = 0) -> np.ndarray:
    """Return random pixels, which no format compresses to a file too small to damage: uint8 [height, width, 3]."""
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3)).astype("uint8")


def encoded(ending: str, *, seed: int = 0, size: tuple[int, int] = (20, 24)) -> bytes:
    """Return the content of an image file of a format."""
    file = io.BytesIO()
    Image.fromarray(noise(*size, seed=seed)).save(file, FORMATS[ending])
    return file.getvalue()


def flat(path: Path, colour: tuple[int, int, int], *, size: tuple[int, int] = (16, 16)) -> Path:
    """Write a PNG of one colour, by which tests recognize the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size[::-1], colour).save(path)
    return path


def class_folder(root: Path, *, classes: tuple[str, ...] = ("cat", "dog"), count: int = 3) -> Path:
    """Write `count` PNGs per class; image i of all has the gray level 2 i, by which tests recognize it."""
    for number in range(len(classes) * count):
        name = classes[number // count]
        flat(root / name / f"{number % count:04d}.png", (2 * number,) * 3)
    return root


def damaged_png(path: Path, *, size: tuple[int, int] = (16, 16)) -> Path:
    """Write a PNG that is damaged in the middle: it passes checks of header and end but fails to decode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = bytearray(encoded("png", size=size))
    start = data.index(b"IDAT") + 4
    data[start + 40 : start + 200] = b"\xaa" * 160
    path.write_bytes(data)
    return path


def huge_png(path: Path, side: int = 10_000) -> Path:
    """Write a file of a hundred bytes whose header declares side × side pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0" * 100)), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path
