import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_images

from tests.images import FORMATS, encoded, huge_png
from tltk.modalities.image.decode import decode_image, resize
from tltk.specs import ImageSpec

PHOTO = Image.fromarray(load_sample_images().images[0]).crop((100, 60, 420, 300))  # 320 × 240
MODES = {
    "jpg": ("RGB", "L", "CMYK"),
    "png": ("RGB", "L", "P", "RGBA", "LA", "1", "I;16"),
    "gif": ("P", "L"),
    "bmp": ("RGB", "L", "P", "1"),
    "webp": ("RGB", "RGBA"),
}


def file_of(picture, ending, **options):
    out = io.BytesIO()
    picture.save(out, FORMATS[ending], **options)
    return out.getvalue()


def in_mode(mode):
    if mode in ("RGBA", "LA"):
        picture = PHOTO.convert(mode)
        picture.putalpha(Image.linear_gradient("L").resize(PHOTO.size))
        return picture
    if mode == "I;16":
        return Image.fromarray(np.asarray(PHOTO.convert("L")).astype("uint16") * 257)
    return PHOTO.convert(mode)


def as_a_person_sees(data, size, kernel=Image.Resampling.BILINEAR):
    """What Pillow shows: upright, on white, RGB, antialiased."""
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if picture.mode.startswith("I"):
        picture = Image.fromarray((np.asarray(picture) // 256).astype("uint8"))
    if picture.mode in ("RGBA", "LA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        paper = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(paper, picture)
    return np.asarray(picture.convert("RGB").resize(size[::-1], kernel), float)


def psnr(a, b):
    return 10 * np.log10(255**2 / max(np.mean((np.asarray(a, float) - b) ** 2), 1e-9))


CASES = [(ending, mode) for ending, modes in MODES.items() for mode in modes]


@pytest.mark.parametrize(("ending", "mode"), CASES)
@pytest.mark.parametrize("graph", [False, True])
def test_every_format_and_mode_comes_out_as_pillow_shows_it(ending, mode, graph):
    data = file_of(in_mode(mode), ending, **({"quality": 95} if ending in ("jpg", "webp") else {}))
    spec = ImageSpec(60, 80)
    decode = tf.function(lambda data: decode_image(data, spec)) if graph else (lambda data: decode_image(data, spec))
    found = decode(tf.constant(data)).numpy()
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 255
    assert psnr(found, as_a_person_sees(data, (60, 80))) > (30 if mode != "CMYK" else 25)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_a_turned_picture_is_turned_back(orientation, ending):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = file_of(PHOTO, ending, exif=exif)
    assert psnr(decode_image(tf.constant(data), ImageSpec(64, 64)), as_a_person_sees(data, (64, 64))) > 30


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_a_reduced_scale_is_as_good_as_the_full_one(factor):
    data = file_of(PHOTO.resize((80 * factor, 60 * factor), Image.Resampling.LANCZOS), "jpg", quality=95)
    assert psnr(decode_image(tf.constant(data), ImageSpec(60, 80)), as_a_person_sees(data, (60, 80))) > 30


def test_resize_modes_show_what_they_say():
    data = file_of(PHOTO, "png")
    whole = np.asarray(PHOTO, float)
    crop = decode_image(tf.constant(data), ImageSpec(240, 240, resize="crop"))
    np.testing.assert_array_equal(crop, whole[:, 40:280])
    padded = decode_image(tf.constant(data), ImageSpec(320, 320, resize="pad")).numpy()
    np.testing.assert_array_equal(padded[40:280], whole)
    assert padded[:40].max() == padded[280:].max() == 0
    central = decode_image(tf.constant(data), ImageSpec(120, 120, resize="crop", crop_fraction=0.5))
    np.testing.assert_array_equal(central, whole[60:180, 100:220])


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "area", "nearest"])
def test_every_interpolation_keeps_a_flat_picture_flat(interpolation):
    flat = tf.fill([50, 70, 3], tf.constant(77, tf.uint8))
    found = resize(flat, ImageSpec(20, 30, interpolation=interpolation))
    np.testing.assert_allclose(found, np.full((20, 30, 3), 77, "float32"), atol=1e-3)


@pytest.mark.parametrize("ending", FORMATS)
def test_damaged_files_are_errors_and_never_anything_worse(ending):
    data = encoded(ending)
    generator = np.random.default_rng(0)
    spec = ImageSpec(16, 16)
    decode = tf.function(lambda data: decode_image(data, spec), input_signature=[tf.TensorSpec([], tf.string)])
    refused = 0
    for trial in range(60):
        broken = bytearray(data)
        if trial % 3 == 0:
            broken = broken[: generator.integers(0, len(broken))]
        else:
            for place in generator.integers(0, len(broken), 1 + trial % 8):
                broken[place] = generator.integers(0, 256)
        try:
            found = decode(tf.constant(bytes(broken))).numpy()
        except tf.errors.OpError:
            refused += 1
            continue
        assert found.shape == (16, 16, 3)
        assert np.isfinite(found).all()
    assert refused


def test_what_is_no_picture_or_too_large_is_refused(tmp_path):
    for data in (b"", b"hello", b"\xff\xd8\xff"):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode_image(tf.constant(data), ImageSpec(8, 8))
    huge_png(tmp_path / "huge.png")
    with pytest.raises(tf.errors.InvalidArgumentError, match="pixels"):
        decode_image(tf.constant((tmp_path / "huge.png").read_bytes()), ImageSpec(8, 8))
