"""Small SentencePiece models trained for the tests, with many scripts and different settings."""

import argparse
import io
import json
import random
import typing
from functools import cache
from pathlib import Path

import pytest
import sentencepiece

from tests.texts import FUZZED, SCRIPTS, fuzzed
from tltk.modalities.text.tokenizers.sentencepiece_file import SentencePieceModel, parse

BERT_LIKE = {"bos_piece": "[CLS]", "eos_piece": "[SEP]"}
SETTINGS = {
    # The settings of ALBERT, XLM-RoBERTa and DeBERTa-v3.
    "albert": {
        "normalization_rule_name": "nmt_nfkc_cf", "pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3, **BERT_LIKE,
        "user_defined_symbols": ["[MASK]", "(", ")", "–", "£", '"', "-"],
    },
    "albert_named": {
        "normalization_rule_name": "nmt_nfkc_cf", "pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3, **BERT_LIKE,
        "pad_piece": "<pad>", "user_defined_symbols": ["[MASK]"],
    },
    "xlm_roberta": {"normalization_rule_name": "nmt_nfkc"},
    "deberta": {"normalization_rule_name": "nmt_nfkc", "pad_id": 0, "unk_id": 3, "pad_piece": "[PAD]",
                "unk_piece": "[UNK]", **BERT_LIKE},
    # Settings that other models may have.
    "bytes": {"normalization_rule_name": "nmt_nfkc", "byte_fallback": True},
    "symbols": {"user_defined_symbols": ["[MASK]", "selfself", "x▁y", "import os", "▁▁▁", "▁", "é", "A", "▁in"]},
    "untouched": {"normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    "no_mark": {"normalization_rule_name": "nfkc", "add_dummy_prefix": False},
    "suffix": {"treat_whitespace_as_suffix": True, "normalization_rule_name": "nfkc_cf"},
    "across": {"split_by_whitespace": False, "allow_whitespace_only_pieces": True},
}  # fmt: skip

_FIRST = ("albert", "xlm_roberta", "deberta", "bytes", "symbols")
NAMES = [name if name in _FIRST else pytest.param(name, marks=pytest.mark.slow) for name in SETTINGS]


@cache
def serialized(name: str) -> bytes:
    """Train a model of 2,000 pieces."""
    return train(**SETTINGS[name])


def train(vocab_size: int = 2000, **settings) -> bytes:
    """Train a model on the standard library and on random words; 0.5 % of the characters are unknown to it."""
    file = io.BytesIO()
    options = {"model_type": "unigram", "character_coverage": 0.995, "num_threads": 1, "minloglevel": 2} | settings
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_lines()), model_writer=file, vocab_size=vocab_size, **options
    )
    return file.getvalue()


@cache
def model(name: str) -> SentencePieceModel:
    """Read a trained model."""
    return parse(serialized(name))


@cache
def reference(name: str) -> sentencepiece.SentencePieceProcessor:
    """Return the reference implementation with a trained model."""
    return sentencepiece.SentencePieceProcessor(model_proto=serialized(name))


@cache
def texts(name: str, count: int = FUZZED) -> list[str]:
    """Return fuzzed texts that contain many pieces of a model."""
    words = [piece.strip("▁") for piece in model(name).text_pieces if piece.strip("▁")]
    return fuzzed(count, words)


@cache
def _lines() -> list[str]:
    paths = [Path(module.__file__) for module in (argparse, json, random, typing)]
    code = [line.strip() for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    generator = random.Random(1)
    words = [
        "".join(chr(generator.randint(low, high)) for _ in range(generator.randint(1, 5)))
        for low, high in SCRIPTS[1:10]
        for _ in range(60)
    ]
    weights = [1 / (1 + index % 60) for index in range(len(words))]
    sentences = [" ".join(generator.choices(words, weights, k=generator.randint(3, 9))) for _ in range(1500)]
    return [line for line in code if line] + sentences
