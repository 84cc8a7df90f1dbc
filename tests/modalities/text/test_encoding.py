"""Texts as tokens: made once, told apart by all that a model sees, characters counted as TensorFlow counts them."""

import gc
import random
import subprocess
import sys
import weakref
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from tests import ROOT
from tests.modalities.text.tokenizers.test_wordpiece import fuzzed
from tests.texts import TOKENIZER, VOCABULARY, WORDS, texts
from tltk.data.formats.arrays import from_arrays
from tltk.data.formats.conll import from_words
from tltk.modalities.text import encoding
from tltk.modalities.text.encoding import EncodedTexts, as_strings, encoded, joined, notes, windows_of
from tltk.modalities.text.tokenizers.tokenizer import tokenizer
from tltk.specs import TextSpec, TokenizerSpec

SPEC = TextSpec(TOKENIZER, 12)
WINDOWS = replace(SPEC, stride=3)


def many(count=700):
    return fuzzed(count, [word.strip("#") for word in WORDS])


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one.columns, other.columns, strict=True)) and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("row_splits", "text_ids")
    )


@pytest.mark.parametrize("spec", [SPEC, WINDOWS, replace(WINDOWS, pairs=True)])
def test_many_texts_are_tokenized_as_one_batch_would_be(spec):
    held = many()
    items = list(zip(held, reversed(held), strict=True)) if spec.pairs else held
    made = encoded(from_arrays(items), spec)
    columns = zip(*items, strict=True) if spec.pairs else [held]
    found = windows_of(spec, tokenizer(spec.tokenizer), *(tf.constant(list(column)) for column in columns))
    lengths = found.ids.row_lengths().numpy()
    flat = [column.flat_values.numpy() for column in found[:5]]
    splits = np.concatenate([[0], np.cumsum(lengths)])
    assert same(made, EncodedTexts(*flat, splits, found.text_ids.numpy(), found.token_counts.numpy()))
    assert made.token_counts.tolist() == found.token_counts.numpy().tolist()
    assert [column.dtype for column in made.columns] == [np.int32, np.int32, np.int32, np.bool_, np.int32]
    assert made.row_splits.dtype == made.text_ids.dtype == made.token_counts.dtype == np.int64
    assert made.lengths.max() == 12 and set(made.text_ids.tolist()) == set(range(700))


def test_the_windows_of_a_text_stand_together_in_the_order_of_the_source():
    made = encoded(from_arrays(["good " * 30, "", "bad"]), WINDOWS)
    assert made.text_ids.tolist() == [0, 0, 0, 0, 1, 2]
    assert made.token_counts.tolist() == [32, 2, 3]
    assert len(made) == 6 and made.lengths.tolist() == [12, 12, 12, 11, 2, 3]


def test_a_source_is_tokenized_only_once_for_each_way():
    source = texts()
    made = encoded(source, SPEC)
    assert encoded(source, replace(SPEC, pad_to=12)) is made, "the width is no matter of tokens"
    assert encoded(source, TextSpec(TokenizerSpec("wordpiece", (*VOCABULARY,)), 12)) is made
    assert encoded(source, WINDOWS) is not made
    assert encoded(source, replace(SPEC, tokenizer=replace(TOKENIZER, lowercase=False))) is not made
    assert encoded(source, SPEC) is made


def test_the_tokens_of_a_source_go_with_it():
    source = texts()
    made = weakref.ref(encoded(source, SPEC))
    assert made() is not None
    del source
    gc.collect()
    assert made() is None


def test_chosen_examples_keep_their_tokens_in_any_order():
    made = encoded(from_arrays(many(40)), WINDOWS)
    generator = np.random.default_rng(0)
    everything = np.arange(len(made))
    for rows in (
        everything,
        generator.permutation(len(made)),
        generator.integers(0, len(made), 300),
        np.array([], int),
    ):
        part = made[rows]
        assert len(part) == len(rows) and part.lengths.tolist() == made.lengths[rows].tolist()
        assert part.text_ids.tolist() == made.text_ids[rows].tolist()
        for place, row in enumerate(rows):
            for one, other in zip(part.columns, made.columns, strict=True):
                assert np.array_equal(one[part.place(place)], other[made.place(row)])
    odd = everything % 2 == 1
    assert same(made[odd], made[np.flatnonzero(odd)]) and same(made[made.text_ids == 99], made[np.array([], int)])
    twice = made[everything[::-1]][everything[::-1]]
    assert same(twice, made)
    assert np.array_equal(made[odd].token_counts, made.token_counts), "of all texts of the source"


def test_ids_are_padded_at_their_ends():
    made = encoded(from_arrays(["good", "", "very good film"]), SPEC)
    good, film, very = (VOCABULARY.index(word) for word in ("good", "film", "very"))
    found = made.padded(np.array([2, 1, 0]), 6, 0)
    assert found.dtype == np.int32
    assert found.tolist() == [[2, very, good, film, 3, 0], [2, 3, 0, 0, 0, 0], [2, good, 3, 0, 0, 0]]
    assert made.padded(np.array([1]), 2, 0).tolist() == [[2, 3]]
    assert made.padded(np.array([], int), 4, 0).shape == (0, 4)


def test_an_empty_source_has_no_tokens():
    empty = texts().subset([])
    for spec in (SPEC, WINDOWS):
        made = encoded(empty, spec)
        assert len(made) == 0 and made.lengths.tolist() == [] and made.ids.dtype == np.int32
        assert made.is_word_start.dtype == np.bool_ and made.row_splits.tolist() == [0]
    assert notes(empty, SPEC) == ""


def test_tokens_are_named_by_ids_and_borders():
    made = encoded(from_arrays(["good film", "bad"]), SPEC)
    assert made.digest() == encoded(from_arrays(["Good  film", "bad"]), SPEC).digest()
    assert made.digest() != encoded(from_arrays(["good film", "film"]), SPEC).digest()
    assert made.digest() != replace(made, row_splits=np.array([0, 3, 7])).digest()


def test_texts_come_as_utf8_words_joined_by_spaces():
    assert as_strings(np.array(["é", b"\xc3\xa9"], object), pairs=False) == ([b"\xc3\xa9"] * 2,)
    assert as_strings(from_words([["in", "New York"], []]).examples, pairs=False) == ([b"in New York", b""],)
    assert as_strings(from_arrays([("a", "b"), ("c", "")]).examples, pairs=True) == ([b"a", b"c"], [b"b", b""])
    assert as_strings(np.array(["a\ud800b"], object), pairs=False) == ([b"a?b"],)
    assert joined(("in", "New", "York")) == "in New York" and joined(b"a\xff") == "a\ufffd"


def test_characters_are_counted_as_the_tokenizer_counts_them_in_any_bytes():
    generator = random.Random(0)
    parts = (b"a", b" ", b"\xc3", b"\xa9", b"\xe4\xb8\xad", b"\xe4\xb8", b"\xf0\x9f\x98\x80", b"\xf0\x9f", b"\xff",
             b"\xc0\x80", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xf4\x90\x80\x80", b"\x00", b"\r\n")  # fmt: skip
    held = [b"".join(generator.choices(parts, k=generator.randint(0, 6))) for _ in range(3000)]
    points = tf.strings.unicode_decode(as_strings(np.array(held, object), pairs=False)[0], "UTF-8", errors="replace")
    assert points.to_list() == [list(map(ord, joined(item))) for item in held]


def test_the_characters_of_a_token_are_those_of_its_text():
    held = [
        "\ufeffVery good",
        "cafe\u0301 UNLIKELY\r\n",
        "👩‍👩‍👧 film 👍🏽",
        "טוב good \u200fbad",
        "a\x00b\tfine",
        "\ud800 book",
    ]
    made = encoded(from_arrays(held), TextSpec(TOKENIZER, 32))
    places = [
        list(zip(made.char_starts[made.place(n)], made.char_ends[made.place(n)], strict=True)) for n in range(len(held))
    ]
    shown = [[text[start:end] for start, end in pairs] for text, pairs in zip(held, places, strict=True)]
    assert [[piece for piece in row if piece] for row in shown] == [
        ["Very", "good"],
        ["cafe\u0301", "UN", "LIKE", "LY"],
        ["👩‍👩‍👧", "film", "👍🏽"],
        ["טוב", "good", "bad"],
        ["a\x00b", "fine"],
        ["\ud800", "book"],
    ]


@pytest.mark.parametrize(
    ("options", "treatment"),
    [
        ({}, "truncated at the end"),
        ({"truncation": "start"}, "truncated at the start"),
        ({"truncation": "middle"}, "truncated in the middle"),
        ({"stride": 2}, "read in windows"),
    ],
)
def test_texts_longer_than_the_model_reads_are_reported(options, treatment):
    spec = replace(SPEC, **options)
    source = from_arrays(["good " * 10, *["good " * 11] * 5, "bad " * 20])
    assert notes(source, spec) == (
        f"6 of 7 texts (86 %) are longer than the model reads (12 tokens; longest: 22), {treatment}: "
        "example 1, example 2, example 3 … and 3 more"
    )
    assert notes(source.subset([0, 6]), spec) == (
        f"1 of 2 texts (50 %) is longer than the model reads (12 tokens; longest: 22), {treatment}: example 6"
    )
    assert notes(source.subset([0]), spec) == ""


def test_pairs_are_reported_by_both_their_texts_together():
    spec = replace(SPEC, pairs=True)
    source = from_arrays([("good " * 4, "bad " * 5), ("good " * 5, "bad " * 5), ("good " * 12, "")])
    report = notes(source, spec)
    assert "2 of 3 texts (67 %) are longer than the model reads (12 tokens; longest: 15)" in report


def test_a_text_of_60_000_words_and_many_empty_ones_are_tokenized_together():
    source = from_arrays(["", *["good film " * 30_000], *[""] * 600])
    made = encoded(source, replace(WINDOWS, sequence_length=512, stride=64))
    assert made.lengths[made.text_ids == 1].sum() > 60_000
    assert (made.lengths[made.text_ids != 1] == 2).all() and len(np.unique(made.text_ids)) == 602


def test_texts_are_not_traced_anew_for_each_source(monkeypatch):
    encoding._traced.cache_clear()
    calls = []
    original = encoding.windows_of
    monkeypatch.setattr(encoding, "windows_of", lambda *each: calls.append(1) or original(*each))
    for _ in range(3):
        encoded(texts(), SPEC)
    assert calls == [1]


MEGABYTE = """
import resource, sys
import tltk
from tests import families
from tltk.backbones.text.kerashub_tokenizers import spec_of
from tltk.modalities.text.encoding import encoded
spec = spec_of(families.tokenizer(sys.argv[1]), 32, {})
encoded(tltk.from_arrays(["warm", "up"]), spec)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
made = encoded(tltk.from_arrays(["word " * 200_000] + ["short text"] * 511), spec)
assert len(made) == 512
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("family", ["electra", "roberta", "albert"])
def test_a_text_of_a_megabyte_among_short_ones_takes_no_gigabytes(family):
    command = [sys.executable, "-c", MEGABYTE, family]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600, cwd=ROOT)
    assert int(done.stdout.split()[-1]) < 700
