import io

import pytest
import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from tests.pictures import FORMATS, encoded
from tltk.modalities.image import headers

ENDINGS = ("jpg", "png", "gif", "bmp", "webp")


@pytest.mark.parametrize(("ending", "number"), [*zip(ENDINGS, range(5), strict=True)])
def test_a_format_is_told_by_its_first_bytes(ending, number):
    assert set(FORMATS) >= {ending}
    assert int(headers.format_of(tf.constant(encoded(ending)))) == number


@pytest.mark.parametrize("data", [b"", b"hello", b"\x00\x01"])
def test_anything_else_is_unknown(data):
    assert int(headers.format_of(tf.constant(data))) == headers.UNKNOWN


@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "bmp", "webp"])
def test_a_mark_of_which_a_byte_is_wrong_is_none_as_for_pillow(ending):
    data = encoded(ending)
    for at, mark in next(marks for number, marks in headers.MARKS.items() if ENDINGS[number] == ending):
        for place in range(at, at + len(mark)):
            wrong = data[:place] + bytes([data[place] ^ 32]) + data[place + 1 :]
            assert int(headers.format_of(tf.constant(wrong))) == headers.UNKNOWN
            with pytest.raises(UnidentifiedImageError):
                Image.open(io.BytesIO(wrong))


@pytest.mark.parametrize("ending", ["png", "gif", "bmp", "webp"])
def test_sizes_are_read_from_headers(ending):
    size = getattr(headers, f"{ending}_size")(tf.constant(encoded(ending, size=(20, 24))))
    assert [abs(int(side)) for side in size] == [20, 24]


def test_bytes_are_put_together_in_both_orders():
    values = tf.constant([1, 2])
    assert int(headers.little(values)) == 513
    assert int(headers.big(values)) == 258
