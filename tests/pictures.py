"""Picture files that the tests of tltk.data read, and the ways to damage them."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

FORMATS = {"jpg": "JPEG", "png": "PNG", "gif": "GIF", "bmp": "BMP", "webp": "WEBP"}


def noise(height: int = 20, width: int = 24, *, seed: int = 0) -> np.ndarray:
    """Pixels that no format packs well, so that every file has a middle to damage: uint8 [height, width, 3]."""
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3)).astype("uint8")


def encoded(ending: str, *, seed: int = 0, size: tuple[int, int] = (20, 24)) -> bytes:
    """A whole file of a format."""
    out = io.BytesIO()
    Image.fromarray(noise(*size, seed=seed)).save(out, FORMATS[ending])
    return out.getvalue()


def flat(path: Path, colour: tuple[int, int, int], *, size: tuple[int, int] = (16, 16)) -> Path:
    """Write a PNG of one colour, whose pixels tell which file was read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size[::-1], colour).save(path)
    return path


def class_folder(root: Path, *, classes: tuple[str, ...] = ("cat", "dog"), count: int = 3) -> Path:
    """A folder with `count` PNGs a class; picture i of all is grey level 2 i, so that it can be told which is which."""
    for number in range(len(classes) * count):
        name = classes[number // count]
        flat(root / name / f"{number % count:04d}.png", (2 * number,) * 3)
    return root


def damaged_png(path: Path, *, size: tuple[int, int] = (16, 16)) -> Path:
    """A PNG whose ends are right and whose middle is not: it passes a look at the ends and fails to decode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = bytearray(encoded("png", size=size))
    start = data.index(b"IDAT") + 4
    data[start + 40 : start + 200] = b"\xaa" * 160
    path.write_bytes(data)
    return path


def huge_png(path: Path, side: int = 10_000) -> Path:
    """A file of a hundred bytes whose header announces side × side pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0" * 100)), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path
