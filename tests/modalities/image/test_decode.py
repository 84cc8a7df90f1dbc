"""The image decoder, compared with Pillow."""

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


def saved(image, ending, **options):
    file = io.BytesIO()
    image.save(file, FORMATS[ending], **options)
    return file.getvalue()


def photo_in_mode(mode):
    if mode in ("RGBA", "LA"):
        image = PHOTO.convert(mode)
        image.putalpha(Image.linear_gradient("L").resize(PHOTO.size))
        return image
    if mode == "I;16":
        return Image.fromarray(np.asarray(PHOTO.convert("L")).astype("uint16") * 257)
    return PHOTO.convert(mode)


def decoded_by_pillow(data, size):
    """Return the pixels that Pillow decodes: upright, on white, RGB, resized with antialiasing."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) // 256).astype("uint8"))
    if image.mode in ("RGBA", "LA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB").resize(size[::-1], Image.Resampling.BILINEAR), float)


def psnr(pixels, expected):
    return 10 * np.log10(255**2 / max(np.mean((np.asarray(pixels, float) - expected) ** 2), 1e-9))


CASES = [(ending, mode) for ending, modes in MODES.items() for mode in modes]


@tf.function
def decode_in_graph(data):
    return decode_image(data, ImageSpec(60, 80))


@pytest.mark.parametrize(("ending", "mode"), CASES)
@pytest.mark.parametrize("graph", [False, True])
def test_every_format_and_mode_is_decoded_like_pillow(ending, mode, graph):
    data = saved(photo_in_mode(mode), ending, **({"quality": 95} if ending in ("jpg", "webp") else {}))
    content = tf.constant(data)
    pixels = (decode_in_graph(content) if graph else decode_image(content, ImageSpec(60, 80))).numpy()
    assert pixels.dtype == np.float32
    assert pixels.min() >= 0
    assert pixels.max() <= 255
    assert psnr(pixels, decoded_by_pillow(data, (60, 80))) > (30 if mode != "CMYK" else 25)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_the_exif_orientation_is_undone(orientation, ending):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(PHOTO, ending, exif=exif)
    assert psnr(decode_image(tf.constant(data), ImageSpec(64, 64)), decoded_by_pillow(data, (64, 64))) > 30


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_a_jpeg_decoded_at_a_reduced_scale_is_close_to_the_resized_full_image(factor):
    data = saved(PHOTO.resize((80 * factor, 60 * factor), Image.Resampling.LANCZOS), "jpg", quality=95)
    assert psnr(decode_image(tf.constant(data), ImageSpec(60, 80)), decoded_by_pillow(data, (60, 80))) > 30


def test_crop_and_pad_keep_the_documented_part_of_the_image():
    data = saved(PHOTO, "png")
    full = np.asarray(PHOTO, float)
    crop = decode_image(tf.constant(data), ImageSpec(240, 240, resize="crop"))
    np.testing.assert_array_equal(crop, full[:, 40:280])
    padded = decode_image(tf.constant(data), ImageSpec(320, 320, resize="pad")).numpy()
    np.testing.assert_array_equal(padded[40:280], full)
    assert padded[:40].max() == padded[280:].max() == 0
    center = decode_image(tf.constant(data), ImageSpec(120, 120, resize="crop", crop_fraction=0.5))
    np.testing.assert_array_equal(center, full[60:180, 100:220])


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "area", "nearest"])
def test_every_interpolation_keeps_a_constant_image_constant(interpolation):
    image = tf.fill([50, 70, 3], tf.constant(77, tf.uint8))
    resized = resize(image, ImageSpec(20, 30, interpolation=interpolation))
    np.testing.assert_allclose(resized, np.full((20, 30, 3), 77, "float32"), atol=1e-3)


@pytest.mark.parametrize("ending", FORMATS)
def test_damaged_files_raise_an_error_or_decode_to_finite_pixels(ending):
    data = encoded(ending)
    generator = np.random.default_rng(0)
    spec = ImageSpec(16, 16)
    decode = tf.function(lambda data: decode_image(data, spec), input_signature=[tf.TensorSpec([], tf.string)])
    rejected = 0
    for trial in range(60):
        damaged = bytearray(data)
        if trial % 3 == 0:
            damaged = damaged[: generator.integers(0, len(damaged))]
        else:
            for position in generator.integers(0, len(damaged), 1 + trial % 8):
                damaged[position] = generator.integers(0, 256)
        try:
            pixels = decode(tf.constant(bytes(damaged))).numpy()
        except tf.errors.OpError:
            rejected += 1
            continue
        assert pixels.shape == (16, 16, 3)
        assert np.isfinite(pixels).all()
    assert rejected


def test_other_files_and_huge_images_are_rejected(tmp_path):
    for data in (b"", b"hello", b"\xff\xd8\xff"):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode_image(tf.constant(data), ImageSpec(8, 8))
    huge_png(tmp_path / "huge.png")
    with pytest.raises(tf.errors.InvalidArgumentError, match="pixels"):
        decode_image(tf.constant((tmp_path / "huge.png").read_bytes()), ImageSpec(8, 8))


@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "bmp", "webp"])
def test_files_are_read_as_grey_or_with_alpha(ending):
    data = tf.constant(encoded(ending))
    rgb = decode_image(data, ImageSpec(20, 24)).numpy()
    grey, rgba = (decode_image(data, ImageSpec(20, 24, channels=channels)).numpy() for channels in (1, 4))
    np.testing.assert_allclose(grey[..., 0], rgb @ [0.299, 0.587, 0.114], atol=0.51)
    np.testing.assert_array_equal(rgba[..., :3], rgb)
    assert (rgba[..., 3] == 255).all()


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_alpha_is_kept_for_four_channels(file_format):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 9, 4)).astype("uint8")
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, file_format, lossless=True, exact=True)
    np.testing.assert_array_equal(decode_image(tf.constant(file.getvalue()), ImageSpec(8, 9, channels=4)), pixels)
    small = decode_image(tf.constant(file.getvalue()), ImageSpec(4, 4, channels=4, resize="pad"))
    assert small.shape == (4, 4, 4)


@pytest.mark.parametrize("mode", ["1", "P", "L"])
def test_pngs_of_few_bits_are_opaque(mode):
    file = io.BytesIO()
    Image.new("L", (8, 8), 255).convert(mode).save(file, "PNG", bits=1)
    rgba = decode_image(tf.constant(file.getvalue()), ImageSpec(8, 8, channels=4)).numpy()
    np.testing.assert_array_equal(rgba[..., 3], 255)


DEEP = {"value_range": (0, 65535)}


def deep_png(*, channels: int) -> tuple[np.ndarray, tf.Tensor]:
    pixels = np.random.default_rng(0).integers(0, 65536, (8, 9, channels)).astype("uint16")
    return pixels, tf.io.encode_png(pixels)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_all_16_bits_of_a_png_are_read(channels):
    pixels, data = deep_png(channels=channels)
    decoded = decode_image(data, ImageSpec(8, 9, channels=channels, **DEEP)).numpy()
    np.testing.assert_allclose(decoded, pixels, atol=1 if channels == 1 else 0)  # grey is the luma of three channels
    eight_bits = decode_image(data, ImageSpec(8, 9, channels=channels)).numpy()
    np.testing.assert_allclose(eight_bits, pixels // 256, atol=1)


@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "bmp", "webp"])
@pytest.mark.parametrize("channels", [3, 4])
def test_files_of_8_bits_have_257_times_their_values_in_16_bits(ending, channels):
    data = tf.constant(encoded(ending))
    shallow = decode_image(data, ImageSpec(20, 24, channels=channels)).numpy()
    np.testing.assert_array_equal(decode_image(data, ImageSpec(20, 24, channels=channels, **DEEP)), shallow * 257)


def test_transparent_pixels_of_16_bits_become_white():
    pixels, data = deep_png(channels=4)
    alpha = pixels[..., 3:] / 65535
    expected = pixels[..., :3] * alpha + 65535 * (1 - alpha)
    np.testing.assert_allclose(decode_image(data, ImageSpec(8, 9, **DEEP)), expected, atol=1)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "area", "nearest"])
def test_other_ranges_are_resized_and_padded_with_their_black(interpolation):
    image = np.random.default_rng(0).choice([-1.0, 1.0], (9, 6, 3)).astype("float32")
    spec = ImageSpec(12, 12, resize="pad", interpolation=interpolation, value_range=(-1, 1))
    resized = resize(tf.constant(image), spec).numpy()
    assert resized.min() >= -1 and resized.max() <= 1 and (resized[:, 0] == -1).all()
    scaled = resize(tf.constant((image + 1) * 127.5), ImageSpec(12, 12, resize="pad", interpolation=interpolation))
    np.testing.assert_allclose(resized, scaled / 127.5 - 1, atol=1e-5)
