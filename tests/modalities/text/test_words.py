"""Words of tokenized texts: Hugging Face's, whatever the windows, and never more than the text holds."""

import json
import random
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import tensorflow as tf
from tokenizers import Tokenizer

from tests.modalities.text import reference_words
from tests.modalities.text.tokenizers import test_bytepair, test_wordpiece
from tests.texts import TOKENIZER, VOCABULARY, minilm_folder
from tltk.data.formats.arrays import from_arrays
from tltk.data.formats.conll import from_words
from tltk.modalities.text.context import as_windows
from tltk.modalities.text.encoding import EncodedTexts, encoded, joined
from tltk.modalities.text.tokenizers.bytepair import BytePair
from tltk.modalities.text.tokenizers.wordpiece import WordPiece
from tltk.modalities.text.windows import make_windows
from tltk.modalities.text.words import words_and_first_tokens, words_of
from tltk.specs import TextSpec, TokenizerSpec

vocabulary = cache(test_wordpiece.vocabulary)
ROOM = 2048  # tokens, more than any of these texts has
LAYOUTS = ((9, 0), (12, 3), (40, 10), (67, 5), (256, 64))  # lengths and strides
SPECIAL = TextSpec(TokenizerSpec("wordpiece", ("[PAD]", "[UNK]", "[CLS]", "[SEP]")), 9)


@cache
def reference():
    settings = json.loads((minilm_folder() / "tokenizer.json").read_text(encoding="utf-8"))
    settings["padding"] = settings["truncation"] = None
    return Tokenizer.from_str(json.dumps(settings))


@cache
def texts():
    known = [piece.strip("#") for piece in vocabulary() if piece.isalpha()]
    return ("", "\x00", " \u200b ", *test_wordpiece.fuzzed(100, known), "unlikely " * 150)


@cache
def in_words():
    generator = random.Random(0)
    odd = (
        "\x00",
        "\u200b",
        "\u0301",
        "a\u0301",
        "\u0301b",
        "New York",
        " x ",
        "...",
        "don't",
        "我爱",
        "\ufeff",
        "\u00a0-",
    )
    held = [[word for word in text.split(" ") if word.strip()] for text in texts()]
    return tuple(
        tuple(x for word in one for x in (word, generator.choice(odd))[: generator.randint(1, 2)]) for one in held
    )


def rows(found):
    return list(zip(found.text_ids.tolist(), found.starts.tolist(), found.ends.tolist(), strict=True))


def find(texts):
    """The words of texts, and the word that each token begins; both functions of the module must agree."""
    windows, count = as_windows(texts), tf.constant(len(texts.token_counts), tf.int64)
    found, of_token = words_and_first_tokens(windows, count)
    for one, other in zip(words_of(windows, count), found, strict=True):
        np.testing.assert_array_equal(one, other)
    return reference_words.Words(*(column.numpy() for column in found), of_token.numpy())


def windows_of(pieces, length, stride, **options):
    found = make_windows(replace(SPECIAL, sequence_length=length, stride=stride, **options), pieces)
    flat = (found.ids, found.char_starts, found.char_ends, found.is_word_start, found.positions)
    splits = np.concatenate([[0], np.cumsum(found.ids.row_lengths())])
    columns = (column.flat_values.numpy() for column in flat)
    return EncodedTexts(*columns, splits, found.text_ids.numpy(), found.token_counts.numpy())


@cache
def in_pieces(held):
    return WordPiece(TokenizerSpec("wordpiece", vocabulary()))(tf.constant(held))


@cache
def in_bytes(held):
    return BytePair(*test_bytepair.trained())(tf.constant(held))


def words(source, length, stride=None, cutter=in_pieces):
    made = windows_of(cutter(tuple(map(joined, source.examples))), length, stride)
    return made, find(made)


@pytest.fixture(scope="module")
def sources():
    return from_arrays(list(texts())), from_words(in_words())


def test_the_words_of_texts_are_hugging_faces(sources):
    expected = []
    for row, each in enumerate(reference().encode_batch(texts(), add_special_tokens=False)):
        held = list(zip(each.word_ids, each.offsets, strict=True))
        for word in dict.fromkeys(each.word_ids):
            places = [place for number, place in held if number == word]
            expected.append((row, places[0][0], max(end for _, end in places)))
    assert len(expected) > 2500
    assert rows(words(sources[0], ROOM)[1]) == expected


def test_words_that_were_given_are_read_as_the_text_that_they_make(sources):
    given = sources[1]
    joint = from_arrays([joined(item) for item in given.examples])
    spec = TextSpec(TokenizerSpec("wordpiece", vocabulary()), ROOM)
    one, other = (find(encoded(source, spec)) for source in (given, joint))
    for column in ("text_ids", "starts", "ends", "tokens", "of_token"):
        np.testing.assert_array_equal(getattr(one, column), getattr(other, column))
    found = rows(find(encoded(from_words([["U.S."]]), spec)))
    assert [(begin, stop) for _, begin, stop in found] == [(0, 1), (1, 2), (2, 3), (3, 4)]


def test_windows_have_the_words_of_one_window(sources):
    for source in sources:
        made, whole = words(source, ROOM)
        for length, stride in LAYOUTS:
            windows, found = words(source, length, stride)
            assert len(windows) > len(source) or length == 256
            assert rows(found) == rows(whole)
            for one, other in zip(windows.columns, made.columns, strict=True):
                np.testing.assert_array_equal(one[found.tokens], other[whole.tokens])


@pytest.mark.parametrize("truncation", ["end", "start", "middle"])
def test_words_are_those_of_the_reference_in_windows_and_truncated(sources, truncation):
    for source in sources:
        pieces = in_pieces(tuple(map(joined, source.examples)))
        for length, stride in ((9, None), (40, None), (9, 0), (12, 3), (67, 5)):
            made = windows_of(pieces, length, stride, truncation=truncation)
            found, expected = find(made), reference_words.words_of(made)
            for column in ("text_ids", "starts", "ends", "tokens", "of_token"):
                np.testing.assert_array_equal(getattr(found, column), getattr(expected, column))
            assert len(found.text_ids) > 100


def test_the_first_token_of_a_word_is_marked_in_every_window_and_taken_from_the_one_that_shows_most_around_it(sources):
    for source in sources:
        whole, alone = words(source, ROOM)
        owner = np.repeat(whole.text_ids, whole.lengths)
        first = {
            (int(owner[place]), int(whole.positions[place])): word for word, place in enumerate(alone.tokens.tolist())
        }
        for length, stride in LAYOUTS[:3]:
            made, found = words(source, length, stride)
            best = {}
            for row, text in enumerate(made.text_ids.tolist()):
                place = made.place(row)
                size = place.stop - place.start
                for inside, position in enumerate(made.positions[place].tolist()):
                    word = first.get((text, position), -1)
                    assert found.of_token[place.start + inside] == word
                    if word >= 0:
                        best.setdefault(word, []).append((-min(inside, size - 1 - inside), row, place.start + inside))
            assert found.tokens.tolist() == [min(best[word])[2] for word in range(len(best))]


def test_words_of_control_characters_alone_are_none_and_their_neighbours_keep_their_places():
    given = (("good", "\x00", "un\u200blikely", "\u200b\x07", "film"), ("\x01",), ())
    source = from_words(given)
    made = encoded(source, TextSpec(TOKENIZER, 32))
    found = find(made)
    assert rows(found) == [(0, 0, 4), (0, 7, 16), (0, 20, 24)]
    assert [VOCABULARY[number] for number in made.ids[found.tokens]] == ["good", "un", "film"]


def test_no_texts_and_texts_without_tokens_have_no_words():
    for source in (
        from_arrays(["", "\x00"]),
        from_arrays(["a"]).subset([]),
        from_words([]),
        from_words([[], ["\x01"]]),
    ):
        for stride in (None, 2):
            made = encoded(source, TextSpec(TOKENIZER, 8, stride=stride))
            found = find(made)
            assert rows(found) == [] and found.tokens.tolist() == []
            assert found.of_token.tolist() == [-1] * len(made.ids)


def test_of_cut_texts_there_are_the_words_that_are_left_and_none_reaches_over_the_gap():
    text = "unlike good film very book unlikely great fine"
    pieces = WordPiece(TOKENIZER)(tf.constant([text]))
    for length, truncation, expected in (
        (7, "end", ["unlike", "good", "film", "very"]),
        (7, "start", ["unlikely", "great", "fine"]),
        (8, "middle", ["unlike", "good", "ly", "great", "fine"]),
    ):
        made = windows_of(pieces, length, None, truncation=truncation)
        assert [text[begin:stop] for _, begin, stop in rows(find(made))] == expected


def test_spaces_that_are_pieces_of_their_own_belong_to_no_word():
    held = ["in  Paris ", "  in   Paris", " ", "   ", "in\n\n Paris  .  "]
    source = from_arrays(held)
    for length, stride in ((ROOM, None), (12, 3)):
        found = words(source, length, stride, in_bytes)[1]
        shown = [[held[row][begin:stop] for owner, begin, stop in rows(found) if owner == row] for row in range(5)]
        assert shown == [["in", "Paris"], ["in", "Paris"], [], [], ["in", "Paris", "."]]
        assert all(stop > begin for _, begin, stop in rows(found))
        assert sorted(set(found.of_token.tolist()) - {-1}) == list(range(len(found.text_ids)))


def test_windows_of_byte_pieces_have_the_words_of_one_window():
    pieces = [piece.strip("Ġ") for piece in test_bytepair.trained()[0][300:]]
    held = [text for text in test_bytepair.fuzzed(60, pieces) if text]
    source = from_arrays(held)
    whole = rows(words(source, 4096, None, in_bytes)[1])
    for owner, begin, stop in whole:
        assert begin < stop and held[owner][begin:stop].strip(" ") == held[owner][begin:stop]
    for length, stride in LAYOUTS:
        assert rows(words(source, length, stride, in_bytes)[1]) == whole


def test_a_word_that_begins_with_a_piece_that_covers_nothing_begins_at_its_first_character():
    # SentencePiece without a piece "▁foo": "bar foo" → "▁bar", "▁" of no width, "foo".
    columns = ([2, 5, 1, 6, 3], [-1, 0, 4, 4, -1], [-1, 3, 4, 7, -1])
    positions = np.array([-1, 0, 1, 2, -1], np.int32)
    made = EncodedTexts(
        *(np.array(each, np.int32) for each in columns),
        np.array([False, True, True, False, False]), positions, np.array([0, 5]), np.array([0]), np.array([5]),
    )  # fmt: skip
    found = find(made)
    assert rows(found) == [(0, 0, 3), (0, 4, 7)]
    assert found.tokens.tolist() == [1, 2] and found.of_token.tolist() == [-1, 0, 1, -1, -1]
