import numpy as np
import pytest
from PIL import Image

import tltk
from tltk.errors import InvalidInput
from tltk.modalities.image.chunks import decode_chunk
from tltk.modalities.image.tiff import is_tiff, read_as_png
from tltk.modalities.image.validate import invalid_files
from tltk.specs import ImageSpec

SPEC = ImageSpec(12, 16)


def pixels(shape=(12, 16, 3)):
    return np.random.default_rng(0).integers(0, 255, shape).astype("uint8")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "LA"])
@pytest.mark.parametrize("suffix", [".tif", ".TIFF"])
def test_a_tiff_is_decoded_like_the_same_image_as_a_png(tmp_path, mode, suffix):
    image = Image.fromarray(pixels()).convert(mode)
    image.save(tmp_path / f"a{suffix}", format="TIFF")
    image.convert("RGB" if mode == "CMYK" else mode).save(tmp_path / "a.png")
    paths = np.array([str(tmp_path / f"a{suffix}"), str(tmp_path / "a.png")], object)
    assert invalid_files(list(paths)) == ["", ""]
    decoded, invalid = decode_chunk(paths, SPEC, are_paths=True)
    assert invalid == {}
    np.testing.assert_array_equal(decoded[0], decoded[1])


def test_the_orientation_is_applied_and_the_first_page_is_read(tmp_path):
    first, second = Image.fromarray(pixels()), Image.new("RGB", (16, 12))
    exif = Image.Exif()
    exif[0x0112] = 6
    first.save(tmp_path / "a.tif", exif=exif)
    tltk_pixels = tltk.from_folder(tmp_path, unlabelled=True)[0].input
    np.testing.assert_array_equal(tltk_pixels, np.rot90(pixels(), -1))
    first.save(tmp_path / "pages.tif", save_all=True, append_images=[second])
    np.testing.assert_array_equal(
        decode_chunk(np.array([tmp_path / "pages.tif"]), SPEC, are_paths=True)[0][0], pixels()
    )


def test_16_bits_are_kept(tmp_path):
    values = np.arange(12 * 16, dtype="uint16").reshape(12, 16) * 300
    Image.fromarray(values).save(tmp_path / "a.tif")
    spec = ImageSpec(12, 16, channels=1, value_range=(0, 65535))
    decoded, invalid = decode_chunk(np.array([tmp_path / "a.tif"]), spec, are_paths=True)
    assert invalid == {} and decoded.dtype == np.uint16
    np.testing.assert_array_equal(decoded[0, :, :, 0], values)


def test_what_cannot_be_read_is_told(tmp_path):
    Image.fromarray(np.zeros((4, 4), "float32")).save(tmp_path / "float.tif")
    Image.fromarray(pixels()).save(tmp_path / "cut.tif")
    content = (tmp_path / "cut.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.tif").write_text("not an image")
    Image.fromarray(pixels()).save(tmp_path / "good.tif")
    paths = [str(tmp_path / f"{name}.tif") for name in ("float", "cut", "text", "good", "none")]
    before = invalid_files(paths)
    assert before[0].startswith("a TIFF with pixels of Pillow's mode F. Convert it, or pass arrays")
    assert before[2:] == ["truncated or damaged TIFF", "", "missing"]
    decoded, invalid = decode_chunk(np.array(paths, object), SPEC, are_paths=True)
    assert len(decoded) == 1 and sorted(invalid) == [0, 1, 2, 4]
    assert invalid[1] == invalid[2] == "truncated or damaged TIFF" and invalid[4] == "No such file or directory"
    with pytest.raises(InvalidInput, match="damaged TIFF"):
        read_as_png(paths[2])


def test_the_name_tells_a_tiff():
    assert [name for name in ("a.tif", b"a.TIFF", "a.png", "tif") if is_tiff(name)] == ["a.tif", b"a.TIFF"]
