"""A bad element of a request is told from the good ones, and spoils none of them."""

import numpy as np
import pytest
import tensorflow as tf

from tests import pictures
from tltk.modalities.image.decode import decode_image
from tltk.serving import requests
from tltk.specs import ImageSpec

SPEC = ImageSpec(16, 24)
NO_PICTURE = b"not a JPEG, PNG, GIF, BMP or WebP picture"


def encoded(count=6):
    generator = np.random.default_rng(0)
    writers = (tf.io.encode_png, tf.io.encode_jpeg)
    return [writers[n % 2](generator.integers(0, 255, (20 + n, 30, 3)).astype("uint8")).numpy() for n in range(count)]


def read(held):
    return [each.numpy() for each in requests.pictures(tf.constant(held, tf.string), SPEC)]


def test_good_pictures_are_decoded_as_ever_and_bad_ones_are_zeros():
    good = encoded()
    held = [good[0], b"", good[1], b"text", good[2][:-30], good[3], good[4][:60], b"GIF89a", b"RIFF\0\0\0\0WEBPVP8 "]
    pixels, valid, error = read(held)
    assert valid.tolist() == [True, False, True, False, False, True, False, False, False]
    for row in np.flatnonzero(valid):
        np.testing.assert_array_equal(pixels[row], decode_image(tf.constant(held[row]), SPEC))
    assert not pixels[~valid].any()
    assert error[valid].tolist() == [b""] * 3
    assert error[1] == b"0 bytes" and error[3] == NO_PICTURE
    assert all(error[row].startswith(b"truncated or damaged picture") for row in (4, 6, 7, 8))


@pytest.mark.parametrize("ending", ["bmp", "webp", "gif", "png", "jpg"])
def test_what_training_would_not_read_is_not_read_either(ending):
    data = pictures.encoded(ending)
    place = 8 if ending == "webp" else 1
    _, valid, error = read([data, data[:place] + b"t" + data[place + 1 :]])
    assert valid.tolist() == [True, False]
    assert error.tolist() == [b"", NO_PICTURE]


@pytest.mark.parametrize("held", [[b"bad"], [b"", b""], []])
def test_a_batch_without_a_good_picture_is_answered(held):
    pixels, valid, error = read(held)
    assert pixels.shape == (len(held), *SPEC.shape)
    assert not valid.any() and len(error) == len(held)


def test_texts_must_be_utf8_and_not_blank():
    held = [
        "good",
        "",
        " \u3000\t\x85\u2028 ",
        b"a \xff",
        "\ufeff",
        "\u200b",
        "ü 東京 👩‍👩‍👧",
        b"\xed\xa0\x80",
        "\ufffd",
    ]
    valid, error = (each.numpy() for each in requests.texts(tf.constant(held)))
    expected = [isinstance(each, str) and bool(each.strip()) for each in held]
    assert valid.tolist() == expected
    assert [each.decode() for each in error] == [
        "" if good else "no UTF-8" if isinstance(each, bytes) else "empty text"
        for each, good in zip(held, expected, strict=True)
    ]


def test_blank_is_what_python_calls_blank():
    letters = [chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    spaces = [letter for letter in letters if letter.isspace()]
    others = [letter for letter in letters if not letter.isspace()]
    assert not requests.texts(tf.constant(spaces))[0].numpy().any()
    assert requests.texts(tf.constant(others))[0].numpy().all()


def test_of_pairs_both_must_be_good():
    valid, error = requests.texts(tf.constant(["a", " ", "a", b"\xff"]), tf.constant(["b", "b", b"\xff", ""]))
    assert valid.numpy().tolist() == [True, False, False, False]
    assert error.numpy().tolist() == [b"", b"empty text", b"no UTF-8", b"no UTF-8"]


def test_answers_to_what_is_bad_are_empty_and_labels_stay():
    valid = tf.constant([True, False])
    answers = {
        "label": tf.constant(["a", "b"]), "starts": tf.constant([[1, 2], [3, 4]]),
        "probability": tf.constant([0.5, 0.6]), "chosen": tf.constant([[True], [True]]),
        "labels": tf.constant([["a"], ["a"]]), "logits": tf.ones([2, 3, 2]),
    }  # fmt: skip
    found = {name: value.numpy().tolist() for name, value in requests.blanked(answers, valid).items()}
    assert found["label"] == [b"a", b""] and found["labels"] == [[b"a"], [b"a"]]
    assert found["starts"] == [[1, 2], [-1, -1]] and found["chosen"] == [[True], [False]]
    assert found["probability"] == [0.5, 0.0]
    assert found["logits"] == [[[1.0, 1.0]] * 3, [[0.0, 0.0]] * 3]
