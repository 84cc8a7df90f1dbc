"""Tiny presets of the text models that KerasHub has, each with a tokenizer trained here."""

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
    made = ByteLevelBPETokenizer()
    made.train_from_iterator([*TEXTS, " ".join(WORDS)] * 5, vocab_size=330, special_tokens=list(special))
    settings = json.loads(made._tokenizer.to_str())["model"]
    return settings["vocab"], [" ".join(pair) for pair in settings["merges"]]


def tokenizer(family):
    """A tokenizer of KerasHub's, with a vocabulary of its own."""
    models = keras_hub.models
    if family == "electra":
        return models.ElectraTokenizer(list(VOCABULARY), lowercase=True)
    if family == "roberta":
        return models.RobertaTokenizer(*_merges("<s>", "<pad>", "</s>", "<unk>", "<mask>"))
    if family == "gpt2":
        return models.GPT2Tokenizer(*_merges("<|endoftext|>"))
    if family == "albert":
        return models.AlbertTokenizer(sentencepieces.serialized("albert_named"))
    kind = {"deberta_v3": ("DebertaV3", "deberta"), "xlm_roberta": ("XLMRoberta", "xlm_roberta")}[family]
    return getattr(models, f"{kind[0]}Tokenizer")(sentencepieces.serialized(kind[1]))


def _body(family, size):
    models = keras_hub.models
    if family == "electra":
        return models.ElectraBackbone(vocab_size=size, embedding_dim=8, **_SIZES)
    if family == "albert":
        return models.AlbertBackbone(vocabulary_size=size, embedding_dim=8, **_SIZES)
    if family == "deberta_v3":
        return models.DebertaV3Backbone(vocabulary_size=size, bucket_size=8, **_SIZES)
    kind = {"roberta": "Roberta", "gpt2": "GPT2", "xlm_roberta": "XLMRoberta"}[family]
    return getattr(models, f"{kind}Backbone")(vocabulary_size=size, **_SIZES)


def preset(family: str, folder: Path) -> Path:
    """Write a preset in KerasHub's layout: two blocks, 16 channels, 32 positions, weights that are not all small."""
    if family == "bert":
        return tiny_preset(folder)
    cut = tokenizer(family)
    body = _body(family, cut.vocabulary_size())
    generator = keras.random.SeedGenerator(0)
    for weight in body.trainable_weights:
        weight.assign(weight + 0.3 * keras.random.normal(weight.shape, seed=generator))
    body.save_to_preset(str(folder))
    cut.save_to_preset(str(folder))
    return folder
