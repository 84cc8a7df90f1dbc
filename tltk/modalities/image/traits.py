"""What an inspection needs to know about images: hashes, sketches, surprising headers, ranges of pixels."""

import os
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from tltk.data.source import Source
from tltk.foundation import progress
from tltk.modalities.image import registration
from tltk.modalities.image.channels import FILE_CHANNELS, RGB
from tltk.modalities.image.contents import array_digests
from tltk.modalities.image.reader import READERS
from tltk.modalities.image.validate import invalid_files
from tltk.modalities.traits import Remark, StoredSketches, Traits
from tltk.pipeline.batching import Order
from tltk.pipeline.parallel import in_order
from tltk.specs import ImageSpec
from tltk.specs.image import PIXEL_RANGE

_BLOCK = 512  # images at once
_NOTED = 64  # images that are looked at before training
_HASH = 8  # coefficients of the cosine transform per side
_FAINT = 2.0  # coefficients below are rounding
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_HEADER_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")
_ENDINGS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    ".png": "PNG",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".webp": "WEBP",
}
_KINDS = {"1": "black and white", "L": "grey", "P": "palette", "RGB": "RGB", "CMYK": "CMYK", "YCbCr": "RGB"}
_MIN_SIDE, _MAX_MEGAPIXELS, _UNUSUAL = 16, 50.0, 8.0  # the last is a ratio to the median side
_SCALING_FIX = "load the pixels again, and do not divide them: tltk scales them in the model"


class Header(NamedTuple):
    """What the header of an image file says.

    Attributes:
        format: Pillow's name of the format, such as "JPEG".
        width: In pixels.
        height: In pixels.
        kind: Channels, such as "RGB", "grey", "16 bits" or "with transparency".
    """

    format: str
    width: int
    height: int
    kind: str


def traits_of(source: Source, spec: ImageSpec | None) -> Traits:
    """Look at every image once: decode it to 32 pixels, hash it, and compare its header with those of the others.

    Args:
        source: Images in files, in memory or in a stream.
        spec: Input format of a model, whose range of pixels is compared with that of the source; None if there is none.

    Returns:
        Hashes and sketches of all images that can be decoded; rows of the others are zeros.
    """
    count = len(source)
    undecodable: dict[int, str] = {}
    remarks: list[Remark] = []
    digests = None
    low, high = source.value_range or PIXEL_RANGE
    if source.storage == "files":
        paths = [str(path) for path in source.examples]
        undecodable = {row: reason for row, reason in enumerate(invalid_files(paths)) if reason}
        remarks += _header_remarks(paths)
    if source.storage == "arrays":
        digests = array_digests(source.examples, (low, high))
        remarks.append(_scaling_remark(source.examples, (low, high), spec))
    hashes = np.zeros(count, np.uint64)
    sketches = StoredSketches((registration.SIDE, registration.SIDE, RGB), "uint8")
    dark: dict[int, str] = {}
    rows_to_read = np.array([row for row in range(count) if row not in undecodable], np.int64)
    for rows, pixels, invalid in _sketches(source, rows_to_read):
        undecodable |= invalid
        if len(rows):
            small = _as_rgb(pixels, low, high)
            sketches.write(rows, small)
            hashes[rows] = perceptual_hashes(small)
            brightest = small.reshape(len(rows), -1).max(1)
            dark |= {
                int(row): f"no pixel above {top}" for row, top in zip(rows, brightest, strict=True) if 0 < top <= 1
            }
    if source.storage != "arrays":
        remarks.append(Remark("scaling", "error", _SCALING_FIX, dark))
    return Traits(hashes, sketches, undecodable, tuple(remarks), digests)


def perceptual_hashes(sketches: np.ndarray) -> np.ndarray:
    """Hash images by the signs of their lowest frequencies, so that similar images have similar hashes.

    Args:
        sketches: uint8 [k, 32, 32, 3].

    Returns:
        uint64 [k]: of each of the 63 lowest coefficients of the two-dimensional cosine transform but the mean, whether
        it is above their median (the "pHash" of Zauner 2010, "Implementation and benchmarking of perceptual image hash
        functions").
    """
    side = sketches.shape[1]
    basis = np.cos(np.pi / side * np.arange(_HASH)[:, None] * (np.arange(side) + 0.5)).astype(np.float32)
    coefficients = (basis @ (sketches @ _LUMA) @ basis.T).reshape(len(sketches), -1)[:, 1:] * (2 / side)
    coefficients = np.where(np.abs(coefficients) < _FAINT, 0, coefficients)
    bits = coefficients > np.median(coefficients, axis=1, keepdims=True)
    return np.packbits(np.pad(bits, ((0, 0), (1, 0))), axis=1).view(">u8")[:, 0].astype(np.uint64)


def read_header(path: str) -> Header | None:
    """Read the header of an image file; None if Pillow cannot.

    Args:
        path: Path of the file.
    """
    try:
        with warnings.catch_warnings(), Image.open(path, formats=_HEADER_FORMATS) as image:
            image_format = "JPEG" if image.format == "MPO" else str(image.format)
            return Header(image_format, image.width, image.height, _kind(image))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None  # the decoder says whether it can be read, and if not, why


def _kind(image: Image.Image) -> str:
    if image.has_transparency_data:
        return "with transparency"
    if image.mode.startswith(("I", "F")):
        return "16 bits"
    return _KINDS.get(image.mode, image.mode)


def _sketches(source: Source, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, dict[int, str]]]:
    """Yield rows, their pixels at the size of a sketch, and why other rows cannot be decoded."""
    channels = source.examples.shape[-1] if source.storage == "arrays" else RGB
    side, value_range = registration.SIDE, source.value_range or PIXEL_RANGE
    spec = ImageSpec(side, side, RGB if channels in FILE_CHANNELS else channels, value_range=value_range)
    reader = READERS[source.storage](source.examples[rows], spec)
    with progress.bar("looking at images", len(rows)) as advance:
        for part in reader.partial_batches(Order(_BLOCK)):
            advance(len(part.rows) + len(part.invalid))
            pixels = part.values[0] if len(part.rows) else np.zeros((0, side, side, channels), np.uint8)
            yield rows[part.rows], pixels, {int(rows[row]): reason for row, reason in part.invalid.items()}


def _as_rgb(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """Convert pixels of any range and channels to uint8 RGB; of other channels, the first, the middle and the last."""
    if pixels.dtype != np.uint8 or (low, high) != PIXEL_RANGE:
        pixels = np.clip((pixels.astype(np.float32) - low) * (255 / (high - low)) + 0.5, 0, 255).astype(np.uint8)
    channels = pixels.shape[-1]
    return pixels if channels == RGB else pixels[..., [0, channels // 2, channels - 1]]


def _header_remarks(paths: list[str]) -> list[Remark]:
    blocks = (paths[start : start + _BLOCK] for start in range(0, len(paths), _BLOCK))
    headers = {
        row: header
        for row, header in enumerate(
            header
            for block in in_order(lambda block: [read_header(path) for path in block], blocks)
            for header in block
        )
        if header is not None
    }
    endings: dict[int, str] = {}
    sizes: dict[int, str] = {}
    kinds: dict[int, str] = {}
    usual_side = np.median([max(header.width, header.height) for header in headers.values()] or [0])
    usual_kind = Counter(header.kind for header in headers.values()).most_common(1)
    for row, header in headers.items():
        ending = os.path.splitext(paths[row])[1].lower()  # noqa: PTH122 - creating a million Path objects is slow
        if _ENDINGS.get(ending, header.format) != header.format:
            endings[row] = f"a {header.format} file"
        if header.kind != usual_kind[0][0]:
            kinds[row] = header.kind
        if _is_odd_size(header, usual_side):
            sizes[row] = f"{header.width} x {header.height} pixels"
    usual = f"most are {usual_kind[0][0]}" if usual_kind else ""
    return [
        Remark(
            "wrong_ending", "note", "rename the files; tltk goes by their contents, other programs may not", endings
        ),
        Remark("odd_size", "warning", "check whether they are thumbnails, icons or scans of several examples", sizes),
        Remark("odd_channels", "note", f"check whether they were produced in another way; {usual}", kinds),
    ]


def _is_odd_size(header: Header, usual_side: float) -> bool:
    short, long = sorted((header.width, header.height))
    is_tiny = short < min(_MIN_SIDE, usual_side / 2) or long * _UNUSUAL < usual_side
    return is_tiny or header.width * header.height > _MAX_MEGAPIXELS * 1e6 or long > usual_side * _UNUSUAL


def _scaling_remark(pixels: np.ndarray, value_range: tuple[float, float], spec: ImageSpec | None) -> Remark:
    """Find images whose pixels fill no more than a 255th of their range, or that are not in the range of the model."""
    if spec is not None and spec.value_range != value_range:
        (low, high), (model_low, model_high) = value_range, spec.value_range
        detail = f"pixels in ({low:g}, {high:g}), the model takes ({model_low:g}, {model_high:g})"
        fix = f"build the model for them: tltk.backbone(name, value_range=({low:g}, {high:g}))"
        return Remark("scaling", "error", fix, dict.fromkeys(range(len(pixels)), detail))
    limit = max(map(abs, value_range)) / 255 * 1.02
    details: dict[int, str] = {}
    for start in range(0, len(pixels), _BLOCK):
        block = pixels[start : start + _BLOCK].reshape(len(pixels[start : start + _BLOCK]), -1)
        low, high = block.min(1), block.max(1)
        scaled = (np.maximum(np.abs(low.astype(np.float64)), np.abs(high.astype(np.float64))) <= limit) & (low < high)
        details |= {
            start + int(row): f"pixels from {low[row]:.3g} to {high[row]:.3g}" for row in np.flatnonzero(scaled)
        }
    return Remark("scaling", "error", _SCALING_FIX, details)


def scaling_note(source: Source) -> str:
    """Say how many of a few images in memory seem to have been scaled before, or "".

    Args:
        source: Images in memory.
    """
    rows = np.unique(np.linspace(0, len(source) - 1, _NOTED).astype(int))
    details = _scaling_remark(source.examples[rows], source.value_range or PIXEL_RANGE, None).details
    if not details:
        return ""
    first = next(iter(details.values()))
    return f"{len(details)} of {len(rows)} examined images seem to be scaled twice ({first}): {_SCALING_FIX}"


def scaled_range(pixels: np.ndarray) -> str:
    """Say which scaling an array of pixels has gone through that should be in [0, 255]; "" if none is seen.

    Args:
        pixels: Numbers of any shape.

    Examples:
        >>> scaled_range(np.array([0.0, 0.4, 1.0]))
        '[0, 1]'
    """
    low, high = float(pixels.min()), float(pixels.max())
    if low >= 0:
        return "" if high > 1 or high == 0 else "[0, 1]" if high > 1 / 254 else "[0, 1/255], divided by 255 twice"
    return (
        "[-1, 1]" if max(-low, high) <= 1 else "standardized" if max(-low, high) < 20 else "centered, without the mean"
    )


def unscaled(pixels: np.ndarray) -> np.ndarray:
    """Stretch an array of scaled pixels to [0, 255], so that its images can be compared with others.

    Args:
        pixels: Numbers of any shape.

    Returns:
        uint8 of the same shape.
    """
    low, high = float(pixels.min()), float(pixels.max())
    return np.clip((pixels - low) * (255 / max(high - low, 1e-12)) + 0.5, 0, 255).astype(np.uint8)
