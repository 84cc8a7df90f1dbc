"""Texts are encoded once per source and spec, and offsets count characters as TensorFlow does."""

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
from tltk.modalities.text.encoding import EncodedTexts, as_strings, encoded, joined, overlong_note, windows_of
from tltk.modalities.text.tokenizers.tokenizer import tokenizer
from tltk.specs import TextSpec, TokenizerSpec

SPEC = TextSpec(TOKENIZER, 12)
WINDOWS = replace(SPEC, overlap=3)


def fuzzed_texts(count=700):
    return fuzzed(count, [word.strip("#") for word in WORDS])


def equal(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first.columns, second.columns, strict=True)) and all(
        np.array_equal(getattr(first, name), getattr(second, name)) for name in ("row_splits", "text_ids")
    )


@pytest.mark.parametrize("spec", [SPEC, WINDOWS, replace(WINDOWS, pairs=True)])
def test_a_source_is_tokenized_in_batches_with_the_result_of_one_batch(spec):
    single_texts = fuzzed_texts()
    examples = list(zip(single_texts, reversed(single_texts), strict=True)) if spec.pairs else single_texts
    encoded_texts = encoded(from_arrays(examples), spec)
    columns = zip(*examples, strict=True) if spec.pairs else [single_texts]
    windows = windows_of(spec, tokenizer(spec.tokenizer), *(tf.constant(list(column)) for column in columns))
    row_splits = np.concatenate([[0], np.cumsum(windows.ids.row_lengths().numpy())])
    token_columns = [column.flat_values.numpy() for column in windows[:5]]
    expected = EncodedTexts(*token_columns, row_splits, windows.text_ids.numpy(), windows.token_counts.numpy())
    assert equal(encoded_texts, expected)
    assert encoded_texts.token_counts.tolist() == expected.token_counts.tolist()
    assert [column.dtype for column in encoded_texts.columns] == [np.int32, np.int32, np.int32, np.bool_, np.int32]
    assert encoded_texts.row_splits.dtype == encoded_texts.text_ids.dtype == np.int64
    assert encoded_texts.token_counts.dtype == np.int64
    assert encoded_texts.lengths.max() == 12 and set(encoded_texts.text_ids.tolist()) == set(range(700))


def test_the_windows_of_a_text_are_adjacent_and_in_the_order_of_the_source():
    encoded_texts = encoded(from_arrays(["good " * 30, "", "bad"]), WINDOWS)
    assert encoded_texts.text_ids.tolist() == [0, 0, 0, 0, 1, 2]
    assert encoded_texts.token_counts.tolist() == [32, 2, 3]
    assert len(encoded_texts) == 6 and encoded_texts.lengths.tolist() == [12, 12, 12, 11, 2, 3]


def test_a_source_is_tokenized_once_for_each_tokenizer_and_sequence_length():
    source = texts()
    encoded_texts = encoded(source, SPEC)
    assert encoded(source, replace(SPEC, pad_to=12)) is encoded_texts, "padding does not change the tokens"
    assert encoded(source, TextSpec(TokenizerSpec("wordpiece", (*VOCABULARY,)), 12)) is encoded_texts
    assert encoded(source, WINDOWS) is not encoded_texts
    assert encoded(source, replace(SPEC, tokenizer=replace(TOKENIZER, lowercase=False))) is not encoded_texts
    assert encoded(source, SPEC) is encoded_texts


def test_encoded_texts_are_freed_with_their_source():
    source = texts()
    reference = weakref.ref(encoded(source, SPEC))
    assert reference() is not None
    del source
    gc.collect()
    assert reference() is None


def test_rows_can_be_selected_in_any_order():
    encoded_texts = encoded(from_arrays(fuzzed_texts(40)), WINDOWS)
    generator = np.random.default_rng(0)
    all_rows = np.arange(len(encoded_texts))
    for rows in (
        all_rows,
        generator.permutation(len(encoded_texts)),
        generator.integers(0, len(encoded_texts), 300),
        np.array([], int),
    ):
        selected = encoded_texts[rows]
        assert len(selected) == len(rows) and selected.lengths.tolist() == encoded_texts.lengths[rows].tolist()
        assert selected.text_ids.tolist() == encoded_texts.text_ids[rows].tolist()
        for index, row in enumerate(rows):
            for actual, expected in zip(selected.columns, encoded_texts.columns, strict=True):
                assert np.array_equal(actual[selected.place(index)], expected[encoded_texts.place(row)])
    odd = all_rows % 2 == 1
    assert equal(encoded_texts[odd], encoded_texts[np.flatnonzero(odd)])
    assert equal(encoded_texts[encoded_texts.text_ids == 99], encoded_texts[np.array([], int)])
    assert equal(encoded_texts[all_rows[::-1]][all_rows[::-1]], encoded_texts)
    assert np.array_equal(encoded_texts[odd].token_counts, encoded_texts.token_counts), "counts are those of the source"


def test_ids_are_padded_at_the_end():
    encoded_texts = encoded(from_arrays(["good", "", "very good film"]), SPEC)
    good, film, very = (VOCABULARY.index(word) for word in ("good", "film", "very"))
    padded = encoded_texts.padded(np.array([2, 1, 0]), 6, 0)
    assert padded.dtype == np.int32
    assert padded.tolist() == [[2, very, good, film, 3, 0], [2, 3, 0, 0, 0, 0], [2, good, 3, 0, 0, 0]]
    assert encoded_texts.padded(np.array([1]), 2, 0).tolist() == [[2, 3]]
    assert encoded_texts.padded(np.array([], int), 4, 0).shape == (0, 4)


def test_an_empty_source_has_no_tokens():
    empty = texts().subset([])
    for spec in (SPEC, WINDOWS):
        encoded_texts = encoded(empty, spec)
        assert len(encoded_texts) == 0 and encoded_texts.lengths.tolist() == [] and encoded_texts.ids.dtype == np.int32
        assert encoded_texts.is_word_start.dtype == np.bool_ and encoded_texts.row_splits.tolist() == [0]
    assert overlong_note(empty, SPEC) == ""


def test_the_digest_depends_on_ids_and_row_splits():
    encoded_texts = encoded(from_arrays(["good film", "bad"]), SPEC)
    assert encoded_texts.digest() == encoded(from_arrays(["Good  film", "bad"]), SPEC).digest()
    assert encoded_texts.digest() != encoded(from_arrays(["good film", "film"]), SPEC).digest()
    assert encoded_texts.digest() != replace(encoded_texts, row_splits=np.array([0, 3, 7])).digest()


def test_texts_are_encoded_as_utf8_and_words_joined_by_spaces():
    assert as_strings(np.array(["é", b"\xc3\xa9"], object), pairs=False) == ([b"\xc3\xa9"] * 2,)
    assert as_strings(from_words([["in", "New York"], []]).examples, pairs=False) == ([b"in New York", b""],)
    assert as_strings(from_arrays([("a", "b"), ("c", "")]).examples, pairs=True) == ([b"a", b"c"], [b"b", b""])
    assert as_strings(np.array(["a\ud800b"], object), pairs=False) == ([b"a?b"],)
    assert joined(("in", "New", "York")) == "in New York" and joined(b"a\xff") == "a\ufffd"


def test_any_bytes_are_decoded_to_the_characters_that_the_tokenizer_counts():
    generator = random.Random(0)
    parts = (b"a", b" ", b"\xc3", b"\xa9", b"\xe4\xb8\xad", b"\xe4\xb8", b"\xf0\x9f\x98\x80", b"\xf0\x9f", b"\xff",
             b"\xc0\x80", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xf4\x90\x80\x80", b"\x00", b"\r\n")  # fmt: skip
    examples = [b"".join(generator.choices(parts, k=generator.randint(0, 6))) for _ in range(3000)]
    strings = as_strings(np.array(examples, object), pairs=False)[0]
    points = tf.strings.unicode_decode(strings, "UTF-8", errors="replace")
    assert points.to_list() == [list(map(ord, joined(example))) for example in examples]


def test_offsets_of_tokens_count_the_characters_of_the_text():
    examples = [
        "\ufeffVery good",
        "cafe\u0301 UNLIKELY\r\n",
        "👩‍👩‍👧 film 👍🏽",
        "טוב good \u200fbad",
        "a\x00b\tfine",
        "\ud800 book",
    ]
    encoded_texts = encoded(from_arrays(examples), TextSpec(TOKENIZER, 32))
    tokens = []
    for row, text in enumerate(examples):
        place = encoded_texts.place(row)
        offsets = zip(encoded_texts.char_starts[place], encoded_texts.char_ends[place], strict=True)
        tokens.append([text[start:end] for start, end in offsets if text[start:end]])
    assert tokens == [
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
        ({"overlap": 2}, "read in windows"),
    ],
)
def test_overlong_texts_are_reported(options, treatment):
    spec = replace(SPEC, **options)
    source = from_arrays(["good " * 10, *["good " * 11] * 5, "bad " * 20])
    assert overlong_note(source, spec) == (
        f"6 of 7 texts (86 %) are longer than the model reads (12 tokens; longest: 22), {treatment}: "
        "example 1, example 2, example 3 … and 3 more"
    )
    assert overlong_note(source.subset([0, 6]), spec) == (
        f"1 of 2 texts (50 %) is longer than the model reads (12 tokens; longest: 22), {treatment}: example 6"
    )
    assert overlong_note(source.subset([0]), spec) == ""


def test_the_length_of_a_pair_is_that_of_both_texts_together():
    spec = replace(SPEC, pairs=True)
    source = from_arrays([("good " * 4, "bad " * 5), ("good " * 5, "bad " * 5), ("good " * 12, "")])
    report = overlong_note(source, spec)
    assert "2 of 3 texts (67 %) are longer than the model reads (12 tokens; longest: 15)" in report


def test_a_text_of_60_000_words_and_many_empty_ones_are_tokenized_together():
    source = from_arrays(["", *["good film " * 30_000], *[""] * 600])
    encoded_texts = encoded(source, replace(WINDOWS, sequence_length=512, overlap=64))
    is_long = encoded_texts.text_ids == 1
    assert encoded_texts.lengths[is_long].sum() > 60_000
    assert (encoded_texts.lengths[~is_long] == 2).all() and len(np.unique(encoded_texts.text_ids)) == 602


def test_the_tokenizer_is_traced_once_for_all_sources(monkeypatch):
    encoding._traced.cache_clear()
    calls = []
    original = encoding.windows_of
    monkeypatch.setattr(encoding, "windows_of", lambda *arguments: calls.append(1) or original(*arguments))
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
texts = encoded(tltk.from_arrays(["word " * 200_000] + ["short text"] * 511), spec)
assert len(texts) == 512
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
def test_a_text_of_one_megabyte_among_short_ones_needs_less_than_700_megabytes():
    # ALBERT's tokenizer has the largest graph: it normalizes, and looks up pieces in a trie.
    command = [sys.executable, "-c", MEGABYTE, "albert"]
    process = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600, cwd=ROOT)
    assert int(process.stdout.split()[-1]) < 700
