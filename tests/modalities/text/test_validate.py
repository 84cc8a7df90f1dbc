"""Examples that are blank or not strings are removed and listed before texts are tokenized."""

import numpy as np
import pytest

import tltk
from tltk.data.formats.conll import from_words
from tltk.modalities.modality import drop_invalid
from tltk.modalities.text.validate import invalid_texts
from tltk.specs import InvalidExample


def test_blank_texts_and_other_types_are_removed_and_listed():
    source = tltk.from_arrays([None, "good", " \n", "bad", 7.0], ["a", "b", "a", "b", "a"])
    valid, invalid = drop_invalid(source, max_invalid_fraction=0.6)
    assert valid.examples.tolist() == ["good", "bad"] and valid.targets.tolist() == [1, 1]
    assert invalid == (
        InvalidExample("example 0", "no text but NoneType"),
        InvalidExample("example 2", "empty text"),
        InvalidExample("example 4", "no text but float"),
    )
    with pytest.raises(ValueError, match=r"3 of 5 examples cannot be used, more than `max_invalid_fraction` \(0\.1\)"):
        drop_invalid(source, max_invalid_fraction=0.1)


def test_a_pair_is_invalid_if_either_text_is():
    pairs = np.array([("a", "b"), ("", "b"), ("a", " \t"), ("a", None)], object)
    assert invalid_texts(pairs) == ["", "empty text", "empty text", "no text but NoneType"]


def test_texts_split_into_words_need_at_least_one_word():
    assert invalid_texts(from_words([["a", "b"], [], ["c"]]).examples) == ["", "empty text", ""]


def test_texts_may_be_bytes():
    assert invalid_texts([b"a", b" \n", b"\xff"]) == ["", "empty text", ""]


def test_half_of_a_character_is_no_text():
    reason = r"not Unicode: '\ud83d' is half of a character"
    pairs = np.array([("a", "\ud83d"), ("a", "b")], object)
    assert invalid_texts(["\ud83d\ude00", "é"]) == [reason, ""]
    assert invalid_texts(pairs) == [reason, ""]
    assert invalid_texts(from_words([["a", "\ud83d"], ["b"]]).examples) == [reason, ""]


def test_a_text_may_have_ten_million_characters():
    assert invalid_texts(["x" * 10_000_000, "x" * 10_000_001, b"x" * 10_000_001]) == [
        "",
        *["10,000,001 characters (limit 10,000,000)"] * 2,
    ]
