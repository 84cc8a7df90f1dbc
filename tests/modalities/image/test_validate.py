"""Validation of image files by header and end, and `drop_invalid`, which removes invalid examples of any source."""

import io
import os
import re
import struct
import warnings
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tests.images import FORMATS, class_folder, damaged_png, encoded, huge_png
from tltk.data.formats.arrays import from_arrays
from tltk.data.formats.conll import from_words
from tltk.data.formats.folder import from_files, from_folder
from tltk.data.formats.squad import from_questions
from tltk.data.split import split
from tltk.modalities.image.chunks import decode_chunk
from tltk.modalities.image.validate import invalid_files
from tltk.modalities.modality import drop_invalid
from tltk.specs import ImageSpec, InvalidExample

NOT_AN_IMAGE = "not a JPEG, PNG, GIF, BMP or WebP image"


def reason_for(path):
    return invalid_files([path])[0]


@pytest.mark.parametrize("ending", FORMATS)
def test_complete_files_of_every_format_are_valid(tmp_path, ending):
    path = tmp_path / f"x.{ending}"
    path.write_bytes(encoded(ending))
    assert reason_for(path) == ""


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("fraction", [0.3, 0.6, 0.95])
def test_truncated_files_of_every_format_are_invalid(tmp_path, ending, fraction):
    data = encoded(ending, size=(64, 64))
    path = tmp_path / f"x.{ending}"
    path.write_bytes(data[: int(len(data) * fraction)])
    assert "truncated" in reason_for(path)


@pytest.mark.parametrize("ending", ["jpg", "png", "gif"])
@pytest.mark.parametrize("extra", [b"\0", b"\xff" * 20, b"data of a camera" * 500])
def test_bytes_after_the_end_marker_are_accepted(tmp_path, ending, extra):
    path = tmp_path / f"x.{ending}"
    path.write_bytes(encoded(ending) + extra)
    assert reason_for(path) == ""


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpegs_of_every_color_mode_are_valid(tmp_path, mode):
    path = tmp_path / "x.jpg"
    Image.new(mode, (20, 20)).save(path)
    assert reason_for(path) == ""
    Image.new("RGB", (20, 20)).save(path, progressive=True, exif=b"Exif\0\0" + b"x" * 5000)
    assert reason_for(path) == ""


@pytest.mark.parametrize("options", [{"lossless": True}, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"}])
def test_every_variant_of_webp_is_valid(tmp_path, options):
    path = tmp_path / "x.webp"
    Image.new("RGBA", (30, 20), (1, 2, 3, 4)).save(path, **options)
    assert reason_for(path) == ""


def test_the_format_is_recognized_by_content_and_not_by_file_name(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(encoded("png"))
    assert reason_for(path) == ""


def test_empty_missing_folder_and_text_have_different_reasons(tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("<html>not found</html>")
    (tmp_path / "folder.jpg").mkdir()
    reasons = invalid_files([tmp_path / f"{name}.jpg" for name in ("empty", "missing", "text", "folder")])
    assert reasons == ["0 bytes", "missing", NOT_AN_IMAGE, "a folder"]


def test_a_hundred_megapixels_are_rejected_by_the_header_alone(tmp_path):
    assert reason_for(huge_png(tmp_path / "x.png")) == "100.0 megapixels (limit 89.5)"


def test_sizes_around_the_limits_of_pillow_raise_no_warning(tmp_path):
    sizes = {9_459: "", 10_000: "100.0 megapixels (limit 89.5)", 20_000: "no pixels, or over 89.5 megapixels"}
    paths = [huge_png(tmp_path / f"{side}.png", side) for side in sizes]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert invalid_files(paths) == list(sizes.values())


def test_the_pixel_limit_of_pillow_is_ignored(tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    path.write_bytes(encoded("png"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert reason_for(path) == ""


def test_random_bytes_after_a_valid_signature_never_raise(tmp_path):
    generator = np.random.default_rng(0)
    paths = []
    for ending in FORMATS:
        for length in (0, 1, 5, 40, 400):
            paths.append(tmp_path / f"{length}.{ending}")
            paths[-1].write_bytes(encoded(ending)[:16] + generator.bytes(length))
    reasons = invalid_files(paths)
    assert all(isinstance(reason, str) for reason in reasons) and sum(map(bool, reasons)) > 15


def png_chunk(name, body, checksum=None):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum or zlib.crc32(name + body))


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b" " * 2**21)),
        png_chunk(b"tEXt", b"Comment\0text", checksum=1),
    ],
    ids=["long text chunk", "text chunk with a wrong checksum"],
)
def test_headers_that_pillow_alone_refuses_are_left_to_the_decoder(tmp_path, chunk):
    data = encoded("png")
    path = tmp_path / "x.png"
    path.write_bytes(data[:33] + chunk + data[33:])
    with pytest.raises((ValueError, OSError)):
        Image.open(path)
    assert reason_for(path) == ""


def test_a_jpeg_of_two_images_passes(tmp_path):
    first, second = (Image.new("RGB", (30, 20), colour) for colour in ("red", "blue"))
    first.save(tmp_path / "x.jpg", "MPO", save_all=True, append_images=[second])
    with Image.open(tmp_path / "x.jpg") as image:
        assert image.format == "MPO"
    assert reason_for(tmp_path / "x.jpg") == ""
    data = (tmp_path / "x.jpg").read_bytes()
    (tmp_path / "x.jpg").write_bytes(data[:500])
    assert reason_for(tmp_path / "x.jpg") == "truncated or damaged JPEG"


@pytest.mark.parametrize("mode", ["RGB", "P", "1"])
def test_a_bmp_must_have_all_rows(tmp_path, mode):
    path, file = tmp_path / "x.bmp", io.BytesIO()
    Image.new(mode, (21, 20)).save(file, "BMP")
    path.write_bytes(file.getvalue() + b"more")
    assert reason_for(path) == ""
    path.write_bytes(file.getvalue()[:-1])
    assert reason_for(path) == "truncated or damaged BMP"


def test_a_compressed_bmp_has_its_own_reason(tmp_path):
    file = io.BytesIO()
    Image.new("P", (21, 20)).save(file, "BMP")
    data = bytearray(file.getvalue())
    data[30] = 1  # BI_RLE8
    (tmp_path / "x.bmp").write_bytes(data)
    assert reason_for(tmp_path / "x.bmp") == "a compressed BMP"


def test_a_huge_file_of_another_format_is_not_read(tmp_path):
    with (tmp_path / "film.jpg").open("wb") as file:
        file.truncate(2**42)
    assert reason_for(tmp_path / "film.jpg") == NOT_AN_IMAGE


def test_a_disk_error_is_the_reason(tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    path.write_bytes(encoded("png"))

    def fail(*args, **kwargs):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "_open", fail)
    assert reason_for(path) == "Input/output error"


def test_all_files_are_closed(tmp_path):
    endings = [*FORMATS] * 3
    for number, ending in enumerate(endings):
        (tmp_path / f"{number}.jpg").write_bytes(encoded(ending)[: -10 if number % 2 else None])
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        assert len(invalid_files([tmp_path / f"{number}.jpg" for number in range(len(endings))])) == 15
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


def partly_invalid_folder(tmp_path):
    """Return a source of twenty valid images of two classes and three invalid files."""
    class_folder(tmp_path, count=10)
    (tmp_path / "cat" / "empty.jpg").write_bytes(b"")
    (tmp_path / "cat" / "truncated.jpg").write_bytes(encoded("jpg")[:300])
    huge_png(tmp_path / "dog" / "huge.png")
    return from_folder(tmp_path)


def test_invalid_files_are_left_out_and_listed_with_reasons(tmp_path):
    valid, invalid = drop_invalid(partly_invalid_folder(tmp_path), max_invalid_fraction=0.2)
    assert len(valid) == 20
    assert valid.counts() == {"cat": 10, "dog": 10}
    assert {example.example_id: example.reason for example in invalid} == {
        "cat/empty.jpg": "0 bytes",
        "cat/truncated.jpg": "truncated or damaged JPEG",
        "dog/huge.png": "100.0 megapixels (limit 89.5)",
    }


def test_more_invalid_files_than_allowed_raise_an_error_with_their_names(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"(?s)3 of 23 examples cannot be used, .* \(0\.1\) allows:\s+1: 0 bytes \(cat/empty\.jpg\)",
    ):
        drop_invalid(partly_invalid_folder(tmp_path), max_invalid_fraction=0.1)
    with pytest.raises(ValueError, match=r"(?s)1 of 1 examples.*missing"):
        source = from_files(tmp_path / "cat" / "0000.png")
        (tmp_path / "cat" / "0000.png").unlink()
        drop_invalid(source, max_invalid_fraction=0)


def test_damage_in_the_middle_is_left_to_the_decoder(tmp_path):
    assert reason_for(damaged_png(tmp_path / "x.png")) == ""


def test_sources_without_invalid_images_are_unchanged(tmp_path):
    source = from_folder(class_folder(tmp_path))
    valid, invalid = drop_invalid(source, max_invalid_fraction=0)
    assert valid.examples is source.examples and valid.targets is source.targets and invalid == ()
    arrays = from_arrays(np.zeros((2, 4, 4, 3), "uint8"))
    valid, invalid = drop_invalid(arrays, max_invalid_fraction=0)
    assert valid.examples is arrays.examples and invalid == ()


def test_reasons_are_in_the_order_of_the_files(tmp_path):
    paths = [str(path) for path in sorted(class_folder(tmp_path).rglob("*.png"))] * 100
    paths[450], paths[7] = str(tmp_path / "missing"), str(tmp_path)
    reasons = {index: reason for index, reason in enumerate(invalid_files(paths)) if reason}
    assert reasons == {7: "a folder", 450: "missing"}
    assert invalid_files([]) == []


def test_invalid_arguments_of_drop_invalid_are_rejected():
    with pytest.raises(ValueError, match="`max_invalid_fraction` must be at least 0 and at most 1"):
        drop_invalid(from_arrays(np.zeros((2, 4, 4, 3), "uint8")), max_invalid_fraction=2)
    with pytest.raises(TypeError, match="`source` must be Source"):
        drop_invalid("photos", max_invalid_fraction=0.1)


ROW = InvalidExample("t.csv, row 9", "`text` must not be empty")


def with_invalid(source, count=1):
    return replace(source, invalid=tuple(InvalidExample(f"t.csv, row {number}", "empty") for number in range(count)))


def test_rows_left_out_by_a_reader_are_listed_before_those_found_by_validation():
    source = replace(from_arrays(["good", " \n", "bad"], ["a", "b", "b"]), invalid=(ROW,))
    valid, invalid = drop_invalid(source, max_invalid_fraction=0.5)
    assert valid.examples.tolist() == ["good", "bad"] and valid.targets.tolist() == [0, 1]
    assert invalid == (ROW, InvalidExample("example 1", "empty text"))


def test_rows_left_out_by_a_reader_count_in_the_fraction():
    texts = from_arrays(["good"] * 9)
    assert drop_invalid(with_invalid(texts, 1), max_invalid_fraction=0.1)[1] == with_invalid(texts, 1).invalid
    with pytest.raises(
        ValueError,
        match=r"2 of 11 examples cannot be used, .* \(0\.1\) allows:\s+2: empty \(t\.csv, row 0",
    ):
        drop_invalid(with_invalid(texts, 2), max_invalid_fraction=0.1)
    with pytest.raises(
        ValueError, match=r"(?s)2 of 10 examples.*1: empty \(t\.csv, row 0\)\s+1: empty text \(example 3\)"
    ):
        drop_invalid(with_invalid(from_arrays(["a"] * 3 + [""] + ["a"] * 5)), max_invalid_fraction=0.1)
    with pytest.raises(ValueError, match=r"1 of 10 examples.*`max_invalid_fraction` \(0\)"):
        drop_invalid(with_invalid(texts), max_invalid_fraction=0)


@pytest.mark.parametrize("texts", [["good", "bad"], ["good", "", "bad"]])
def test_invalid_examples_are_reported_only_once(texts):
    valid, invalid = drop_invalid(with_invalid(from_arrays(texts)), max_invalid_fraction=1.0)
    assert len(invalid) == 1 + texts.count("")
    assert valid.invalid == ()
    validated_again, invalid = drop_invalid(valid, max_invalid_fraction=0)
    assert validated_again.examples is valid.examples and invalid == ()


def test_parts_of_a_validated_source_do_not_count_its_invalid_examples_again():
    source = with_invalid(from_arrays(["good", "bad"] * 46, ["a", "b"] * 46), 8)
    valid, invalid = drop_invalid(source, max_invalid_fraction=0.1)
    assert len(invalid) == 8
    for part in split(valid, val=0.2, test=0.2):
        assert drop_invalid(part, max_invalid_fraction=0.1)[1] == ()


def test_pairs_are_invalid_if_either_text_is():
    pairs = [("a", "b"), ("", "b"), ("a", " "), (None, "b"), ("a", None), ("", None), ("a", "\x00")]
    valid, invalid = drop_invalid(from_arrays(pairs), max_invalid_fraction=1.0)
    assert valid.examples.tolist() == [["a", "b"], ["a", "\x00"]]
    assert [(example.example_id, example.reason) for example in invalid] == [
        ("example 1", "empty text"),
        ("example 2", "empty text"),
        ("example 3", "no text but NoneType"),
        ("example 4", "no text but NoneType"),
        ("example 5", "empty text"),
    ]
    questions = from_questions(["Who?", ""], ["Ann met Bob.", "x"])
    _, invalid = drop_invalid(questions, max_invalid_fraction=1.0)
    assert [example.reason for example in invalid] == ["empty text"]


def test_texts_without_words_are_invalid():
    source = from_words([["in", "Paris"], [], ["\x00"]], [["O", "B-city"], [], ["O"]])
    valid, invalid = drop_invalid(source, max_invalid_fraction=0.5)
    assert valid.examples.tolist() == [("in", "Paris"), ("\x00",)] and len(valid.targets) == 2
    assert [(example.example_id, example.reason) for example in invalid] == [("example 1", "empty text")]


def test_a_source_of_only_invalid_texts_becomes_empty():
    valid, invalid = drop_invalid(from_arrays(["", " "]), max_invalid_fraction=1.0)
    assert len(valid) == 0 and len(invalid) == 2
    assert len(drop_invalid(valid, max_invalid_fraction=0)[0]) == 0


def _declaring(ending, side):
    """An image file whose header declares side × side pixels."""
    if ending == "tif":
        file = io.BytesIO()
        Image.new("L", (1, 1)).save(file, "TIFF", compression="tiff_lzw")
        data = bytearray(file.getvalue())
        for tag in (256, 257):
            position = data.index(struct.pack("<HHI", tag, 3, 1)) + 8  # a short number
            data[position : position + 2] = struct.pack("<H", side)
        return bytes(data)
    data = bytearray(encoded(ending))
    start, size = {
        "jpg": (data.find(b"\xff\xc0") + 5, struct.pack(">HH", side, side)),
        "gif": (6, struct.pack("<HH", side, side)),
        "bmp": (18, struct.pack("<ii", side, side)),
        "webp": (26, struct.pack("<HH", side, side)),
        "png": (16, struct.pack(">II", side, side)),
    }[ending]
    data[start : start + len(size)] = size
    return bytes(data)


@pytest.mark.parametrize("ending", [*FORMATS, "tif"])
def test_a_header_that_declares_a_huge_image_is_refused_before_memory_is_allocated(tmp_path, ending):
    path = tmp_path / f"bomb.{ending}"
    path.write_bytes(_declaring(ending, 16_000))
    limit = "256.0 megapixels|over 89.5 megapixels|damaged"
    assert re.search(limit, reason_for(path))
    pixels, reasons = decode_chunk(np.array([os.fsencode(path)], object), ImageSpec(8, 8), are_paths=True)
    assert len(pixels) == 0 and re.search(limit, reasons[0])


def test_a_pipe_a_device_and_a_file_that_is_too_large_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    assert reason_for(tmp_path / "pipe.jpg") == "a pipe or device, not a file"
    assert reason_for(Path("/dev/zero")) == "a pipe or device, not a file"
    Image.new("L", (9, 9)).save(tmp_path / "large.tif")
    for ending in ("jpg", "png", "gif", "bmp", "webp", "tif"):
        path = tmp_path / f"large.{ending}"
        with path.open("ab") as file:
            file.write(b"" if ending == "tif" else encoded(ending))
            file.truncate(3 * 2**30)  # takes no space
        assert reason_for(path) == "3,221 MB (limit 1,074)"
    (tmp_path / "large.png").write_bytes(b"\x89PNG\r\n\x1a\n")  # a header that Pillow does not read
    with (tmp_path / "large.png").open("ab") as file:
        file.truncate(3 * 2**30)
    assert reason_for(tmp_path / "large.png") == "3,221 MB (limit 1,074)"


def test_a_gif_that_is_damaged_in_the_middle_is_found_because_the_decoder_would_fill_it_up(tmp_path):
    data = bytearray(encoded("gif", size=(40, 40)))
    middle = len(data) // 2 + 300
    data[middle : middle + 8] = b"\xff" * 8
    (tmp_path / "a.gif").write_bytes(data)
    assert reason_for(tmp_path / "a.gif") == "truncated or damaged GIF"
