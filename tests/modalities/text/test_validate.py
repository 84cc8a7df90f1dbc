"""Texts are looked at before they are tokenized: what is empty or no text is left out and named."""

import numpy as np
import pytest

import tltk
from tltk.data.formats.conll import from_words
from tltk.modalities.modality import drop_invalid
from tltk.modalities.text.validate import invalid_texts
from tltk.specs import InvalidExample


def test_empty_texts_and_what_is_no_text_are_left_out_and_named():
    source = tltk.from_arrays([None, "good", " \n", "bad", 7.0], ["a", "b", "a", "b", "a"])
    found, invalid = drop_invalid(source, max_invalid_fraction=0.6)
    assert found.examples.tolist() == ["good", "bad"] and found.targets.tolist() == [1, 1]
    assert invalid == (
        InvalidExample("example 0", "no text but NoneType"),
        InvalidExample("example 2", "empty text"),
        InvalidExample("example 4", "no text but float"),
    )
    with pytest.raises(ValueError, match=r"3 of 5 examples cannot be used, more than `max_invalid_fraction` \(0\.1\)"):
        drop_invalid(source, max_invalid_fraction=0.1)


def test_a_pair_is_as_good_as_the_worse_of_its_texts():
    pairs = np.array([("a", "b"), ("", "b"), ("a", " \t"), ("a", None)], object)
    assert invalid_texts(pairs) == ["", "empty text", "empty text", "no text but NoneType"]


def test_texts_in_words_need_a_word():
    assert invalid_texts(from_words([["a", "b"], [], ["c"]]).examples) == ["", "empty text", ""]


def test_texts_may_be_bytes():
    assert invalid_texts([b"a", b" \n", b"\xff"]) == ["", "empty text", ""]
