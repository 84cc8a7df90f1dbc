"""What a request is answered, and that validation, decoder and requests agree on what an image is."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from tests.images import encoded
from tltk.modalities.image import headers
from tltk.modalities.image.decode import decode_image, why_undecodable
from tltk.modalities.image.requests import read_requests
from tltk.modalities.image.validate import invalid_files
from tltk.specs import ImageSpec

SPEC = ImageSpec(16, 24)
NOT_AN_IMAGE = "not a JPEG, PNG, GIF, BMP or WebP image"


def files(count=6):
    generator = np.random.default_rng(0)
    writers = (tf.io.encode_png, tf.io.encode_jpeg)
    return [writers[n % 2](generator.integers(0, 255, (20 + n, 30, 3)).astype("uint8")).numpy() for n in range(count)]


def read(requests):
    pixels, valid, error, context = read_requests(tf.constant(requests, tf.string), SPEC)
    assert int(context.count) == len(requests) and context.example_ids is None
    return pixels.numpy(), valid.numpy(), [message.decode() for message in error.numpy()]


def test_valid_requests_are_decoded_as_in_training_and_the_others_are_zeros():
    good = files()
    short = b"RIFF\0\0\0\0WEBPVP8 "
    requests = [good[0], b"", good[1], b"text", good[2][:-30], good[3], good[4][:60], b"GIF89a", short]
    pixels, valid, error = read(requests)
    assert valid.tolist() == [True, False, True, False, False, True, False, False, False]
    for row in np.flatnonzero(valid):
        np.testing.assert_array_equal(pixels[row], decode_image(tf.constant(requests[row]), SPEC))
        assert error[row] == ""
    assert not pixels[~valid].any()
    assert error[1] == "0 bytes" and error[3] == NOT_AN_IMAGE
    for row, name in ((4, "PNG"), (6, "PNG"), (7, "GIF"), (8, "WebP")):
        assert error[row] == f"truncated or damaged {name}, or over 89.5 megapixels"


@pytest.mark.parametrize("requests", [[b"bad"], [b"", b""], []])
def test_a_batch_without_a_valid_request_is_answered(requests):
    pixels, valid, error = read(requests)
    assert pixels.shape == (len(requests), *SPEC.shape)
    assert not valid.any() and len(error) == len(requests)


def variants():
    """A file for each row of `headers.MARKS`."""
    image = Image.open(io.BytesIO(encoded("png")))
    animation, lossless = io.BytesIO(), io.BytesIO()
    image.save(animation, "WEBP", save_all=True, append_images=[image.rotate(90)])
    image.save(lossless, "WEBP", lossless=True)
    gif = encoded("gif")
    jpg, png, bmp, webp = (encoded(ending) for ending in ("jpg", "png", "bmp", "webp"))
    gifs = (gif.replace(b"GIF89a", b"GIF87a"), gif.replace(b"GIF87a", b"GIF89a"))
    return [jpg, png, *gifs, bmp, webp, lossless.getvalue(), animation.getvalue()]


def test_a_wrong_byte_in_a_mark_is_no_image_for_pillow_nor_training_nor_requests(tmp_path):
    wrong = []
    for (format_, marks), data in zip(headers.MARKS, variants(), strict=True):
        assert int(headers.format_of(tf.constant(data))) == format_
        assert all(data[start : start + len(mark)] == mark for start, mark in marks), "the marks of this very row"
        places = [place for start, mark in marks for place in range(start, start + len(mark))]
        wrong += [data[:place] + bytes([data[place] ^ 32]) + data[place + 1 :] for place in places]
    assert len(wrong) == 3 + 8 + 6 + 6 + 2 + 3 * 12
    paths = [tmp_path / str(number) for number in range(len(wrong))]
    for path, data in zip(paths, wrong, strict=True):
        path.write_bytes(data)
        with pytest.raises(UnidentifiedImageError):
            Image.open(io.BytesIO(data))
        assert why_undecodable(data) == NOT_AN_IMAGE
    assert set(invalid_files(paths)) == {NOT_AN_IMAGE}
    _, valid, error = read([*variants(), *wrong])
    assert valid.tolist() == [True] * len(variants()) + [False] * len(wrong)
    assert set(error[len(variants()) :]) == {NOT_AN_IMAGE}


def damaged(data, *, count, seed=0):
    generator = np.random.default_rng(seed)
    for trial in range(count):
        broken = bytearray(data)
        if trial % 3 == 0:
            broken = broken[: generator.integers(0, len(broken))]
        else:  # every other time in the header
            for place in generator.integers(0, len(broken) if trial % 2 else 64, 1 + trial % 8):
                broken[place] = generator.integers(0, 256)
        yield bytes(broken)


def test_validation_rejects_only_what_training_and_requests_reject(tmp_path):
    contents = [broken for data in variants() for broken in damaged(data, count=45)]
    paths = [tmp_path / str(number) for number in range(len(contents))]
    for path, data in zip(paths, contents, strict=True):
        path.write_bytes(data)
    reasons = invalid_files(paths)
    decoding = [why_undecodable(data) for data in contents]
    _, valid, error = read(contents)
    assert valid.tolist() == [not reason for reason in decoding]
    for reason, other, message in zip(reasons, decoding, error, strict=True):
        assert not reason or other, "what validation rejects cannot be decoded"
        assert (reason == NOT_AN_IMAGE) == (other == NOT_AN_IMAGE) == (message == NOT_AN_IMAGE)
        assert (reason == "0 bytes") == (other == "0 bytes") == (message == "0 bytes")
    assert sum(map(bool, reasons)) > 0.6 * sum(map(bool, decoding)), "most of what is wrong shows before training"
    assert len(set(decoding)) > 6
