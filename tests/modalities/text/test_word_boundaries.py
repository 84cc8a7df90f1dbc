"""Word boundaries do not depend on the tokenizer: spaces separate words; punctuation and ideographs stand alone."""

import unicodedata

import pytest
import tensorflow as tf

from tests import families
from tests.modalities.text.tokenizers import test_wordpiece
from tests.texts import WORDS
from tltk.backbones.text.kerashub_tokenizers import spec_of
from tltk.data.formats.arrays import from_arrays
from tltk.modalities.text.context import as_windows
from tltk.modalities.text.encoding import encoded
from tltk.modalities.text.tokenizers import unicode_bert
from tltk.modalities.text.tokenizers.tokenizer import tokenizer
from tltk.modalities.text.word_boundaries import WordAligned
from tltk.modalities.text.words import words_of

CONTROLS = {chr(point) for points in unicode_bert.CONTROLS for point in points}
FAMILIES = [family for family in families.FAMILIES if family != "bert"]  # electra has BERT's tokenizer
SINGLE = {chr(point) for points in (*unicode_bert.PUNCTUATION, *unicode_bert.CHINESE) for point in points}
UNUSUAL_WORDS = [
    "Zoe\u0308",
    "Rene\u0301!",
    "1990s",
    "COVID19",
    "हिन्दी",
    "ไทยแลนด์",
    "مُحَمَّد",
    "good\x85film",
    "don't",
    "❤\ufe0f",
    "a\u200db",
]


def expected_words(text):
    """Return start and end of each word of a text, in plain Python."""
    words, start, previous = [], None, 0
    for index, letter in enumerate(text + " "):
        if letter in CONTROLS and not letter.isspace():
            continue
        if start is not None and (letter.isspace() or letter in SINGLE):
            words.append((start, previous + 1))
            start = None
        previous = index
        if letter in SINGLE:
            words.append((index, index + 1))
        elif not letter.isspace() and start is None:
            start = index
    return words


def spec(family):
    return spec_of(families.tokenizer(family), 512, {})


def words(texts, family):
    """Return text, start and end of each word."""
    windows = as_windows(encoded(from_arrays(texts), spec(family)))
    columns = words_of(windows, tf.constant(len(texts), tf.int64))[:3]
    return list(zip(*(column.numpy().tolist() for column in columns), strict=True))


def not_blank_texts():
    texts = [*UNUSUAL_WORDS, " ".join(UNUSUAL_WORDS), *test_wordpiece.fuzzed(300, list(WORDS))]
    return [text for text in texts if text.strip()]


def test_the_reference_splits_at_spaces_punctuation_and_ideographs():
    text = " Is it U.S. 東京?"
    assert [text[start:end] for start, end in expected_words(text)] == [
        *("Is", "it", "U", ".", "S", ".", "東", "京", "?"),
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_words_start_and_end_where_those_of_the_reference_do(family):
    texts = not_blank_texts()
    words_of_texts = {row: [] for row in range(len(texts))}
    for row, start, end in words(texts, family):
        words_of_texts[row].append((start, end))
    for row, text in enumerate(texts):
        expected = expected_words(text)
        starts, ends = {start for start, _ in expected}, {end for _, end in expected}
        previous_end = -1
        for start, end in words_of_texts[row]:
            covered = [word for word in expected if start <= word[0] < end]
            # A token may cover several words; it may end inside the last one, which the next token continues.
            assert start in starts or start == previous_end, (text, start, end)
            assert end in ends or len(covered) > 1, (text, start, end)
            assert start >= previous_end
            previous_end = end
    assert sum(map(len, words_of_texts.values())) > 1000


@pytest.mark.parametrize("family", FAMILIES)
def test_token_ids_are_those_of_the_wrapped_tokenizer(family):
    aligned = tokenizer(spec(family).tokenizer).tokenizer
    assert isinstance(aligned, WordAligned)
    texts = tf.constant(["", " ", *not_blank_texts()])
    tf.debugging.assert_equal(aligned(texts).ids.flat_values, aligned.tokenizer(texts).ids.flat_values)


def test_characters_that_the_tokenizer_drops_at_the_end_of_a_word_belong_to_the_word():
    for word in ("Zoe\u0308", "ไทยแลนด์", unicodedata.normalize("NFD", "René")):
        assert words([f"good {word} film"], "electra")[1] == (0, 5, 5 + len(word))
