"""Formats and sizes read from the headers of image files, in a graph."""

import pytest
import tensorflow as tf

from tests.images import FORMATS, encoded
from tltk.modalities.image import headers


def test_a_format_is_recognized_by_the_first_bytes():
    files = [encoded(ending) for ending in FORMATS]
    assert [headers.NAMES[image_format].upper() for image_format in headers.format_of(tf.constant(files))] == list(
        FORMATS.values()
    )
    assert [int(headers.format_of(tf.constant(data))) for data in files] == list(range(5))


@pytest.mark.parametrize("data", [b"", b"hello", b"\x00\x01", b"GIF88a", b"RIFF\0\0\0\0WEBPVP9 "])
def test_other_first_bytes_are_an_unknown_format(data):
    assert int(headers.format_of(tf.constant(data))) == headers.UNKNOWN


@pytest.mark.parametrize("ending", ["png", "gif", "bmp", "webp"])
def test_sizes_are_read_from_headers(ending):
    size = getattr(headers, f"{ending}_size")(tf.constant(encoded(ending, size=(20, 24))))
    assert [abs(int(side)) for side in size] == [20, 24]


def test_bytes_are_combined_in_both_byte_orders():
    values = tf.constant([1, 2])
    assert int(headers.little_endian(values)) == 513
    assert int(headers.big_endian(values)) == 258
