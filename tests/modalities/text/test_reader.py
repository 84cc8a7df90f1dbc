from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.texts import TOKENIZER, VOCABULARY, texts
from tltk.modalities.text import encoding as data_tokens
from tltk.modalities.text import reader as data_texts
from tltk.modalities.text.tokenizers.wordpiece import WordPiece
from tltk.pipeline.batches import batches
from tltk.specs import ImageSpec, TextSpec

SPEC = TextSpec(TOKENIZER, 32)
PAD, UNK, CLS, SEP = 0, 1, 2, 3


def source_of(lengths):
    return tltk.from_arrays(
        ["good " * (length - 2) for length in lengths], list(range(len(lengths))), label_type="regression"
    )


def rows(made):
    return [(ids.numpy(), targets.numpy()) for ids, targets in made.dataset]


def test_a_text_stands_between_special_tokens_and_is_padded_at_its_end():
    found = rows(batches(tltk.from_arrays(["Good film!", "unlikely"], ["a", "b"]), SPEC))[0][0]
    good, film, mark, un, like, ly = (VOCABULARY.index(word) for word in ("good", "film", "!", "un", "##like", "##ly"))
    assert found.dtype == np.int32
    assert found.tolist() == [[CLS, good, film, mark, SEP] + [PAD] * 3, [CLS, un, like, ly, SEP] + [PAD] * 3]


def test_a_batch_is_as_wide_as_its_longest_text_rounded_up_to_one_of_a_handful_of_widths():
    made = batches(source_of([3, 5, 17, 20, 31, 32, 40]), SPEC, batch_size=2)
    assert [ids.shape for ids, _ in rows(made)] == [(2, 8), (2, 20), (2, 32), (1, 32)]
    assert made.steps == 4


def test_where_a_graph_is_compiled_for_each_width_there_are_few(monkeypatch):
    assert len(data_texts.widths(512)) == 40
    monkeypatch.setattr("tltk.foundation.hardware.jit_compile", lambda: "auto")
    assert data_texts.widths(512) == (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)
    assert data_texts.widths(100) == (16, 32, 48, 64, 96, 100)


def test_texts_of_near_equal_length_stand_together_in_another_order_each_epoch():
    lengths = np.random.default_rng(0).integers(3, 30, 200)
    source = source_of(lengths)
    made = batches(source, SPEC, batch_size=8, shuffle=True, seed=1)
    first, second = rows(made), rows(made)
    for epoch in (first, second):
        assert sorted(np.concatenate([targets[:, 0] for _, targets in epoch])) == list(range(200))
    own = data_texts.widths_of(source, SPEC)
    differ = [np.ptp(own[targets[:, 0].astype(int)]) > 0 for _, targets in first]
    assert sum(differ) < len(set(own.tolist()))  # one batch at most where a width ends and the next begins
    assert [batch[1][0, 0] for batch in first] != [batch[1][0, 0] for batch in second]
    again = rows(batches(source_of(lengths), SPEC, batch_size=8, shuffle=True, seed=1))
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(first, again, strict=True))


def test_texts_longer_than_the_model_takes_are_cut_and_reported():
    source = tltk.from_arrays(["good " * 40, "good", "bad " * 31], ["a", "b", "a"])
    ids = rows(batches(source, SPEC, batch_size=3))[0][0]
    assert ids.shape == (3, 32)
    assert ids[0].tolist() == [CLS, *[VOCABULARY.index("good")] * 30, SEP]
    said = data_tokens.report_cut(source, SPEC)
    assert said == (
        "2 of 3 texts (67 %) have more tokens than the model takes (32; longest: 42), and were cut at their ends: "
        "example 0, example 2"
    )
    assert data_tokens.report_cut(texts(), SPEC) == ""


def test_texts_are_tokenized_once(monkeypatch):
    calls = []
    original = WordPiece.__call__
    monkeypatch.setattr(WordPiece, "__call__", lambda self, texts: calls.append(1) or original(self, texts))
    data_tokens._framing.cache_clear()
    source = texts()
    for _ in range(3):
        rows(batches(source, SPEC, batch_size=4))
    assert len(calls) == 1


def test_one_width_for_all_is_that_of_the_longest():
    fixed = data_texts.padded_to(SPEC, source_of([3, 5]), source_of([20]))
    assert fixed == replace(SPEC, pad_to=20)
    assert [ids.shape for ids, _ in rows(batches(source_of([3, 5, 7]), fixed, batch_size=2))] == [(2, 20), (1, 20)]


def test_a_dataset_of_texts_keeps_its_own_order_batched_or_not():
    expected = rows(batches(texts(1), SPEC, batch_size=4, encode=lambda y: y))
    y = texts(1).targets
    for data in (
        tf.data.Dataset.from_tensor_slices((texts(1).items.tolist(), y)),
        tf.data.Dataset.from_tensor_slices((texts(1).items.tolist(), y)).batch(4),
    ):
        made = batches(data, SPEC, batch_size=4)
        found = rows(made)
        assert made.steps == 2
        for (ids, targets), (wanted, labels) in zip(found, expected, strict=True):
            np.testing.assert_array_equal(ids, wanted[:, : ids.shape[1]])
            np.testing.assert_array_equal(targets, labels)


def test_what_does_not_fit_is_told():
    with pytest.raises(ValueError, match="holds texts, and the backbone eats pictures: 12 texts, 2 classes"):
        batches(texts(), ImageSpec(8, 8))
    with pytest.raises(ValueError, match="holds pictures, and the backbone eats texts"):
        batches(tltk.from_arrays(np.zeros((2, 8, 8, 3), "uint8"), ["a", "b"]), SPEC)
    with pytest.raises(ValueError, match=r"must yield \(texts\), \(texts, targets\)"):
        batches(tf.data.Dataset.from_tensor_slices(np.zeros(3, "float32")), SPEC)
    with pytest.raises(ValueError, match="never ends"):
        batches(tf.data.Dataset.from_tensors("good").repeat(), SPEC)
    from tltk.modalities.image.augment import flip

    with pytest.raises(ValueError, match="augmentations are of pictures; the backbone eats texts"):
        batches(texts(), SPEC, augment=(flip(),))


def test_empty_texts_and_what_is_no_text_are_left_out_and_named():
    source = tltk.from_arrays([None, "good", " \n", "bad", 7.0], ["a", "b", "a", "b", "a"])
    found, invalid = tltk.modalities.image.validate.drop_invalid(source, max_invalid_fraction=0.6)
    assert found.items.tolist() == ["good", "bad"]
    assert [(each.example_id, each.reason) for each in invalid] == [
        ("example 0", "no text but NoneType"),
        ("example 2", "empty text"),
        ("example 4", "no text but float"),
    ]
    with pytest.raises(ValueError, match="3 of 5 texts cannot be read, more than `max_invalid_fraction`"):
        tltk.modalities.image.validate.drop_invalid(source)


def test_the_key_of_texts_changes_with_any_character():
    from tltk.pipeline.cache import source_key

    assert source_key(texts()) == source_key(texts())
    other = [*texts().items[:-1], "poor . very bad ?"]
    assert source_key(tltk.from_arrays(other)) != source_key(texts())
    assert source_key(tltk.from_arrays(["ab", "c"])) != source_key(tltk.from_arrays(["a", "bc"]))
