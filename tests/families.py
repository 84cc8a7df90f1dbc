"""Tiny presets of KerasHub's text models, with tokenizers trained for the tests."""

import json
from functools import cache
from pathlib import Path

import keras
import keras_hub
from tokenizers import ByteLevelBPETokenizer

from tests import sentencepieces
from tests.texts import TEXTS, VOCABULARY, WORDS, tiny_preset

_SIZES = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32, "max_sequence_length": 32}
FAMILIES = ("bert", "electra", "roberta", "gpt2", "albert", "deberta_v3", "xlm_roberta")


@cache
def _merges(*special):
    byte_pair = ByteLevelBPETokenizer()
    byte_pair.train_from_iterator([*TEXTS, " ".join(WORDS)] * 5, vocab_size=330, special_tokens=list(special))
    settings = json.loads(byte_pair._tokenizer.to_str())["model"]
    return settings["vocab"], [" ".join(pair) for pair in settings["merges"]]


def tokenizer(family):
    """Build the KerasHub tokenizer of a family, with a small vocabulary."""
    models = keras_hub.models
    if family == "electra":
        return models.ElectraTokenizer(list(VOCABULARY), lowercase=True)
    if family == "roberta":
        return models.RobertaTokenizer(*_merges("<s>", "<pad>", "</s>", "<unk>", "<mask>"))
    if family == "gpt2":
        return models.GPT2Tokenizer(*_merges("<|endoftext|>"))
    if family == "albert":
        return models.AlbertTokenizer(sentencepieces.serialized("albert_named"))
    if family == "deberta_v3":
        return models.DebertaV3Tokenizer(sentencepieces.serialized("deberta"))
    return models.XLMRobertaTokenizer(sentencepieces.serialized("xlm_roberta"))


def _body(family, size):
    models = keras_hub.models
    if family == "electra":
        return models.ElectraBackbone(vocab_size=size, embedding_dim=8, **_SIZES)
    if family == "albert":
        return models.AlbertBackbone(vocabulary_size=size, embedding_dim=8, **_SIZES)
    if family == "deberta_v3":
        return models.DebertaV3Backbone(vocabulary_size=size, bucket_size=8, **_SIZES)
    class_name = {"roberta": "RobertaBackbone", "gpt2": "GPT2Backbone", "xlm_roberta": "XLMRobertaBackbone"}[family]
    return getattr(models, class_name)(vocabulary_size=size, **_SIZES)


def preset(family: str, folder: Path) -> Path:
    """Write a preset in KerasHub's layout: two blocks, 16 channels, 32 positions, weights of ordinary size."""
    if family == "bert":
        return tiny_preset(folder)
    family_tokenizer = tokenizer(family)
    body = _body(family, family_tokenizer.vocabulary_size())
    generator = keras.random.SeedGenerator(0)
    for weight in body.trainable_weights:
        weight.assign(weight + 0.3 * keras.random.normal(weight.shape, seed=generator))
    body.save_to_preset(str(folder))
    family_tokenizer.save_to_preset(str(folder))
    return folder
