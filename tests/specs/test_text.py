import hashlib
from copy import deepcopy
from dataclasses import fields, replace
from functools import lru_cache

import pytest

from tests.texts import TOKENIZER, VOCABULARY
from tltk.specs import TextSpec, TokenizerSpec

SPEC = TextSpec(TOKENIZER, 12)
OTHER_TOKENIZERS = {
    "type": {"type": "unigram"},
    "vocabulary": {"vocabulary": (*VOCABULARY, "x")},
    "vocabulary, reordered": {"vocabulary": (*VOCABULARY[:-2], *VOCABULARY[:-3:-1])},
    "lowercase": {"lowercase": False},
    "strip_accents": {"strip_accents": False},
    "merges": {"merges": ("a b",)},
    "add_prefix_space": {"add_prefix_space": True},
    "sentencepiece_model": {"sentencepiece_model": b"x"},
    "begin": {"begin": ""},
    "end": {"end": ""},
    "padding": {"padding": "[MASK]"},
    "unknown": {"unknown": "[MASK]"},
    "separator": {"separator": ()},
}


def test_tokenizers_are_equal_if_all_fields_are_equal():
    same = TokenizerSpec("wordpiece", tuple(VOCABULARY[:3]) + tuple(VOCABULARY[3:]))
    assert same == TOKENIZER and hash(same) == hash(TOKENIZER) and same.digest == TOKENIZER.digest
    assert TOKENIZER != "wordpiece"
    others = [replace(TOKENIZER, **changes) for changes in OTHER_TOKENIZERS.values()]
    assert len({TOKENIZER, *others}) == 1 + len(others)
    assert {name for changes in OTHER_TOKENIZERS.values() for name in changes} == {
        field.name for field in fields(TokenizerSpec)
    }


def test_boundaries_between_tokens_change_the_digest():
    joined, separate = (TokenizerSpec("bytepair", (*VOCABULARY, *more)) for more in (("a', 'b",), ("a", "b")))
    assert joined != separate


def test_a_digest_is_computed_once(monkeypatch):
    calls = []
    original = hashlib.sha256
    monkeypatch.setattr(hashlib, "sha256", lambda *data: calls.append(1) or original(*data))
    spec = TextSpec(TokenizerSpec("wordpiece", VOCABULARY), 12)
    cached = lru_cache(lambda spec: object())
    values = {cached(replace(spec, overlap=overlap)) for overlap in (None, 0, 1, 2, None, 0, 1, 2)}
    assert len(values) == 4 and len(calls) == 1
    assert deepcopy(spec) == spec


def test_every_field_of_a_text_spec_counts_in_comparisons():
    changes = (
        {"tokenizer": replace(TOKENIZER, lowercase=False)}, {"sequence_length": 13}, {"pairs": True},
        {"truncation": "start"}, {"overlap": 0}, {"pad_to": 12}, {"causal": True},
    )  # fmt: skip
    specs = {SPEC, *(replace(SPEC, **change) for change in changes)}
    assert len(specs) == 1 + len(changes) == 1 + len(fields(TextSpec))


def test_the_repr_omits_the_vocabulary():
    assert repr(SPEC) == (
        f"TextSpec(tokenizer=TokenizerSpec(wordpiece, {len(VOCABULARY)} tokens), sequence_length=12, pairs=False, "
        "truncation='end', overlap=None, pad_to=None, causal=False)"
    )


def test_ids_of_tokens_and_special_tokens():
    assert (TOKENIZER.id_of("[PAD]"), TOKENIZER.id_of("good"), SPEC.padding_id) == (0, 5, 0)
    with pytest.raises(ValueError, match=f"'best' is not in the vocabulary of {len(VOCABULARY)} tokens"):
        TOKENIZER.id_of("best")
    assert TOKENIZER.special_ids(pair=True) == ([2], [3], [3])
    assert TOKENIZER.special_ids(pair=False) == ([2], [], [3])
    assert replace(TOKENIZER, begin="", end="", separator=("[SEP]",) * 2).special_ids(pair=True) == ([], [3, 3], [])


def test_the_shape_describes_one_example():
    assert (SPEC.shape, replace(SPEC, pad_to=8).shape, SPEC.dtype, SPEC.name) == ((None,), (8,), "int32", "token_ids")
    assert SPEC.describe() == "12 tokens"


def test_an_unknown_type_or_missing_special_tokens_raise():
    with pytest.raises(ValueError, match=r"`type` must be one of .*Did you mean 'wordpiece'"):
        TokenizerSpec("word", VOCABULARY)
    with pytest.raises(ValueError, match=r"(?s)`padding` is '\[PAD\]'.*`unknown` is ''.*`separator` is '\|'"):
        TokenizerSpec("wordpiece", VOCABULARY[1:], unknown="", separator=("[SEP]", "|"))


def test_all_problems_of_a_text_spec_are_listed_at_once():
    with pytest.raises(ValueError, match=r"(?s)`truncation` .*'middel'.*'middle'.*`overlap` .*quarter.* \(3\).*: 4"):
        TextSpec(TOKENIZER, 12, overlap=4, truncation="middel")
    with pytest.raises(ValueError, match="`sequence_length` must be at least 6, room for two texts"):
        TextSpec(TOKENIZER, 5, pairs=True)
    with pytest.raises(ValueError, match="`sequence_length` must be a number above 0"):
        TextSpec(TOKENIZER, 0)
    with pytest.raises(TypeError, match="`tokenizer` must be TokenizerSpec"):
        TextSpec(VOCABULARY, 12)
