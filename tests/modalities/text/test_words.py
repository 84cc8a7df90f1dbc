"""Words of tokenized texts equal those of Hugging Face, with any sequence length and overlap."""

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
LONG = 2048  # sequence length, more tokens than any of these texts has
LAYOUTS = ((9, 0), (12, 3), (40, 10), (67, 5), (256, 64))  # sequence lengths and strides
SPECIAL = TextSpec(TokenizerSpec("wordpiece", ("[PAD]", "[UNK]", "[CLS]", "[SEP]")), 9)


@cache
def reference():
    settings = json.loads((minilm_folder() / "tokenizer.json").read_text(encoding="utf-8"))
    settings["padding"] = settings["truncation"] = None
    return Tokenizer.from_str(json.dumps(settings))


@cache
def texts():
    known_words = [piece.strip("#") for piece in vocabulary() if piece.isalpha()]
    return ("", "\x00", " \u200b ", *test_wordpiece.fuzzed(100, known_words), "unlikely " * 150)


@cache
def split_texts():
    """Return the texts as tuples of words, with unusual words between."""
    generator = random.Random(0)
    unusual_words = (
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
    words_of_texts = [[word for word in text.split(" ") if word.strip()] for text in texts()]
    return tuple(
        tuple(part for word in words for part in (word, generator.choice(unusual_words))[: generator.randint(1, 2)])
        for words in words_of_texts
    )


def rows(words):
    return list(zip(words.text_ids.tolist(), words.starts.tolist(), words.ends.tolist(), strict=True))


def find_words(texts):
    """Return the words of texts, and the word that begins with each token; assert that both functions agree."""
    windows, count = as_windows(texts), tf.constant(len(texts.token_counts), tf.int64)
    words, of_token = words_and_first_tokens(windows, count)
    for actual, expected in zip(words_of(windows, count), words, strict=True):
        np.testing.assert_array_equal(actual, expected)
    return reference_words.Words(*(column.numpy() for column in words), of_token.numpy())


def encoded_windows(pieces, length, overlap, **options):
    windows = make_windows(replace(SPECIAL, sequence_length=length, overlap=overlap, **options), pieces)
    row_splits = np.concatenate([[0], np.cumsum(windows.ids.row_lengths())])
    columns = (column.flat_values.numpy() for column in windows[:5])
    return EncodedTexts(*columns, row_splits, windows.text_ids.numpy(), windows.token_counts.numpy())


@cache
def word_pieces(strings):
    return WordPiece(TokenizerSpec("wordpiece", vocabulary()))(tf.constant(strings))


@cache
def byte_pairs(strings):
    return BytePair(*test_bytepair.trained())(tf.constant(strings))


def texts_and_words(source, length, overlap=None, tokenize=word_pieces):
    texts = encoded_windows(tokenize(tuple(map(joined, source.examples))), length, overlap)
    return texts, find_words(texts)


@pytest.fixture(scope="module")
def sources():
    return from_arrays(list(texts())), from_words(split_texts())


def test_words_equal_those_of_hugging_face(sources):
    expected = []
    for row, encoding in enumerate(reference().encode_batch(texts(), add_special_tokens=False)):
        offsets_of_words = {}
        for word, offsets in zip(encoding.word_ids, encoding.offsets, strict=True):
            offsets_of_words.setdefault(word, []).append(offsets)
        expected += [(row, offsets[0][0], max(end for _, end in offsets)) for offsets in offsets_of_words.values()]
    assert len(expected) > 2500
    assert rows(texts_and_words(sources[0], LONG)[1]) == expected


def test_split_texts_have_the_words_of_the_joined_texts(sources):
    split_source = sources[1]
    joined_source = from_arrays([joined(example) for example in split_source.examples])
    spec = TextSpec(TokenizerSpec("wordpiece", vocabulary()), LONG)
    of_split, of_joined = (find_words(encoded(source, spec)) for source in (split_source, joined_source))
    for column in ("text_ids", "starts", "ends", "tokens", "of_token"):
        np.testing.assert_array_equal(getattr(of_split, column), getattr(of_joined, column))
    words = rows(find_words(encoded(from_words([["U.S."]]), spec)))
    assert [(start, end) for _, start, end in words] == [(0, 1), (1, 2), (2, 3), (3, 4)]


def test_texts_have_the_same_words_in_one_window_and_in_several(sources):
    for source in sources:
        untruncated, expected = texts_and_words(source, LONG)
        for length, overlap in LAYOUTS:
            texts, words = texts_and_words(source, length, overlap)
            assert len(texts) > len(source) or length == 256
            assert rows(words) == rows(expected)
            for actual_column, expected_column in zip(texts.columns, untruncated.columns, strict=True):
                np.testing.assert_array_equal(actual_column[words.tokens], expected_column[expected.tokens])


@pytest.mark.parametrize("truncation", ["end", "start", "middle"])
def test_words_in_windows_and_truncated_texts_equal_the_reference(sources, truncation):
    for source in sources:
        pieces = word_pieces(tuple(map(joined, source.examples)))
        for length, overlap in ((9, None), (40, None), (9, 0), (12, 3), (67, 5)):
            texts = encoded_windows(pieces, length, overlap, truncation=truncation)
            words, expected = find_words(texts), reference_words.words_of(texts)
            for column in ("text_ids", "starts", "ends", "tokens", "of_token"):
                np.testing.assert_array_equal(getattr(words, column), getattr(expected, column))
            assert len(words.text_ids) > 100


def test_first_tokens_are_marked_in_all_windows_and_read_from_the_one_with_most_context(sources):
    for source in sources:
        untruncated, expected = texts_and_words(source, LONG)
        text_ids = np.repeat(untruncated.text_ids, untruncated.lengths)
        word_at = {
            (int(text_ids[token]), int(untruncated.positions[token])): word
            for word, token in enumerate(expected.tokens.tolist())
        }
        for length, overlap in LAYOUTS[:3]:
            texts, words = texts_and_words(source, length, overlap)
            copies_of_word = {}
            for row, text in enumerate(texts.text_ids.tolist()):
                place = texts.place(row)
                size = place.stop - place.start
                for column, position in enumerate(texts.positions[place].tolist()):
                    token, margin = place.start + column, min(column, size - 1 - column)
                    word = word_at.get((text, position), -1)
                    assert words.of_token[token] == word
                    if word >= 0:
                        copies_of_word.setdefault(word, []).append((-margin, row, token))
            assert words.tokens.tolist() == [min(copies_of_word[word])[2] for word in range(len(copies_of_word))]


def test_control_characters_alone_are_no_words_and_offsets_of_other_words_count_them():
    source = from_words((("good", "\x00", "un\u200blikely", "\u200b\x07", "film"), ("\x01",), ()))
    texts = encoded(source, TextSpec(TOKENIZER, 32))
    words = find_words(texts)
    assert rows(words) == [(0, 0, 4), (0, 7, 16), (0, 20, 24)]
    assert [VOCABULARY[token_id] for token_id in texts.ids[words.tokens]] == ["good", "un", "film"]


def test_empty_sources_and_texts_without_tokens_have_no_words():
    for source in (
        from_arrays(["", "\x00"]),
        from_arrays(["a"]).subset([]),
        from_words([]),
        from_words([[], ["\x01"]]),
    ):
        for overlap in (None, 2):
            texts = encoded(source, TextSpec(TOKENIZER, 8, overlap=overlap))
            words = find_words(texts)
            assert rows(words) == [] and words.tokens.tolist() == []
            assert words.of_token.tolist() == [-1] * len(texts.ids)


def test_truncated_texts_have_the_remaining_words_and_none_spans_the_gap():
    text = "unlike good film very book unlikely great fine"
    pieces = WordPiece(TOKENIZER)(tf.constant([text]))
    for length, truncation, expected in (
        (7, "end", ["unlike", "good", "film", "very"]),
        (7, "start", ["unlikely", "great", "fine"]),
        (8, "middle", ["unlike", "good", "ly", "great", "fine"]),
    ):
        truncated = encoded_windows(pieces, length, None, truncation=truncation)
        assert [text[start:end] for _, start, end in rows(find_words(truncated))] == expected


def test_tokens_for_spaces_belong_to_no_word():
    texts = ["in  Paris ", "  in   Paris", " ", "   ", "in\n\n Paris  .  "]
    for length, overlap in ((LONG, None), (12, 3)):
        _, words = texts_and_words(from_arrays(texts), length, overlap, byte_pairs)
        strings = [[texts[row][start:end] for text, start, end in rows(words) if text == row] for row in range(5)]
        assert strings == [["in", "Paris"], ["in", "Paris"], [], [], ["in", "Paris", "."]]
        assert all(end > start for _, start, end in rows(words))
        assert sorted(set(words.of_token.tolist()) - {-1}) == list(range(len(words.text_ids)))


def test_byte_pair_texts_have_the_same_words_in_one_window_and_in_several():
    pieces = [piece.strip("Ġ") for piece in test_bytepair.trained()[0][300:]]
    texts = [text for text in test_bytepair.fuzzed(60, pieces) if text]
    source = from_arrays(texts)
    expected = rows(texts_and_words(source, 4096, None, byte_pairs)[1])
    for text, start, end in expected:
        assert start < end and texts[text][start:end].strip(" ") == texts[text][start:end]
    for length, overlap in LAYOUTS:
        assert rows(texts_and_words(source, length, overlap, byte_pairs)[1]) == expected


def test_a_word_whose_first_token_covers_nothing_starts_at_its_first_character():
    # SentencePiece without a piece "▁foo": "bar foo" → "▁bar", "▁" of no width, "foo".
    columns = ([2, 5, 1, 6, 3], [-1, 0, 4, 4, -1], [-1, 3, 4, 7, -1])
    positions = np.array([-1, 0, 1, 2, -1], np.int32)
    texts = EncodedTexts(
        *(np.array(column, np.int32) for column in columns),
        np.array([False, True, True, False, False]), positions, np.array([0, 5]), np.array([0]), np.array([5]),
    )  # fmt: skip
    words = find_words(texts)
    assert rows(words) == [(0, 0, 3), (0, 4, 7)]
    assert words.tokens.tolist() == [1, 2] and words.of_token.tolist() == [-1, 0, 1, -1, -1]
