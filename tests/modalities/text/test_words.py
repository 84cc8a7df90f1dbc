"""Words of tokenized texts: Hugging Face's, whatever the windows, and never more than the text holds."""

import json
import random
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import tensorflow as tf
from tokenizers import Tokenizer

from tests.modalities.text.tokenizers import test_bytepair, test_wordpiece
from tests.texts import TOKENIZER, VOCABULARY, minilm_folder
from tltk.data.formats.folder import from_arrays, from_words
from tltk.modalities.text.encoding import Tokens, joined, tokenized
from tltk.modalities.text.tokenizers.bytepair import BytePair
from tltk.modalities.text.tokenizers.wordpiece import WordPiece
from tltk.modalities.text.windows import frame
from tltk.modalities.text.words import words_of
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
    return list(zip(found.owners.tolist(), found.begins.tolist(), found.stops.tolist(), strict=True))


def framed(pieces, length, stride, **options):
    found = frame(replace(SPECIAL, sequence_length=length, stride=stride, **options), pieces)
    flat = (found.ids, found.begins, found.stops, found.firsts, found.numbers)
    ends = np.concatenate([[0], np.cumsum(found.ids.row_lengths())])
    return Tokens(*(column.flat_values.numpy() for column in flat), ends, found.owners.numpy())


@cache
def in_pieces(held):
    return WordPiece(TokenizerSpec("wordpiece", vocabulary()))(tf.constant(held))


@cache
def in_bytes(held):
    return BytePair(*test_bytepair.trained())(tf.constant(held))


def words(source, length, stride=None, cutter=in_pieces):
    made = framed(cutter(tuple(map(joined, source.items))), length, stride)
    return made, words_of(made)


@pytest.fixture(scope="module")
def sources():
    return from_arrays(list(texts())), from_words(in_words())


def test_the_words_of_texts_are_hugging_faces(sources):
    expected = []
    for row, each in enumerate(reference().encode_batch(texts(), add_special_tokens=False)):
        held = list(zip(each.word_ids, each.offsets, strict=True))
        for word in dict.fromkeys(each.word_ids):
            places = [place for number, place in held if number == word]
            expected.append((row, places[0][0], max(stop for _, stop in places)))
    assert len(expected) > 2500
    assert rows(words(sources[0], ROOM)[1]) == expected


def test_words_that_were_given_are_read_as_the_text_that_they_make(sources):
    given = sources[1]
    joint = from_arrays([joined(item) for item in given.items])
    spec = TextSpec(TokenizerSpec("wordpiece", vocabulary()), ROOM)
    one, other = (words_of(tokenized(source, spec).items) for source in (given, joint))
    for column in ("owners", "begins", "stops", "tokens", "of_token"):
        np.testing.assert_array_equal(getattr(one, column), getattr(other, column))
    found = rows(words_of(tokenized(from_words([["U.S."]]), spec).items))
    assert [(begin, stop) for _, begin, stop in found] == [(0, 1), (1, 2), (2, 3), (3, 4)]


def test_windows_have_the_words_of_one_frame(sources):
    for source in sources:
        made, whole = words(source, ROOM)
        for length, stride in LAYOUTS:
            windows, found = words(source, length, stride)
            assert len(windows) > len(source) or length == 256
            assert rows(found) == rows(whole)
            for one, other in zip(windows.columns, made.columns, strict=True):
                np.testing.assert_array_equal(one[found.tokens], other[whole.tokens])


def test_the_first_token_of_a_word_is_marked_in_every_window_and_taken_from_the_one_that_shows_most_around_it(sources):
    for source in sources:
        whole, alone = words(source, ROOM)
        owner = np.repeat(whole.owners, whole.lengths)
        first = {
            (int(owner[place]), int(whole.numbers[place])): word for word, place in enumerate(alone.tokens.tolist())
        }
        for length, stride in LAYOUTS[:3]:
            made, found = words(source, length, stride)
            best = {}
            for row, text in enumerate(made.owners.tolist()):
                place = made.place(row)
                size = place.stop - place.start
                for inside, number in enumerate(made.numbers[place].tolist()):
                    word = first.get((text, number), -1)
                    assert found.of_token[place.start + inside] == word
                    if word >= 0:
                        best.setdefault(word, []).append((-min(inside, size - 1 - inside), row, place.start + inside))
            assert found.tokens.tolist() == [min(best[word])[2] for word in range(len(best))]


def test_words_of_control_characters_alone_are_none_and_their_neighbours_keep_their_places():
    given = (("good", "\x00", "un\u200blikely", "\u200b\x07", "film"), ("\x01",), ())
    source = from_words(given)
    made = tokenized(source, TextSpec(TOKENIZER, 32)).items
    found = words_of(made)
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
            made = tokenized(source, TextSpec(TOKENIZER, 8, stride=stride)).items
            found = words_of(made)
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
        made = framed(pieces, length, None, truncation=truncation)
        assert [text[begin:stop] for _, begin, stop in rows(words_of(made))] == expected


def test_spaces_that_are_pieces_of_their_own_belong_to_no_word():
    held = ["in  Paris ", "  in   Paris", " ", "   ", "in\n\n Paris  .  "]
    source = from_arrays(held)
    for length, stride in ((ROOM, None), (12, 3)):
        found = words(source, length, stride, in_bytes)[1]
        shown = [[held[row][begin:stop] for owner, begin, stop in rows(found) if owner == row] for row in range(5)]
        assert shown == [["in", "Paris"], ["in", "Paris"], [], [], ["in", "Paris", "."]]
        assert all(stop > begin for _, begin, stop in rows(found))
        assert sorted(set(found.of_token.tolist()) - {-1}) == list(range(len(found.owners)))


def test_windows_of_byte_pieces_have_the_words_of_one_frame():
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
    numbers = np.array([-1, 0, 1, 2, -1], np.int32)
    made = Tokens(
        *(np.array(each, np.int32) for each in columns),
        np.array([False, True, True, False, False]), numbers, np.array([0, 5]), np.array([0]),
    )  # fmt: skip
    found = words_of(made)
    assert rows(found) == [(0, 0, 3), (0, 4, 7)]
    assert found.tokens.tolist() == [1, 2] and found.of_token.tolist() == [-1, 0, 1, -1, -1]
