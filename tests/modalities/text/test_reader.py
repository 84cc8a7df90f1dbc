"""Batches of token ids: texts of similar length together, padded to one of a few lengths, one window per element."""

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


def loaded(loader, epoch=0):
    return [(ids.numpy(), targets.numpy()) for ids, targets in loader.dataset(epoch)]


def reader_of(source, spec=SPEC):
    return TextReader(encoded(source, spec), spec)


def test_special_tokens_are_added_and_texts_are_padded_at_the_end():
    ids, _ = loaded(batches(tltk.from_arrays(["Good film!", "unlikely"], ["a", "b"]), SPEC))[0]
    good, film, mark, un, like, ly = (VOCABULARY.index(word) for word in ("good", "film", "!", "un", "##like", "##ly"))
    assert ids.dtype == np.int32
    assert ids.tolist() == [[CLS, good, film, mark, SEP] + [PAD] * 3, [CLS, un, like, ly, SEP] + [PAD] * 3]


def test_a_batch_is_padded_to_the_next_of_a_few_lengths():
    loader = batches(source_of([3, 5, 17, 20, 31, 32, 40]), SPEC, batch_size=2)
    assert [ids.shape for ids, _ in loaded(loader)] == [(2, 8), (2, 20), (2, 32), (1, 32)]
    assert loader.steps_per_epoch == 4


def test_there_are_fewer_lengths_if_xla_compiles_a_graph_for_each(monkeypatch):
    assert len(padded_lengths(512)) == 40
    monkeypatch.setattr("tltk.foundation.hardware.jit_compile", lambda: "auto")
    assert padded_lengths(512) == (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)
    assert padded_lengths(100) == (16, 32, 48, 64, 96, 100)


def test_texts_of_similar_length_share_a_batch_in_a_new_order_each_epoch():
    lengths = np.random.default_rng(0).integers(3, 30, 200)
    source = source_of(lengths)
    loader = batches(source, SPEC, batch_size=8, shuffle=True, seed=1)
    first, second = loaded(loader, 0), loaded(loader, 1)
    for epoch in (first, second):
        assert sorted(np.concatenate([targets[:, 0] for _, targets in epoch])) == list(range(200))
    padded = reader_of(source).lengths
    is_mixed = [np.ptp(padded[targets[:, 0].astype(int)]) > 0 for _, targets in first]
    assert sum(is_mixed) < len(set(padded.tolist()))  # at most one mixed batch per boundary between two lengths
    assert [targets[0, 0] for _, targets in first] != [targets[0, 0] for _, targets in second]
    repeated = loaded(batches(source_of(lengths), SPEC, batch_size=8, shuffle=True, seed=1))
    assert all(np.array_equal(ids, expected) for (ids, _), (expected, _) in zip(repeated, first, strict=True))


def test_overlong_texts_are_truncated():
    source = tltk.from_arrays(["good " * 40, "good", "bad " * 31], ["a", "b", "a"])
    ids, _ = loaded(batches(source, SPEC, batch_size=3))[0]
    assert ids.shape == (3, 32)
    assert ids[0].tolist() == [CLS, *[VOCABULARY.index("good")] * 30, SEP]
    assert ids[2].tolist() == [CLS, *[VOCABULARY.index("bad")] * 30, SEP]


def test_texts_are_tokenized_once(monkeypatch):
    calls = []
    original = WordPiece.__call__
    monkeypatch.setattr(WordPiece, "__call__", lambda self, texts: calls.append(1) or original(self, texts))
    encoding._traced.cache_clear()
    encoding.tokenizer.cache_clear()
    source = texts()
    for _ in range(3):
        loaded(batches(source, SPEC, batch_size=4))
    assert len(calls) == 1


def test_all_batches_can_be_padded_to_one_length():
    loader = batches(source_of([3, 5, 7]), replace(SPEC, pad_to=20), batch_size=2)
    assert [ids.shape for ids, _ in loaded(loader)] == [(2, 20), (1, 20)]
    reader = reader_of(source_of([3, 5, 7])).padded(20)
    assert reader.element_spec[0].shape == (None, 20)
    assert [piece.values[0].shape for piece in reader.partial_batches(Order(2))] == [(2, 20), (1, 20)]


def test_a_subset_of_a_reader_reads_its_texts_in_the_given_order():
    reader = reader_of(source_of([3, 9, 5]))
    (piece,) = reader.subset(np.array([2, 0])).partial_batches(Order())
    assert piece.rows.tolist() == [0, 1] and piece.ends and not piece.invalid
    assert (piece.values[0] != PAD).sum(axis=1).tolist() == [5, 3]


def test_each_window_has_the_target_and_the_id_of_its_text():
    source = tltk.from_arrays(["good " * 80, "bad", "good " * 40], ["a", "b", "a"])
    spec = replace(SPEC, overlap=8)
    loader = batches(source, spec, batch_size=2)
    text_ids = loader.reader.example_ids.tolist()
    assert len(text_ids) == loader.element_count > 5 and text_ids == sorted(text_ids) and set(text_ids) == {0, 1, 2}
    assert [target for _, targets in loaded(loader) for target in targets] == [[0, 1, 0][text] for text in text_ids]
    assert [loader.name_of(row) for row in range(loader.element_count)] == [f"example {text}" for text in text_ids]


def test_each_window_has_the_spans_of_its_text():
    source = from_questions(["good?", "bad?"], ["very good film", "book " * 40], [[(5, "good")], []])
    reader = reader_of(source, replace(SPEC, pairs=True, overlap=3))
    targets = element_targets(source.targets, reader)
    assert reader.count == len(targets) == 3
    assert targets[0] == source.targets[0] and set(targets.tolist()[1:]) == {()}
    source = from_words([["very", "good"]], [["O", "B-x"]])
    assert element_targets(source.targets, reader_of(source)).tolist() == source.targets.tolist()


def test_a_dataset_of_texts_keeps_its_own_order_batched_or_not():
    source = texts(1)
    expected = loaded(batches(source, SPEC, batch_size=4, encode=lambda targets: targets))
    dataset = tf.data.Dataset.from_tensor_slices((source.examples.tolist(), source.targets.values))
    for data in (dataset, dataset.batch(4)):
        loader = batches(data, SPEC, batch_size=4)
        assert loader.steps_per_epoch == 2
        for (ids, targets), (expected_ids, expected_targets) in zip(loaded(loader), expected, strict=True):
            np.testing.assert_array_equal(ids, expected_ids[:, : ids.shape[1]])
            np.testing.assert_array_equal(targets, expected_targets)


def test_a_dataset_may_hold_a_column_of_texts():
    data = tf.data.Dataset.from_tensor_slices([["good film"], ["bad"]]).batch(2)
    (ids,) = batches(data, SPEC).dataset()
    words = [[VOCABULARY[token] for token in row] for row in ids.numpy()]
    assert words == [["[CLS]", "good", "film", "[SEP]"], ["[CLS]", "bad", "[SEP]", "[PAD]"]]
    with pytest.raises(ValueError, match=r"\[batch\] or \[batch, 1\]"):
        batches(tf.data.Dataset.from_tensor_slices([["a", "b"]]).batch(1), SPEC)


def test_overlong_texts_of_a_dataset_are_truncated_instead_of_read_in_windows():
    spec = replace(SPEC, overlap=8)
    loader = batches(tf.data.Dataset.from_tensors("good " * 80), spec)
    assert [ids.shape for ids in loader.dataset()] == [(1, 32)]
    assert loader.steps_per_epoch == loader.element_count == 1


def test_unsuitable_data_and_options_are_refused():
    with pytest.raises(ValueError, match="`data` holds texts, but the model takes images"):
        batches(texts(), ImageSpec(8, 8))
    with pytest.raises(ValueError, match="`data` holds images, but the model takes texts"):
        batches(tltk.from_arrays(np.zeros((2, 8, 8, 3), "uint8"), ["a", "b"]), SPEC)
    with pytest.raises(ValueError, match=r"must yield texts, \(texts, targets\) or .*strings\. Received: .*float32"):
        batches(tf.data.Dataset.from_tensor_slices(np.zeros(3, "float32")), SPEC)
    with pytest.raises(ValueError, match="never ends"):
        batches(tf.data.Dataset.from_tensors("good").repeat(), SPEC)
    with pytest.raises(ValueError, match="`augment`: flip cannot be applied to texts"):
        batches(texts(), SPEC, augment=(tltk.augment.flip(),))


def test_the_fingerprint_depends_on_all_tokens_and_on_padding():
    def fingerprint(examples, spec=SPEC):
        return modality_of(spec).reader(tltk.from_arrays(examples), spec).fingerprint()

    examples = texts().examples.tolist()
    assert fingerprint(examples) == fingerprint(examples)
    different = [
        fingerprint(examples),
        fingerprint([*examples[:-1], "poor . very bad ?"]),
        fingerprint(examples[::-1]),
        fingerprint(examples, replace(SPEC, pad_to=32)),
        fingerprint(examples, replace(SPEC, sequence_length=16)),
        fingerprint(["good film", "bad"]),
        fingerprint(["good", "film bad"]),
    ]
    assert len(set(different)) == len(different)
