"""Damaged images among good ones."""

import io
import warnings
from functools import cache

import numpy as np
import tensorflow as tf
from PIL import Image, ImageFile, ImageOps

from tests.images import noise
from tests.stress.damage import Generator, damage, spliced
from tests.stress.fuzz import Failed, Place
from tltk.data.formats.folder import from_files
from tltk.modalities.image import reader as image_reader
from tltk.modalities.modality import modality_of
from tltk.pipeline.batching import Order
from tltk.specs import ImageSpec

_SPEC = ImageSpec(24, 24)
_ENDINGS = ("jpg", "png", "gif", "bmp", "webp", "tif", "jpeg", "tiff", "JPG", "")
_MEAN_TOLERANCE, _TOLERANCE = 4.0, 40.0  # of 255: decoders of JPEG and resampling differ


@cache
def originals() -> dict[str, bytes]:
    """Return undamaged files, of every format and of its variants."""
    smooth = Image.fromarray(noise(30, 40, seed=1)).resize((37, 29))
    grey, alpha = smooth.convert("L"), smooth.copy()
    alpha.putalpha(grey)
    frames = [smooth, smooth.rotate(90), smooth.rotate(180)]
    animated = {"save_all": True, "append_images": frames[1:], "duration": 50}
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = Image.fromarray(np.asarray(grey, "uint16") * 257)
    variants = {
        "jpg": (smooth, "JPEG", {"quality": 95, "subsampling": 0}),
        "progressive.jpg": (smooth, "JPEG", {"progressive": True, "quality": 95, "subsampling": 0}),
        "grey.jpg": (grey, "JPEG", {"quality": 95}),
        "exif.jpg": (smooth, "JPEG", {"exif": exif, "quality": 95, "subsampling": 0}),
        "png": (smooth, "PNG", {}),
        "grey.png": (grey, "PNG", {}),
        "palette.png": (smooth.quantize(16), "PNG", {}),
        "alpha.png": (alpha, "PNG", {}),
        "deep.png": (deep, "PNG", {}),
        "gif": (smooth, "GIF", {}),
        "animated.gif": (frames[0], "GIF", animated),
        "bmp": (smooth, "BMP", {}),
        "palette.bmp": (smooth.quantize(16), "BMP", {}),
        "webp": (smooth, "WEBP", {"quality": 90}),
        "lossless.webp": (alpha, "WEBP", {"lossless": True}),
        "animated.webp": (frames[0], "WEBP", {**animated, "lossless": True}),
        "tif": (smooth, "TIFF", {}),
        "packed.tif": (smooth, "TIFF", {"compression": "tiff_lzw"}),
        "deep.tif": (deep, "TIFF", {}),
    }
    files = {}
    for name, (image, image_format, options) in variants.items():
        file = io.BytesIO()
        image.save(file, image_format, **options)
        files[name] = file.getvalue()
    return files


def image(generator: Generator, place: Place) -> str:
    """Put one to three damaged images among good ones: the good ones are read as ever, the others right or not."""
    files = originals()
    names = list(files)
    good = {}
    for number in range(int(generator.integers(2, 8))):
        name = names[int(generator.integers(len(names)))]
        good[f"good{number}.{name}"] = files[name]
    damaged = dict(_damaged(files, generator) for _ in range(int(generator.integers(1, 4))))
    for name, data in {**good, **damaged}.items():
        (place.folder / name).write_bytes(data)
    pixels, reasons = _read(place, [*good, *damaged])
    for name, data in good.items():
        expected = _undamaged(name.split(".", 1)[1])
        if not np.array_equal(pixels.get(name), expected):
            raise Failed(f"{name} is not damaged, and was read differently: {reasons.get(name)}; {len(data)} bytes")
    for name, data in damaged.items():
        if name in pixels and name in reasons:
            raise Failed(f"{name} is both used and left out: {reasons[name]}")
        if name not in pixels and not reasons.get(name):
            raise Failed(f"{name} was left out without a reason")
        if name in pixels:
            _check_pixels(name, data, pixels[name], place)
    return "left out" if reasons else "used"


def _damaged(files: dict[str, bytes], generator: Generator) -> tuple[str, bytes]:
    """Return the name and the content of a damaged file."""
    names = list(files)
    name = names[int(generator.integers(len(names)))]
    ending = "." + name.split(".")[-1]
    if generator.random() < 0.1:
        ending = "." + _ENDINGS[int(generator.integers(len(_ENDINGS)))]
        data, how = files[name], "wrong_ending"
        if generator.random() < 0.5:
            data, how = damage(data, generator)
    elif generator.random() < 0.1:
        data, how = spliced(files[name], files[names[int(generator.integers(len(names)))]], generator), "spliced"
    else:
        data, how = damage(files[name], generator)
    return f"damaged_{int(generator.integers(10**6))}_{how}_{name.split('.')[0]}{ending}", data


def _read(place: Place, names: list[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read files as training does; return name → pixels, and name → reason for those that are left out."""
    source = from_files([place.folder / name for name in names])
    prefix = f"{place.folder}/"
    modality = modality_of(_SPEC)
    valid, invalid = modality.validate(source)
    reasons = {example.example_id.removeprefix(prefix): example.reason for example in (*source.invalid, *invalid)}
    pixels = {}
    for part in modality.reader(valid, _SPEC).partial_batches(Order(batch_size=4)):
        for row, values in zip(part.rows, part.values[0], strict=True):
            pixels[valid.id_of(int(row)).removeprefix(prefix)] = values
        for row, reason in part.invalid.items():
            reasons[valid.id_of(int(row)).removeprefix(prefix)] = reason
    lost = set(names) - set(pixels) - set(reasons)
    if lost:
        raise Failed(f"neither used nor listed: {lost}")
    return pixels, reasons


@cache
def _undamaged(name: str) -> np.ndarray:
    """Return the pixels of an undamaged file, read alone."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{name}"
        path.write_bytes(originals()[name])
        source = from_files([path])
        reader = image_reader.FileReader(source.examples, _SPEC)
        (part,) = reader.partial_batches(Order())
        return part.values[0][0]


def _check_pixels(name: str, data: bytes, pixels: np.ndarray, place: Place) -> None:
    """Compare the pixels of a damaged file with those that Pillow finds in it."""
    expected = [_pillow(data, lenient=lenient) for lenient in (False, True)]
    expected = [one for one in expected if one is not None]
    expected += [_undamaged(other) for other in originals()]
    for one in expected:
        difference = np.abs(one.astype(float) - pixels)
        if difference.mean() <= _MEAN_TOLERANCE and np.quantile(difference, 0.95) <= _TOLERANCE:
            return
    if _is_same_jpeg(data, pixels) and len(expected) > len(originals()):
        return
    differences = [round(float(np.abs(one.astype(float) - pixels).mean()), 1) for one in expected[: -len(originals())]]
    raise Failed(f"{name}: pixels differ from those of Pillow by {differences or 'any: Pillow reads none'}")


def _is_same_jpeg(data: bytes, pixels: np.ndarray) -> bool:
    """Return whether a file is a JPEG that TensorFlow alone decodes to these pixels.

    Damaged tables and coefficients overflow in the inverse transform, where TensorFlow's and Pillow's differ.
    """
    if not data.startswith(b"\xff\xd8"):
        return False
    decoded = Image.fromarray(tf.io.decode_jpeg(data, channels=3).numpy())
    decoded.info["exif"] = Image.open(io.BytesIO(data)).info.get("exif", b"")
    upright = ImageOps.exif_transpose(decoded)
    expected = np.asarray(upright.resize((_SPEC.width, _SPEC.height), Image.Resampling.BILINEAR), float)
    return bool(np.abs(expected - pixels).mean() <= _MEAN_TOLERANCE)


def _pillow(data: bytes, *, lenient: bool) -> np.ndarray | None:
    """Decode a file with Pillow as tltk shows images; None if it cannot."""
    ImageFile.LOAD_TRUNCATED_IMAGES = lenient
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = Image.open(io.BytesIO(data))
            found.load()
            found = ImageOps.exif_transpose(found)
            if found.mode in ("I;16", "I"):
                found = Image.fromarray((np.asarray(found) // 256).astype("uint8"))
            if found.has_transparency_data:
                found = Image.alpha_composite(Image.new("RGBA", found.size, "white"), found.convert("RGBA"))
            return np.asarray(found.convert("RGB").resize((_SPEC.width, _SPEC.height), Image.Resampling.BILINEAR))
    except Exception:  # noqa: BLE001 - Pillow is only the reference; it raises many types for damaged files
        return None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
