"""Special tokens, truncation and windows, compared with Hugging Face's `tokenizers` where it supports them."""

import json
import random
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import tensorflow as tf
from tokenizers import Tokenizer

from tests.modalities.text.tokenizers import test_wordpiece
from tests.modalities.text.tokenizers.test_wordpiece import fuzzed
from tests.texts import TOKENIZER, VOCABULARY, minilm_folder
from tltk.modalities.text.tokenizers.wordpiece import WordPiece
from tltk.modalities.text.windows import make_windows
from tltk.specs import TextSpec, TokenizerSpec

GOOD, BAD, FILM = (VOCABULARY.index(word) for word in ("good", "bad", "film"))
CLS, SEP = 2, 3
vocabulary = cache(test_wordpiece.vocabulary)


@cache
def word_piece(words=None):
    words = vocabulary() if words is None else words
    return tf.function(
        WordPiece(TokenizerSpec("wordpiece", words)).__call__, input_signature=[tf.TensorSpec([None], tf.string)]
    )


@cache
def texts():
    """Return texts in many scripts, most of 0 to 60 tokens, a few of 200."""
    short = fuzzed(100, [piece.strip("#") for piece in vocabulary() if piece.isalpha()])
    return (*short[:60], *(" ".join(short[start : start + 8]) for start in range(60, 100, 8)))


@cache
def pairs():
    generator = random.Random(0)
    words_of_texts = [text.split(" ") for text in texts()[:60]]
    return tuple(
        (" ".join(first[: generator.randint(0, 8)]), " ".join(second))
        for first in words_of_texts
        for second in words_of_texts[::30]
    )


def reference(**truncation):
    settings = json.loads((minilm_folder() / "tokenizer.json").read_text(encoding="utf-8"))
    settings["padding"] = settings["truncation"] = None
    tokenizer = Tokenizer.from_str(json.dumps(settings))
    tokenizer.enable_truncation(**truncation)
    return tokenizer


def windows_of(spec, texts, first_texts=None, words=None):
    pieces = [
        None if column is None else word_piece(words)(tf.constant(list(column), tf.string))
        for column in (texts, first_texts)
    ]
    return make_windows(spec, *pieces)


def columns(windows):
    return [column.to_list() for column in (windows.ids, windows.char_starts, windows.char_ends)]


def hugging_face_columns(encodings):
    """Return ids, start and end offsets, with -1 for special tokens."""
    offsets = [
        [
            (-1, -1) if special else offset
            for offset, special in zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
        ]
        for encoding in encodings
    ]
    return [
        [encoding.ids for encoding in encodings],
        [[start for start, _ in row] for row in offsets],
        [[end for _, end in row] for row in offsets],
    ]


def with_overflow(encodings):
    """Return all windows of texts: each encoding, followed by its overflowing ones."""
    return [window for encoding in encodings for window in (encoding, *encoding.overflowing)]


def spec_of(length, **options):
    return TextSpec(TokenizerSpec("wordpiece", vocabulary()), length, **options)


def small(length, separator=("[SEP]",), **options):
    return TextSpec(replace(TOKENIZER, separator=separator), length, **options)


@pytest.mark.parametrize(("truncation", "direction"), [("end", "right"), ("start", "left")])
def test_single_texts_are_truncated_as_by_hugging_face(truncation, direction):
    for length in (3, 16, 64):
        windows = windows_of(spec_of(length, truncation=truncation), texts())
        expected = reference(max_length=length, direction=direction).encode_batch(texts())
        assert columns(windows) == hugging_face_columns(expected)
        assert windows.ids.row_lengths().numpy().max() == length


@pytest.mark.parametrize(("truncation", "direction"), [("end", "right"), ("start", "left")])
def test_pairs_are_truncated_longest_first_as_by_hugging_face(truncation, direction):
    first, second = zip(*pairs(), strict=True)
    for length in (6, 7, 12, 33):
        windows = windows_of(spec_of(length, truncation=truncation, pairs=True), second, first)
        expected = reference(max_length=length, direction=direction, strategy="longest_first").encode_batch(pairs())
        assert columns(windows) == hugging_face_columns(expected)


def test_windows_of_single_texts_equal_those_of_hugging_face():
    for length, overlap in ((3, 0), (4, 1), (16, 0), (16, 4), (20, 5), (64, 7), (512, 64)):
        windows = windows_of(spec_of(length, overlap=overlap), texts())
        expected = reference(max_length=length, stride=overlap).encode_batch(texts())
        assert columns(windows) == hugging_face_columns(with_overflow(expected))
        text_ids = [row for row, encoding in enumerate(expected) for _ in range(1 + len(encoding.overflowing))]
        assert windows.text_ids.numpy().tolist() == text_ids


def test_windows_with_a_short_question_equal_those_of_hugging_face():
    questions_and_contexts = [(" ".join(first.split(" ")[:2])[:12], second) for first, second in pairs()]
    questions, contexts = zip(*questions_and_contexts, strict=True)
    for length, overlap in ((20, 0), (30, 7), (40, 10), (64, 16)):
        windows = windows_of(spec_of(length, pairs=True, overlap=overlap), contexts, questions)
        tokenizer = reference(max_length=length, stride=overlap, strategy="only_second")
        expected = tokenizer.encode_batch(questions_and_contexts)
        assert columns(windows) == hugging_face_columns(with_overflow(expected))


def test_truncation_in_the_middle_keeps_a_head_and_a_tail_of_equal_size():
    untruncated = windows_of(spec_of(5000), texts())
    for length in (3, 8, 9, 31):
        windows = windows_of(spec_of(length, truncation="middle"), texts())
        for name in ("ids", "char_starts", "char_ends", "is_word_start", "positions"):
            rows, all_rows = getattr(windows, name).to_list(), getattr(untruncated, name).to_list()
            for row, all_values in zip(rows, all_rows, strict=True):
                body, room = all_values[1:-1], length - 2
                tail = room // 2
                kept = body if len(body) <= room else body[: room - tail] + body[len(body) - tail :]
                assert row == [all_values[0], *kept, all_values[-1]]


@pytest.mark.parametrize(
    ("options", "pair"),
    [({}, True), ({"truncation": "start"}, True), ({"truncation": "middle"}, False), ({"overlap": 3}, True)],
)
def test_positions_count_within_each_text_and_other_values_are_those_of_the_tokenizer(options, pair):
    spec = spec_of(16, pairs=pair, **options)
    first, second = zip(*pairs()[::9], strict=True)
    windows = windows_of(spec, second, first if pair else None)
    pieces_of_texts = [word_piece()(tf.constant(list(column))) for column in ((first, second) if pair else (second,))]
    pieces_of_texts = [[column.to_list() for column in pieces] for pieces in pieces_of_texts]
    rows = [column.to_list() for column in windows[:5]]
    for row, text in enumerate(windows.text_ids.numpy()):
        tokens = list(zip(*(column[row] for column in rows), strict=True))
        assert tokens[0] == (spec.tokenizer.id_of("[CLS]"), -1, -1, False, -1)
        assert tokens[-1] == (spec.tokenizer.id_of("[SEP]"), -1, -1, False, -1)
        special = [index for index, (*_, position) in enumerate(tokens) if position == -1]
        assert len(special) == 2 + pair
        for pieces, (before, after) in zip(pieces_of_texts, pairwise(special), strict=True):
            expected = list(zip(*(column[text] for column in pieces), strict=True))
            assert all(tuple(values) == expected[position] for *values, position in tokens[before + 1 : after])


@pytest.mark.parametrize("pair", [False, True])
def test_token_counts_are_those_before_truncation(pair):
    first, second = zip(*pairs()[::9], strict=True)
    untruncated = windows_of(spec_of(5000, pairs=pair), second, first if pair else None)
    for overlap in (None, 2):
        windows = windows_of(spec_of(12, pairs=pair, overlap=overlap), second, first if pair else None)
        assert windows.token_counts.numpy().tolist() == untruncated.ids.row_lengths().numpy().tolist()


@pytest.mark.parametrize(("length", "words", "kept"), [(200, 30, 30), (200, 500, 64), (43, 30, 20), (44, 30, 20)])
def test_a_question_keeps_64_tokens_or_half_of_the_sequence_in_windows(length, words, kept):
    windows = windows_of(small(length, pairs=True, overlap=5), ["bad " * 400], ["good " * words], VOCABULARY)
    rows = windows.ids.to_list()
    assert len(rows) > 2
    assert all(row[: kept + 2] == [CLS, *[GOOD] * kept, SEP] and row[-1] == SEP for row in rows)
    assert all(set(row[kept + 2 : -1]) == {BAD} for row in rows)
    assert all(len(row) == length for row in rows[:-1]) and len(rows[-1]) <= length
    positions = [row[kept + 2 : -1] for row in windows.positions.to_list()]
    assert sorted({position for row in positions for position in row}) == list(range(400))
    assert all(row[-5:] == next_row[:5] for row, next_row in pairwise(positions))


def test_a_long_question_is_truncated_on_the_side_of_the_spec():
    words = "good bad film very not fine great awful"
    pieces = [VOCABULARY.index(word) for word in words.split()]
    for truncation, kept in (("end", pieces[:4]), ("start", pieces[-4:]), ("middle", pieces[:2] + pieces[-2:])):
        spec = small(11, pairs=True, overlap=0, truncation=truncation)
        windows = windows_of(spec, ["the"], [words], VOCABULARY)
        assert windows.ids.to_list() == [[CLS, *kept, SEP, VOCABULARY.index("the"), SEP]]


@pytest.mark.parametrize("separator", [("[SEP]",), ("[SEP]", "[SEP]")])
def test_windows_cover_the_text_at_the_shortest_sequence_lengths(separator):
    for length in (*range(6, 14), 16, 20):
        spec = small(length, pairs=True, overlap=length // 4, separator=separator)
        windows = windows_of(spec, ["bad film " * 10], ["good " * 70], VOCABULARY)
        assert windows.ids.row_lengths().numpy().max() <= length
        covered = set()
        for row in windows.positions.to_list():
            separator_index = max(index for index, position in enumerate(row[:-1]) if position < 0)
            covered.update(row[separator_index + 1 : -1])
        assert covered == set(range(20))


@pytest.mark.parametrize("overlap", [None, 2])
def test_empty_texts_have_one_window_of_special_tokens(overlap):
    for text, first in (("", ""), ("good", ""), ("", "good"), ("\x00\u200b", "\n \t")):
        expected = [CLS, *[GOOD] * (text == "good"), SEP]
        assert windows_of(small(12, overlap=overlap), [text], None, VOCABULARY).ids.to_list() == [expected]
        expected = [CLS, *[GOOD] * (first == "good"), SEP, *[GOOD] * (text == "good"), SEP]
        windows = windows_of(small(12, overlap=overlap, pairs=True), [text], [first], VOCABULARY)
        assert windows.ids.to_list() == [expected]


@pytest.mark.parametrize("overlap", [None, 2])
def test_an_empty_batch_has_no_windows(overlap):
    for first_texts in (None, []):
        spec = small(12, overlap=overlap, pairs=first_texts is not None)
        windows = windows_of(spec, [], first_texts, VOCABULARY)
        assert windows.ids.to_list() == [] and windows.text_ids.shape == windows.token_counts.shape == (0,)


def test_dtypes_are_those_in_the_documentation_of_windows():
    windows = windows_of(small(12, pairs=True, overlap=1), ["good film"], ["bad"], VOCABULARY)
    expected = (tf.int32, tf.int32, tf.int32, tf.bool, tf.int32, tf.int64, tf.int64)
    assert tuple(column.dtype for column in windows) == expected


def test_windows_cover_a_text_of_200_000_words():
    windows = windows_of(small(512, overlap=64), ["good film " * 100_000], None, VOCABULARY)
    positions = windows.positions.flat_values.numpy()
    assert np.array_equal(np.unique(positions[positions >= 0]), np.arange(200_000))
    assert windows.text_ids.shape == (-(-(200_000 - 510) // (510 - 64)) + 1,)
    assert set(windows.ids.flat_values.numpy().tolist()) == {CLS, SEP, GOOD, FILM}
