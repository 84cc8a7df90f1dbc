"""Normalized texts, their hashes and differences."""

import numpy as np
import pytest

import tltk
from tests.texts import TOKENIZER
from tltk.modalities.text.traits import differences, normalized, similarity_hash, traits_of
from tltk.specs import TextSpec

SENTENCE = "the quick brown fox jumps over the lazy dog and then sleeps in the warm afternoon sun for an hour"


@pytest.mark.parametrize("other", ["CAFÉ au\tlait ", "cafe\u0301  AU lait", "caf\u00e9\u00a0au lait\n"])
def test_case_white_space_and_unicode_form_do_not_matter(other):
    assert normalized(other) == "café au lait"


def test_pairs_and_words_are_normalized_too():
    assert normalized(("New", "York")) == normalized("new york")
    assert normalized(np.array(["a b", "c"], object)) != normalized(np.array(["a", "b c"], object))


def test_similar_texts_have_similar_hashes_and_small_differences():
    near, other = (
        SENTENCE.replace("lazy", "sleepy"),
        "a completely different text about taxes, rates and the central bank",
    )
    bits = [
        int(np.bitwise_count(similarity_hash(SENTENCE) ^ similarity_hash(text))) for text in (SENTENCE, near, other)
    ]
    assert bits[0] == 0
    assert bits[1] <= 10 < bits[2]
    same, close, far = differences([SENTENCE] * 3, [SENTENCE, near, other])
    assert same == 0
    assert close < 0.3 < far


def test_blank_texts_are_invalid_and_hash_to_nothing():
    traits = traits_of(tltk.from_arrays(["a b", " ", "c"], ["x", "y", "x"]), None)
    assert traits.undecodable == {1: "empty text"}
    assert similarity_hash("") == 0


def test_texts_beyond_the_length_of_the_model_are_remarked():
    source = tltk.from_arrays(["a", " ".join(["word"] * 50)], ["x", "y"])
    (remark,) = traits_of(source, TextSpec(TOKENIZER, 8)).remarks
    assert list(remark.details) == [1]
    assert remark.details[1].endswith("tokens")
    assert "sequence_length=" in remark.fix
