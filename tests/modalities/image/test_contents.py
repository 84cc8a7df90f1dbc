"""Digests of decoded pixels: the same for each file format that loses nothing."""

import numpy as np
import pytest
from PIL import Image

import tltk
from tests.inspection.photos import picture
from tltk.modalities.image.contents import array_digests, content_digests


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.bmp", {}), ("a.webp", {"lossless": True}), ("a.tiff", {}), ("a.png", {"compress_level": 0})],
)
def test_formats_without_loss_have_one_digest_and_jpeg_another(tmp_path, name, options):
    image = Image.fromarray(picture(1))
    image.save(tmp_path / "original.png")
    image.save(tmp_path / name, **options)
    image.save(tmp_path / "z.jpg")
    source = tltk.from_folder(tmp_path, unlabelled=True)
    digests = dict(zip(source.ids, content_digests(source, np.arange(len(source))), strict=True))
    assert digests["original.png"] == digests[name] != digests["z.jpg"]


def test_arrays_and_files_of_the_same_pixels_have_one_digest(tmp_path):
    Image.fromarray(picture(1)).save(tmp_path / "a.png")
    Image.fromarray(picture(1)).convert("L").save(tmp_path / "b.png")
    colored, grey = content_digests(tltk.from_folder(tmp_path, unlabelled=True), np.arange(2))
    assert array_digests(picture(1)[None].astype("float32"), (0, 255)) == [colored]
    assert array_digests(np.asarray(Image.open(tmp_path / "b.png"))[None, ..., None], (0, 255)) == [grey]
    with_alpha = np.concatenate([picture(1), np.full((64, 64, 1), 255, "uint8")], -1)
    assert content_digests(tltk.from_arrays(with_alpha[None]), np.array([0])) == [colored]
    assert array_digests(picture(1)[None] / 255, (0, 1)) != [colored]


def test_files_that_cannot_be_decoded_have_none(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "b.tif").write_bytes(b"II*\0")
    assert content_digests(tltk.from_folder(tmp_path, unlabelled=True), np.arange(2)) == ["", ""]
