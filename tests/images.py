"""Image files for tests, valid and damaged."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

FORMATS = {"jpg": "JPEG", "png": "PNG", "gif": "GIF", "bmp": "BMP", "webp": "WEBP"}


def noise(height: int = 20, width: int = 24, *, seed: int = 0) -> np.ndarray:
    """Return random pixels, uint8 [height, width, 3]; they compress badly, so that files are long enough to damage."""
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3)).astype("uint8")


def encoded(ending: str, *, seed: int = 0, size: tuple[int, int] = (20, 24)) -> bytes:
    """Return the bytes of an image file with random pixels, in the format of a file name ending."""
    file = io.BytesIO()
    Image.fromarray(noise(*size, seed=seed)).save(file, FORMATS[ending])
    return file.getvalue()


def solid_png(path: Path, colour: tuple[int, int, int], *, size: tuple[int, int] = (16, 16)) -> Path:
    """Write a PNG of one colour, which identifies the image in tests; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size[::-1], colour).save(path)
    return path


def class_folder(root: Path, *, classes: tuple[str, ...] = ("cat", "dog"), count: int = 3) -> Path:
    """Write `count` PNGs per class; image i of all has the gray level 2 i, which identifies it in tests."""
    for index in range(len(classes) * count):
        label = classes[index // count]
        solid_png(root / label / f"{index % count:04d}.png", (2 * index,) * 3)
    return root


def damaged_png(path: Path, *, size: tuple[int, int] = (16, 16)) -> Path:
    """Write a PNG that is damaged in the middle: its header and end are valid, but it cannot be decoded."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = bytearray(encoded("png", size=size))
    start = data.index(b"IDAT") + 4
    data[start + 40 : start + 200] = b"\xaa" * 160
    path.write_bytes(data)
    return path


def huge_png(path: Path, side: int = 10_000) -> Path:
    """Write a PNG of about a hundred bytes whose header declares side × side pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0" * 100)), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path
