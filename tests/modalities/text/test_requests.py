"""Requests are valid if they are UTF-8 and not blank."""

import tensorflow as tf

from tltk.modalities.text.requests import validate_requests


def test_texts_must_be_utf8_and_not_blank():
    texts = [
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
    valid, errors = (column.numpy() for column in validate_requests(tf.constant(texts)))
    expected = [isinstance(text, str) and bool(text.strip()) for text in texts]
    assert valid.tolist() == expected
    assert [error.decode() for error in errors] == [
        "" if is_valid else "no UTF-8" if isinstance(text, bytes) else "empty text"
        for text, is_valid in zip(texts, expected, strict=True)
    ]


def test_blank_characters_are_those_of_python():
    letters = [chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    spaces = [letter for letter in letters if letter.isspace()]
    others = [letter for letter in letters if not letter.isspace()]
    assert not validate_requests(tf.constant(spaces))[0].numpy().any()
    assert validate_requests(tf.constant(others))[0].numpy().all()


def test_both_texts_of_a_pair_must_be_valid():
    valid, errors = validate_requests(tf.constant(["a", " ", "a", b"\xff"]), tf.constant(["b", "b", b"\xff", ""]))
    assert valid.numpy().tolist() == [True, False, False, False]
    assert errors.numpy().tolist() == [b"", b"empty text", b"no UTF-8", b"no UTF-8"]
