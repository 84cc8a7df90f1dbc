"""Decoding of image requests; validation, decoder and requests reject the same files."""

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
    images = [generator.integers(0, 255, (20 + index, 30, 3)).astype("uint8") for index in range(count)]
    return [writers[index % 2](image).numpy() for index, image in enumerate(images)]


def read(requests):
    pixels, valid, error, context = read_requests(tf.constant(requests, tf.string), SPEC)
    assert int(context.count) == len(requests) and context.example_ids is None
    return pixels.numpy(), valid.numpy(), [message.decode() for message in error.numpy()]


def test_valid_requests_are_decoded_as_in_training_and_invalid_ones_are_zeros():
    valid_files = files()
    header_only = b"RIFF\0\0\0\0WEBPVP8 "
    truncated = valid_files[2][:-30], valid_files[4][:60]
    requests = [valid_files[0], b"", valid_files[1], b"text", truncated[0], valid_files[3], truncated[1]]
    requests += [b"GIF89a", header_only]
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
def test_a_batch_without_a_valid_request_has_a_result_for_each_request(requests):
    pixels, valid, error = read(requests)
    assert pixels.shape == (len(requests), *SPEC.shape)
    assert not valid.any() and len(error) == len(requests)


def variants():
    """Return a file for each row of `headers.SIGNATURES`."""
    image = Image.open(io.BytesIO(encoded("png")))
    animation, lossless = io.BytesIO(), io.BytesIO()
    image.save(animation, "WEBP", save_all=True, append_images=[image.rotate(90)])
    image.save(lossless, "WEBP", lossless=True)
    gif = encoded("gif")
    jpg, png, bmp, webp = (encoded(ending) for ending in ("jpg", "png", "bmp", "webp"))
    gifs = (gif.replace(b"GIF89a", b"GIF87a"), gif.replace(b"GIF87a", b"GIF89a"))
    return [jpg, png, *gifs, bmp, webp, lossless.getvalue(), animation.getvalue()]


def test_pillow_training_and_requests_reject_a_wrong_byte_in_a_signature(tmp_path):
    wrong = []
    for (image_format, parts), data in zip(headers.SIGNATURES, variants(), strict=True):
        assert int(headers.format_of(tf.constant(data))) == image_format
        assert all(data[start : start + len(part)] == part for start, part in parts), "the signature of this row"
        positions = [position for start, part in parts for position in range(start, start + len(part))]
        wrong += [data[:position] + bytes([data[position] ^ 32]) + data[position + 1 :] for position in positions]
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


def damaged_copies(data, *, count, seed=0):
    generator = np.random.default_rng(seed)
    for trial in range(count):
        damaged = bytearray(data)
        if trial % 3 == 0:
            damaged = damaged[: generator.integers(0, len(damaged))]
        else:  # in the header in half of the trials
            for position in generator.integers(0, len(damaged) if trial % 2 else 64, 1 + trial % 8):
                damaged[position] = generator.integers(0, 256)
        yield bytes(damaged)


def test_validation_rejects_only_what_training_and_requests_reject(tmp_path):
    contents = [damaged for data in variants() for damaged in damaged_copies(data, count=45)]
    paths = [tmp_path / str(number) for number in range(len(contents))]
    for path, data in zip(paths, contents, strict=True):
        path.write_bytes(data)
    reasons = invalid_files(paths)
    decoder_reasons = [why_undecodable(data) for data in contents]
    _, valid, error = read(contents)
    assert valid.tolist() == [not reason for reason in decoder_reasons]
    for reason, decoder_reason, message in zip(reasons, decoder_reasons, error, strict=True):
        is_filled_up = reason == "truncated or damaged GIF"  # by the decoder, which says nothing
        assert not reason or decoder_reason or is_filled_up, "what validation rejects cannot be decoded"
        assert (reason == NOT_AN_IMAGE) == (decoder_reason == NOT_AN_IMAGE) == (message == NOT_AN_IMAGE)
        assert (reason == "0 bytes") == (decoder_reason == "0 bytes") == (message == "0 bytes")
    assert sum(map(bool, reasons)) > 0.6 * sum(map(bool, decoder_reasons)), "validation finds most of the damage"
    assert len(set(decoder_reasons)) > 6
