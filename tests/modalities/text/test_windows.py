"""Special tokens, cuts and windows: as Hugging Face's `tokenizers` makes them, where it makes them at all."""

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
def cutter(words=None):
    words = vocabulary() if words is None else words
    return tf.function(
        WordPiece(TokenizerSpec("wordpiece", words)).__call__, input_signature=[tf.TensorSpec([None], tf.string)]
    )


@cache
def texts():
    """Texts in many scripts, most of 0 to 60 tokens, a few of 200."""
    made = fuzzed(100, [piece.strip("#") for piece in vocabulary() if piece.isalpha()])
    return (*made[:60], *(" ".join(made[start : start + 8]) for start in range(60, 100, 8)))


@cache
def pairs():
    generator = random.Random(0)
    held = [text.split(" ") for text in texts()[:60]]
    return tuple((" ".join(one[: generator.randint(0, 8)]), " ".join(two)) for one in held for two in held[::30])


def reference(**truncation):
    settings = json.loads((minilm_folder() / "tokenizer.json").read_text(encoding="utf-8"))
    settings["padding"] = settings["truncation"] = None
    made = Tokenizer.from_str(json.dumps(settings))
    made.enable_truncation(**truncation)
    return made


def windows(spec, body, lead=None, words=None):
    pieces = [None if each is None else cutter(words)(tf.constant(list(each), tf.string)) for each in (body, lead)]
    return make_windows(spec, *pieces)


def columns(found):
    return [column.to_list() for column in (found.ids, found.char_starts, found.char_ends)]


def as_hugging_face(encodings):
    """Ids, beginnings and ends, with -1 for special tokens."""
    places = [
        [(-1, -1) if special else place for place, special in zip(each.offsets, each.special_tokens_mask, strict=True)]
        for each in encodings
    ]
    return [
        [each.ids for each in encodings],
        [[begin for begin, _ in held] for held in places],
        [[end for _, end in held] for held in places],
    ]


def spec_of(length, **options):
    return TextSpec(TokenizerSpec("wordpiece", vocabulary()), length, **options)


def small(length, separator=("[SEP]",), **options):
    return TextSpec(replace(TOKENIZER, separator=separator), length, **options)


@pytest.mark.parametrize(("truncation", "direction"), [("end", "right"), ("start", "left")])
def test_single_texts_are_cut_as_hugging_face_does(truncation, direction):
    for length in (3, 16, 64):
        found = windows(spec_of(length, truncation=truncation), texts())
        expected = reference(max_length=length, direction=direction).encode_batch(texts())
        assert columns(found) == as_hugging_face(expected)
        assert found.ids.row_lengths().numpy().max() == length


@pytest.mark.parametrize(("truncation", "direction"), [("end", "right"), ("start", "left")])
def test_pairs_are_cut_the_longer_text_first_as_hugging_face_does(truncation, direction):
    first, second = zip(*pairs(), strict=True)
    for length in (6, 7, 12, 33):
        found = windows(spec_of(length, truncation=truncation, pairs=True), second, first)
        expected = reference(max_length=length, direction=direction, strategy="longest_first").encode_batch(pairs())
        assert columns(found) == as_hugging_face(expected)


def test_windows_of_single_texts_are_those_of_hugging_face():
    for length, stride in ((3, 0), (4, 1), (16, 0), (16, 4), (20, 5), (64, 7), (512, 64)):
        found = windows(spec_of(length, stride=stride), texts())
        expected = reference(max_length=length, stride=stride).encode_batch(texts())
        assert columns(found) == as_hugging_face([each for one in expected for each in (one, *one.overflowing)])
        text_ids = [row for row, each in enumerate(expected) for _ in range(1 + len(each.overflowing))]
        assert found.text_ids.numpy().tolist() == text_ids


def test_windows_of_a_context_are_those_of_hugging_face_beside_a_short_question():
    asked = [(" ".join(one.split(" ")[:2])[:12], two) for one, two in pairs()]
    first, second = zip(*asked, strict=True)
    for length, stride in ((20, 0), (30, 7), (40, 10), (64, 16)):
        found = windows(spec_of(length, pairs=True, stride=stride), second, first)
        expected = reference(max_length=length, stride=stride, strategy="only_second").encode_batch(asked)
        assert columns(found) == as_hugging_face([each for one in expected for each in (one, *one.overflowing)])


def test_what_goes_of_the_middle_stands_between_a_head_and_a_tail_of_equal_size():
    whole = windows(spec_of(5000), texts())
    for length in (3, 8, 9, 31):
        found = windows(spec_of(length, truncation="middle"), texts())
        for name in ("ids", "char_starts", "char_ends", "is_word_start", "positions"):
            for cut, uncut in zip(getattr(found, name).to_list(), getattr(whole, name).to_list(), strict=True):
                body, room = uncut[1:-1], length - 2
                tail = room // 2
                kept = body if len(body) <= room else body[: room - tail] + body[len(body) - tail :]
                assert cut == [uncut[0], *kept, uncut[-1]]


@pytest.mark.parametrize(
    ("options", "pair"),
    [({}, True), ({"truncation": "start"}, True), ({"truncation": "middle"}, False), ({"stride": 3}, True)],
)
def test_pieces_are_numbered_in_their_own_text_and_carry_what_is_known_of_them(options, pair):
    spec = spec_of(16, pairs=pair, **options)
    first, second = zip(*pairs()[::9], strict=True)
    found = windows(spec, second, first if pair else None)
    bodies = [cutter()(tf.constant(list(each))) for each in ((first, second) if pair else (second,))]
    rows = [column.to_list() for column in found[:5]]
    bodies = [[column.to_list() for column in body] for body in bodies]
    for row, text in enumerate(found.text_ids.numpy()):
        held = list(zip(*(column[row] for column in rows), strict=True))
        assert held[0] == (spec.tokenizer.id_of("[CLS]"), -1, -1, False, -1)
        assert held[-1] == (spec.tokenizer.id_of("[SEP]"), -1, -1, False, -1)
        borders = [place for place, each in enumerate(held) if each[4] == -1]
        assert len(borders) == 2 + pair
        for pieces, (before, behind) in zip(bodies, pairwise(borders), strict=True):
            every = list(zip(*(column[text] for column in pieces), strict=True))
            assert all(each[:4] == every[each[4]] for each in held[before + 1 : behind])


@pytest.mark.parametrize("pair", [False, True])
def test_the_tokens_that_a_text_has_uncut_are_counted(pair):
    first, second = zip(*pairs()[::9], strict=True)
    whole = windows(spec_of(5000, pairs=pair), second, first if pair else None)
    for stride in (None, 2):
        found = windows(spec_of(12, pairs=pair, stride=stride), second, first if pair else None)
        assert found.token_counts.numpy().tolist() == whole.ids.row_lengths().numpy().tolist()


@pytest.mark.parametrize(("length", "words", "kept"), [(200, 30, 30), (200, 500, 64), (43, 30, 20), (44, 30, 20)])
def test_a_question_keeps_64_tokens_or_half_of_the_room_beside_windows(length, words, kept):
    found = windows(small(length, pairs=True, stride=5), ["bad " * 400], ["good " * words], VOCABULARY)
    rows = found.ids.to_list()
    assert len(rows) > 2
    assert all(row[: kept + 2] == [CLS, *[GOOD] * kept, SEP] and row[-1] == SEP for row in rows)
    assert all(set(row[kept + 2 : -1]) == {BAD} for row in rows)
    assert all(len(row) == length for row in rows[:-1]) and len(rows[-1]) <= length
    positions = [row[kept + 2 : -1] for row in found.positions.to_list()]
    assert sorted({position for row in positions for position in row}) == list(range(400))
    assert all(row[-5:] == other[:5] for row, other in pairwise(positions))


def test_a_question_that_is_cut_beside_windows_is_cut_where_a_text_would_be():
    words = "good bad film very not fine great awful"
    pieces = [VOCABULARY.index(word) for word in words.split()]
    for truncation, kept in (("end", pieces[:4]), ("start", pieces[-4:]), ("middle", pieces[:2] + pieces[-2:])):
        found = windows(small(11, pairs=True, stride=0, truncation=truncation), ["the"], [words], VOCABULARY)
        assert found.ids.to_list() == [[CLS, *kept, SEP, VOCABULARY.index("the"), SEP]]


@pytest.mark.parametrize("separator", [("[SEP]",), ("[SEP]", "[SEP]")])
def test_windows_get_on_at_the_shortest_lengths_that_a_spec_takes(separator):
    for length in (*range(6, 14), 16, 20):
        spec = small(length, pairs=True, stride=length // 4, separator=separator)
        found = windows(spec, ["bad film " * 10], ["good " * 70], VOCABULARY)
        assert found.ids.row_lengths().numpy().max() <= length
        positions = found.positions.to_list()
        behind = [max(place for place, position in enumerate(row[:-1]) if position < 0) for row in positions]
        assert {n for row, at in zip(positions, behind, strict=True) for n in row[at + 1 : -1]} == set(range(20))


@pytest.mark.parametrize("stride", [None, 2])
def test_empty_texts_have_one_window_of_special_tokens(stride):
    for body, lead in (("", ""), ("good", ""), ("", "good"), ("\x00\u200b", "\n \t")):
        expected = [CLS, *[GOOD] * (body == "good"), SEP]
        assert windows(small(12, stride=stride), [body], None, VOCABULARY).ids.to_list() == [expected]
        expected = [CLS, *[GOOD] * (lead == "good"), SEP, *[GOOD] * (body == "good"), SEP]
        assert windows(small(12, stride=stride, pairs=True), [body], [lead], VOCABULARY).ids.to_list() == [expected]


@pytest.mark.parametrize("stride", [None, 2])
def test_a_batch_of_no_texts_has_no_windows(stride):
    for lead in (None, []):
        found = windows(small(12, stride=stride, pairs=lead is not None), [], lead, VOCABULARY)
        assert found.ids.to_list() == [] and found.text_ids.shape == found.token_counts.shape == (0,)


def test_types_are_those_that_the_record_names():
    found = windows(small(12, pairs=True, stride=1), ["good film"], ["bad"], VOCABULARY)
    wanted = (tf.int32, tf.int32, tf.int32, tf.bool, tf.int32, tf.int64, tf.int64)
    assert tuple(column.dtype for column in found) == wanted


def test_windows_of_a_text_of_200_000_words_hold_each_of_them():
    found = windows(small(512, stride=64), ["good film " * 100_000], None, VOCABULARY)
    positions = found.positions.flat_values.numpy()
    assert np.array_equal(np.unique(positions[positions >= 0]), np.arange(200_000))
    assert found.text_ids.shape == (-(-(200_000 - 510) // (510 - 64)) + 1,)
    assert set(found.ids.flat_values.numpy().tolist()) == {CLS, SEP, GOOD, FILM}
