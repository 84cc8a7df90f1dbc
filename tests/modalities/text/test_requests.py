"""Texts of requests that cannot be read are told from the others."""

import tensorflow as tf

from tltk.modalities.text.requests import readable


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
    valid, error = (each.numpy() for each in readable(tf.constant(held)))
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
    assert not readable(tf.constant(spaces))[0].numpy().any()
    assert readable(tf.constant(others))[0].numpy().all()


def test_of_pairs_both_must_be_good():
    valid, error = readable(tf.constant(["a", " ", "a", b"\xff"]), tf.constant(["b", "b", b"\xff", ""]))
    assert valid.numpy().tolist() == [True, False, False, False]
    assert error.numpy().tolist() == [b"", b"empty text", b"no UTF-8", b"no UTF-8"]
