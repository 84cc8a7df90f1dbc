import numpy as np

import tltk
from tests.texts import TOKENIZER
from tltk.modalities.modality import drop_invalid, named_modality
from tltk.specs import TextSpec

TEXTS, SPEC = named_modality("text"), TextSpec(TOKENIZER, 8)


def test_a_spec_is_restored_from_its_config_and_files(tmp_path):
    config = TEXTS.to_config(SPEC, tmp_path)
    assert "vocabulary" not in str(config)
    assert TEXTS.from_config(config, tmp_path) == SPEC
    assert TEXTS.describe_input(SPEC)["vocabulary_size"] == len(TOKENIZER.vocabulary)


def test_padding_is_masked_but_one_position_of_an_empty_text_is_kept():
    ids = np.array([[2, 5, 0, 0], [0, 0, 0, 0]], "int32")
    assert np.asarray(TEXTS.mask(ids, SPEC)).tolist() == [[True, True, False, False], [False] * 4]
    without_special_tokens = TextSpec(TOKENIZER.__class__("wordpiece", TOKENIZER.vocabulary, begin="", end=""), 8)
    assert np.asarray(TEXTS.mask(ids, without_special_tokens))[:, 0].tolist() == [True, True]


def test_blank_texts_are_removed_and_listed():
    valid, invalid = drop_invalid(tltk.from_arrays(["good", " ", "bad"]), max_invalid_fraction=0.5)
    assert valid.examples.tolist() == ["good", "bad"]
    assert [(example.example_id, example.reason) for example in invalid] == [("example 1", "empty text")]


def test_requests_of_invalid_utf8_are_left_out_of_the_source(tmp_path):
    source = TEXTS.from_requests([(b"good",), (b"\xff",), (b" ",)], SPEC, tmp_path)
    assert source.ids.tolist() == ["0", "2"] and source.examples.tolist() == ["good", " "]
    pairs = TEXTS.from_requests([(b"a", b"b"), (b"\xff", b"b")], TEXTS.with_pairs(SPEC), tmp_path)
    assert pairs.examples.tolist() == [["a", "b"]] and TEXTS.has_pairs(pairs)
    empty = TEXTS.from_requests([(b"\xff", b"b")], TEXTS.with_pairs(SPEC), tmp_path)
    assert TEXTS.has_pairs(empty) and len(empty) == 0
