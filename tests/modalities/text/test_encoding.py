"""Texts as tokens: made once, examples kept beside their targets, characters counted as TensorFlow counts them."""

import gc
import random
import subprocess
import sys
import weakref
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests import ROOT
from tests.modalities.text.tokenizers.test_wordpiece import fuzzed
from tests.texts import TOKENIZER, VOCABULARY, WORDS, texts
from tltk.data.formats.folder import from_arrays, from_questions, from_words
from tltk.data.source import Source
from tltk.modalities.text import encoding as data_tokens
from tltk.modalities.text.encoding import (
    Tokens,
    as_strings,
    frames,
    joined,
    report_cut,
    texts_digest,
    tokenized,
    tokenizer,
)
from tltk.specs import InvalidExample, LabelSpec, TextSpec, TokenizerSpec

SPEC = TextSpec(TOKENIZER, 12)
WINDOWS = replace(SPEC, stride=3)


def many(count=700):
    return fuzzed(count, [word.strip("#") for word in WORDS])


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one.columns, other.columns, strict=True)) and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("ends", "owners")
    )


@pytest.mark.parametrize("spec", [SPEC, WINDOWS, replace(WINDOWS, pairs=True)])
def test_many_texts_are_tokenized_as_one_batch_would_be(spec):
    held = many()
    items = list(zip(held, reversed(held), strict=True)) if spec.pairs else held
    made = tokenized(from_arrays(items), spec).items
    columns = zip(*items, strict=True) if spec.pairs else [held]
    found = frames(spec, tokenizer(spec.tokenizer), *(tf.constant(list(column)) for column in columns))
    lengths = found.ids.row_lengths().numpy()
    flat = [column.flat_values.numpy() for column in found[:5]]
    assert same(made, Tokens(*flat, np.concatenate([[0], np.cumsum(lengths)]), found.owners.numpy()))
    assert [column.dtype for column in made.columns] == [np.int32, np.int32, np.int32, np.bool_, np.int32]
    assert made.ends.dtype == made.owners.dtype == np.int64
    assert made.lengths.max() == 12 and set(made.owners.tolist()) == set(range(700))


def test_each_window_has_the_target_part_and_name_of_its_text():
    source = Source(
        "texts",
        np.array(["good " * 30, "", "bad"], object),
        np.array([1, 0, 1], np.int32),
        LabelSpec(("a", "b")),
        parts=np.array(["train", "val", "test"]),
        example_ids=np.array(["x.csv, row 2", "x.csv, row 3", "x.csv, row 4"], object),
        invalid=(InvalidExample("x.csv, row 5", "empty"),),
    )
    made = tokenized(source, WINDOWS)
    owners = made.items.owners.tolist()
    assert made.kind == "tokens" and len(made) == len(owners) > 3 and owners == sorted(owners)
    assert made.targets.tolist() == [[1, 0, 1][row] for row in owners]
    assert made.parts.tolist() == [["train", "val", "test"][row] for row in owners]
    assert [made.name_of(row) for row in range(len(made))] == [source.example_ids[row] for row in owners]
    assert made.labels == source.labels and made.invalid == source.invalid
    assert made.describe().startswith(f"{len(owners)} tokenized texts, 2 classes")
    bare = tokenized(from_arrays(["good " * 30, "bad"]), WINDOWS)
    assert bare.targets is None and bare.name_of(len(bare) - 1) == "example 1"


def test_spans_go_along_with_their_texts():
    source = from_questions(["good?", "bad?"], ["very good film", "book " * 40], [[(5, "good")], []])
    made = tokenized(source, replace(WINDOWS, pairs=True))
    assert made.targets[0] == source.targets[0] and set(made.targets[1:]) == {()}
    source = from_words([["very", "good"]], [["O", "B-x"]])
    assert tokenized(source, SPEC).targets.tolist() == source.targets.tolist()


def test_tokens_are_not_tokenized_again_and_a_source_only_once_for_each_way():
    source = texts()
    made = tokenized(source, SPEC)
    assert tokenized(made, WINDOWS) is made
    assert tokenized(source, replace(SPEC, pad_to=12)) is made, "the width is no matter of tokens"
    assert tokenized(source, TextSpec(TokenizerSpec("wordpiece", (*VOCABULARY,)), 12)) is made
    assert tokenized(source, WINDOWS) is not made
    assert tokenized(source, replace(SPEC, tokenizer=replace(TOKENIZER, lowercase=False))) is not made
    assert tokenized(source, SPEC) is made


def test_the_tokens_of_a_source_go_with_it():
    source = texts()
    made = weakref.ref(tokenized(source, SPEC).items)
    assert made() is not None
    del source
    gc.collect()
    assert made() is None


def test_chosen_examples_keep_their_tokens_in_any_order():
    made = tokenized(from_arrays(many(40)), WINDOWS).items
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
        assert part.owners.tolist() == made.owners[rows].tolist()
        for number, row in enumerate(rows):
            for one, other in zip(part.columns, made.columns, strict=True):
                assert np.array_equal(one[part.place(number)], other[made.place(row)])
    odd = everything % 2 == 1
    assert same(made[odd], made[np.flatnonzero(odd)]) and same(made[made.owners == 99], made[np.array([], int)])
    twice = made[everything[::-1]][everything[::-1]]
    assert same(twice, made)
    assert same(tokenized(from_arrays(many(40)), WINDOWS).subset(odd).items, made[odd])


def test_ids_are_padded_at_their_ends():
    made = tokenized(from_arrays(["good", "", "very good film"]), SPEC).items
    good, film, very = (VOCABULARY.index(word) for word in ("good", "film", "very"))
    found = made.padded(np.array([2, 1, 0]), 6, 0)
    assert found.dtype == np.int32
    assert found.tolist() == [[2, very, good, film, 3, 0], [2, 3, 0, 0, 0, 0], [2, good, 3, 0, 0, 0]]
    assert made.padded(np.array([1]), 2, 0).tolist() == [[2, 3]]
    assert made.padded(np.array([], int), 4, 0).shape == (0, 4)


def test_an_empty_source_has_no_tokens():
    empty = texts().subset([])
    for spec in (SPEC, WINDOWS):
        made = tokenized(empty, spec)
        assert len(made) == 0 and made.items.lengths.tolist() == [] and made.items.ids.dtype == np.int32
        assert made.items.firsts.dtype == np.bool_ and made.items.ends.tolist() == [0]
    assert report_cut(empty, SPEC) == ""


def test_tokens_are_named_by_ids_and_borders():
    made = tokenized(from_arrays(["good film", "bad"]), SPEC).items
    assert made.digest() == tokenized(from_arrays(["Good  film", "bad"]), SPEC).items.digest()
    assert made.digest() != tokenized(from_arrays(["good film", "film"]), SPEC).items.digest()
    assert made.digest() != replace(made, ends=np.array([0, 3, 7])).digest()


def test_texts_are_named_by_all_of_their_characters():
    pairs = [[("ab", "c")], [("a", "bc")], [("ab", "C")], [("ab", "c"), ("", "")]]
    singles = [["ab", "c"], ["a", "bc"], ["abc"], ["ab", "c", ""], ["ab", "c\x00"], ["ab ", "c"]]
    for each in (pairs, singles):
        assert len({texts_digest(from_arrays(one)) for one in each}) == len(each)
    assert texts_digest(from_arrays(["ab", "c"])) == texts_digest(from_arrays(["ab", "c"]))


def test_texts_come_as_utf8_words_joined_by_spaces():
    assert as_strings(np.array(["é", b"\xc3\xa9"], object), pairs=False) == ([b"\xc3\xa9"] * 2,)
    assert as_strings(from_words([["in", "New York"], []]).items, pairs=False) == ([b"in New York", b""],)
    assert as_strings(from_arrays([("a", "b"), ("c", "")]).items, pairs=True) == ([b"a", b"c"], [b"b", b""])
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
    made = tokenized(from_arrays(held), TextSpec(TOKENIZER, 32)).items
    places = [list(zip(made.begins[made.place(n)], made.stops[made.place(n)], strict=True)) for n in range(len(held))]
    shown = [[text[begin:stop] for begin, stop in pairs] for text, pairs in zip(held, places, strict=True)]
    assert [[piece for piece in row if piece] for row in shown] == [
        ["Very", "good"],
        ["cafe\u0301", "UN", "LIKE", "LY"],
        ["👩‍👩‍👧", "film", "👍🏽"],
        ["טוב", "good", "bad"],
        ["a\x00b", "fine"],
        ["\ud800", "book"],
    ]


@pytest.mark.parametrize(
    ("options", "done", "one"),
    [
        ({}, "were cut at their ends", "was cut at its end"),
        ({"truncation": "middle"}, "were cut in their middle", "was cut in its middle"),
        ({"stride": 2}, "were read in windows", "was read in windows"),
    ],
)
def test_texts_longer_than_the_model_takes_are_reported(options, done, one):
    spec = replace(SPEC, **options)
    source = from_arrays(["good " * 10, *["good " * 11] * 5, "bad " * 20])
    assert report_cut(source, spec) == (
        f"6 of 7 texts (86 %) have more tokens than the model takes (12; longest: 22), and {done}: "
        "example 1, example 2, example 3 … and 3 more"
    )
    assert report_cut(source.subset([0, 6]), spec) == (
        f"1 of 2 texts (50 %) has more tokens than the model takes (12; longest: 22), and {one}: example 6"
    )
    assert report_cut(source.subset([0]), spec) == ""


def test_pairs_are_reported_by_both_their_texts_together():
    spec = replace(SPEC, pairs=True)
    source = from_arrays([("good " * 4, "bad " * 5), ("good " * 5, "bad " * 5), ("good " * 12, "")])
    assert "2 of 3 texts (67 %) have more tokens than the model takes (12; longest: 15)" in report_cut(source, spec)


def test_what_is_no_text_or_was_tokenized_before_is_not_reported():
    pictures = tltk.from_arrays(np.zeros((2, 8, 8, 3), "uint8"))
    assert report_cut(pictures, SPEC) == ""
    assert report_cut(tokenized(from_arrays(["good " * 40]), SPEC), SPEC) == ""


def test_a_text_of_60_000_words_and_many_empty_ones_are_tokenized_together():
    source = from_arrays(["", *["good film " * 30_000], *[""] * 600])
    made = tokenized(source, replace(WINDOWS, sequence_length=512, stride=64)).items
    assert made.lengths[made.owners == 1].sum() > 60_000
    assert (made.lengths[made.owners != 1] == 2).all() and len(np.unique(made.owners)) == 602


def test_texts_are_not_traced_anew_for_each_source(monkeypatch):
    data_tokens._framing.cache_clear()
    calls = []
    original = data_tokens.frames
    monkeypatch.setattr(data_tokens, "frames", lambda *each: calls.append(1) or original(*each))
    for _ in range(3):
        tokenized(texts(), SPEC)
    assert calls == [1]


MEGABYTE = """
import resource, sys
import tltk
from tests import families
from tltk.backbones.text.tokenizer_spec import spec_of
from tltk.modalities.text.encoding import tokenized
spec = spec_of(families.tokenizer(sys.argv[1]), 32, {})
tokenized(tltk.from_arrays(["warm", "up"]), spec)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
made = tokenized(tltk.from_arrays(["word " * 200_000] + ["short text"] * 511), spec).items
assert len(made) == 512
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("family", ["electra", "roberta", "albert"])
def test_a_text_of_a_megabyte_among_short_ones_takes_no_gigabytes(family):
    command = [sys.executable, "-c", MEGABYTE, family]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600, cwd=ROOT)
    assert int(done.stdout.split()[-1]) < 700
