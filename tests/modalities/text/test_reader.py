"""Texts as batches of token ids: near-equal lengths together, padded to a handful of lengths, a window an element."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.texts import TOKENIZER, VOCABULARY, texts
from tltk.data.formats.conll import from_words
from tltk.data.formats.squad import from_questions
from tltk.modalities.batches import batches
from tltk.modalities.modality import modality_of
from tltk.modalities.text import encoding
from tltk.modalities.text.encoding import encoded
from tltk.modalities.text.reader import TextReader, padded_lengths
from tltk.modalities.text.tokenizers.wordpiece import WordPiece
from tltk.pipeline.batching import Order
from tltk.pipeline.readers import element_targets
from tltk.specs import ImageSpec, TextSpec

SPEC = TextSpec(TOKENIZER, 32)
PAD, UNK, CLS, SEP = 0, 1, 2, 3


def source_of(lengths):
    return tltk.from_arrays(
        ["good " * (length - 2) for length in lengths], list(range(len(lengths))), label_type="regression"
    )


def rows(made, epoch=0):
    return [(ids.numpy(), targets.numpy()) for ids, targets in made.dataset(epoch)]


def reader_of(source, spec=SPEC):
    return TextReader(encoded(source, spec), spec)


def test_a_text_stands_between_special_tokens_and_is_padded_at_its_end():
    found = rows(batches(tltk.from_arrays(["Good film!", "unlikely"], ["a", "b"]), SPEC))[0][0]
    good, film, mark, un, like, ly = (VOCABULARY.index(word) for word in ("good", "film", "!", "un", "##like", "##ly"))
    assert found.dtype == np.int32
    assert found.tolist() == [[CLS, good, film, mark, SEP] + [PAD] * 3, [CLS, un, like, ly, SEP] + [PAD] * 3]


def test_a_batch_is_as_long_as_its_longest_text_rounded_up_to_one_of_a_handful_of_lengths():
    made = batches(source_of([3, 5, 17, 20, 31, 32, 40]), SPEC, batch_size=2)
    assert [ids.shape for ids, _ in rows(made)] == [(2, 8), (2, 20), (2, 32), (1, 32)]
    assert made.steps == 4


def test_where_a_graph_is_compiled_for_each_length_there_are_few(monkeypatch):
    assert len(padded_lengths(512)) == 40
    monkeypatch.setattr("tltk.foundation.hardware.jit_compile", lambda: "auto")
    assert padded_lengths(512) == (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)
    assert padded_lengths(100) == (16, 32, 48, 64, 96, 100)


def test_texts_of_near_equal_length_stand_together_in_another_order_each_epoch():
    lengths = np.random.default_rng(0).integers(3, 30, 200)
    source = source_of(lengths)
    made = batches(source, SPEC, batch_size=8, shuffle=True, seed=1)
    first, second = rows(made, 0), rows(made, 1)
    for epoch in (first, second):
        assert sorted(np.concatenate([targets[:, 0] for _, targets in epoch])) == list(range(200))
    own = reader_of(source).lengths
    differ = [np.ptp(own[targets[:, 0].astype(int)]) > 0 for _, targets in first]
    assert sum(differ) < len(set(own.tolist()))  # one batch at most where a length ends and the next begins
    assert [batch[1][0, 0] for batch in first] != [batch[1][0, 0] for batch in second]
    again = rows(batches(source_of(lengths), SPEC, batch_size=8, shuffle=True, seed=1))
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(first, again, strict=True))


def test_texts_longer_than_the_model_takes_are_cut():
    source = tltk.from_arrays(["good " * 40, "good", "bad " * 31], ["a", "b", "a"])
    ids = rows(batches(source, SPEC, batch_size=3))[0][0]
    assert ids.shape == (3, 32)
    assert ids[0].tolist() == [CLS, *[VOCABULARY.index("good")] * 30, SEP]
    assert ids[2].tolist() == [CLS, *[VOCABULARY.index("bad")] * 30, SEP]


def test_texts_are_tokenized_once(monkeypatch):
    calls = []
    original = WordPiece.__call__
    monkeypatch.setattr(WordPiece, "__call__", lambda self, texts: calls.append(1) or original(self, texts))
    encoding._traced.cache_clear()
    source = texts()
    for _ in range(3):
        rows(batches(source, SPEC, batch_size=4))
    assert len(calls) == 1


def test_one_length_for_all_may_be_asked_for():
    made = batches(source_of([3, 5, 7]), replace(SPEC, pad_to=20), batch_size=2)
    assert [ids.shape for ids, _ in rows(made)] == [(2, 20), (1, 20)]
    reader = reader_of(source_of([3, 5, 7])).padded(20)
    assert reader.element_spec[0].shape == (None, 20)
    assert [piece.values[0].shape for piece in reader.pieces(Order(2))] == [(2, 20), (1, 20)]


def test_a_part_of_a_reader_reads_the_same_texts_in_the_order_asked_for():
    reader = reader_of(source_of([3, 9, 5]))
    (piece,) = reader.subset(np.array([2, 0])).pieces(Order())
    assert piece.rows.tolist() == [0, 1] and piece.ends and not piece.invalid
    assert (piece.values[0] != PAD).sum(axis=1).tolist() == [5, 3]


def test_each_window_has_the_target_and_the_name_of_its_text():
    source = tltk.from_arrays(["good " * 80, "bad", "good " * 40], ["a", "b", "a"])
    spec = replace(SPEC, stride=8)
    made = batches(source, spec, batch_size=2)
    owners = made.reader.example_ids.tolist()
    assert len(owners) == made.examples > 5 and owners == sorted(owners) and set(owners) == {0, 1, 2}
    assert [name for _, held in rows(made) for name in held.tolist()] == [[0, 1, 0][row] for row in owners]
    assert [made.name_of(row) for row in range(made.examples)] == [f"example {row}" for row in owners]


def test_spans_go_along_with_their_texts():
    source = from_questions(["good?", "bad?"], ["very good film", "book " * 40], [[(5, "good")], []])
    reader = reader_of(source, replace(SPEC, pairs=True, stride=3))
    targets = element_targets(source.targets, reader)
    assert reader.count == len(targets) == 3
    assert targets[0] == source.targets[0] and set(targets.tolist()[1:]) == {()}
    source = from_words([["very", "good"]], [["O", "B-x"]])
    assert element_targets(source.targets, reader_of(source)).tolist() == source.targets.tolist()


def test_a_dataset_of_texts_keeps_its_own_order_batched_or_not():
    expected = rows(batches(texts(1), SPEC, batch_size=4, encode=lambda y: y))
    y = texts(1).targets.values
    for data in (
        tf.data.Dataset.from_tensor_slices((texts(1).examples.tolist(), y)),
        tf.data.Dataset.from_tensor_slices((texts(1).examples.tolist(), y)).batch(4),
    ):
        made = batches(data, SPEC, batch_size=4)
        found = rows(made)
        assert made.steps == 2
        for (ids, targets), (wanted, labels) in zip(found, expected, strict=True):
            np.testing.assert_array_equal(ids, wanted[:, : ids.shape[1]])
            np.testing.assert_array_equal(targets, labels)


def test_a_dataset_of_long_texts_is_truncated_where_a_source_is_read_in_windows():
    spec = replace(SPEC, stride=8)
    made = batches(tf.data.Dataset.from_tensors("good " * 80), spec)
    assert [ids.shape for ids in made.dataset()] == [(1, 32)]
    assert made.steps == made.examples == 1


def test_what_does_not_fit_is_told():
    with pytest.raises(ValueError, match="`data` holds texts, and the model takes images"):
        batches(texts(), ImageSpec(8, 8))
    with pytest.raises(ValueError, match="`data` holds images, and the model takes texts"):
        batches(tltk.from_arrays(np.zeros((2, 8, 8, 3), "uint8"), ["a", "b"]), SPEC)
    with pytest.raises(ValueError, match=r"must yield \(texts\), \(texts, targets\)"):
        batches(tf.data.Dataset.from_tensor_slices(np.zeros(3, "float32")), SPEC)
    with pytest.raises(ValueError, match="never ends"):
        batches(tf.data.Dataset.from_tensors("good").repeat(), SPEC)
    with pytest.raises(ValueError, match="`augment`: flip cannot be applied to texts"):
        batches(texts(), SPEC, augment=(tltk.augment.flip(),))


def test_the_fingerprint_of_texts_changes_with_any_token_and_with_their_padding():
    def fingerprint(held, spec=SPEC):
        return modality_of(spec).reader(tltk.from_arrays(held), spec).fingerprint()

    held = texts().examples.tolist()
    assert fingerprint(held) == fingerprint(held)
    different = [
        fingerprint(held),
        fingerprint([*held[:-1], "poor . very bad ?"]),
        fingerprint(held[::-1]),
        fingerprint(held, replace(SPEC, pad_to=32)),
        fingerprint(held, replace(SPEC, sequence_length=16)),
        fingerprint(["good film", "bad"]),
        fingerprint(["good", "film bad"]),
    ]
    assert len(set(different)) == len(different)
