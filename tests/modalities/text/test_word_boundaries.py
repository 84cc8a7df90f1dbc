"""Words are runs of characters between spaces, punctuation and ideographs apart, whatever cuts them into pieces."""

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

CONTROLS = {chr(point) for each in unicode_bert.CONTROLS for point in each}
FAMILIES = [family for family in families.FAMILIES if family != "bert"]  # electra has BERT's tokenizer
ALONE = {chr(point) for each in (*unicode_bert.PUNCTUATION, *unicode_bert.CHINESE) for point in each}
ODD = [
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


def runs(text):
    """Where each word of a text begins and stops, by Python alone."""
    found, at = [], None
    letters = [(place, letter) for place, letter in enumerate(text + " ") if letter.isspace() or letter not in CONTROLS]
    last = 0
    for place, letter in letters:
        if at is not None and (letter.isspace() or letter in ALONE):
            found.append((at, last + 1))
            at = None
        last = place
        if letter in ALONE:
            found.append((place, place + 1))
        elif not letter.isspace() and at is None:
            at = place
    return found


def spec(family):
    return spec_of(families.tokenizer(family), 512, {})


def words(texts, family):
    """Text, start and end of each word."""
    windows = as_windows(encoded(from_arrays(texts), spec(family)))
    found = words_of(windows, tf.constant(len(texts), tf.int64))
    return list(zip(*(column.numpy().tolist() for column in found[:3]), strict=True))


def said():
    texts = [*ODD, " ".join(ODD), *test_wordpiece.fuzzed(300, list(WORDS))]
    return [text for text in texts if text.strip()]


def test_runs_by_hand():
    assert [" Is it U.S. 東京?"[slice(*each)] for each in runs(" Is it U.S. 東京?")] == [
        *("Is", "it", "U", ".", "S", ".", "東", "京", "?"),
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_words_begin_and_stop_where_runs_do(family):
    texts = said()
    held = {}
    for row, begin, stop in words(texts, family):
        held.setdefault(row, []).append((begin, stop))
    seen = 0
    for row, text in enumerate(texts):
        known = runs(text)
        begins, stops = {begin for begin, _ in known}, {stop for _, stop in known}
        before = -1
        for begin, stop in held.get(row, []):
            seen += 1
            inside = [each for each in known if begin <= each[0] < stop]
            # A piece may hold several words, and then ends inside of the last one at worst, where another goes on.
            assert begin in begins or begin == before, (text, begin, stop)
            assert stop in stops or len(inside) > 1, (text, begin, stop)
            before = stop
        assert all(one[1] <= other[0] for one, other in zip(held.get(row, []), held.get(row, [])[1:], strict=False))
    assert seen > 1000


@pytest.mark.parametrize("family", FAMILIES)
def test_the_pieces_are_those_of_the_tokenizer(family):
    cut = tokenizer(spec(family).tokenizer)
    assert isinstance(cut, WordAligned)
    texts = tf.constant(["", " ", *said()])
    found, plain = cut(texts), cut.tokenizer(texts)
    tf.debugging.assert_equal(found.ids.flat_values, plain.ids.flat_values)


def test_what_the_tokenizer_drops_at_the_end_of_a_word_is_part_of_it():
    for word in ("Zoe\u0308", "ไทยแลนด์", unicodedata.normalize("NFD", "René")):
        assert words([f"good {word} film"], "electra")[1] == (0, 5, 5 + len(word))
