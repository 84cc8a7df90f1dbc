"""Text models and texts that tests share."""

from pathlib import Path

import keras
import keras_hub

import tltk
from tltk.backbones.packages import cache_folder

WORDS = ("good", "great", "fine", "bad", "awful", "poor", "film", "book", "very", "not", "un", "##like", "##ly", "the")
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, ".", ",", "!", "1", "2")
TEXTS = ("good film", "great book .", "fine , very good", "bad film", "awful book , not good", "poor . very bad !")
LABELS = ("good", "good", "good", "bad", "bad", "bad")


def minilm_folder() -> Path:
    """Where `make test` has put MiniLM."""
    return cache_folder() / "all_minilm_l6_v2_en"


def tiny_preset(folder: Path) -> Path:
    """Write a preset in KerasHub's layout: an uncased BERT of two blocks, 16 channels, 32 positions."""
    tokenizer = keras_hub.models.BertTokenizer(vocabulary=list(VOCABULARY), lowercase=True)
    body = keras_hub.models.BertBackbone(
        vocabulary_size=len(VOCABULARY),
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        max_sequence_length=32,
    )
    generator = keras.random.SeedGenerator(0)
    for weight in body.trainable_weights:
        weight.assign(weight + 0.3 * keras.random.normal(weight.shape, seed=generator))
    body.save_to_preset(str(folder))
    tokenizer.save_to_preset(str(folder))
    return folder


def texts(times: int = 2):
    """A source of short judgements."""
    return tltk.from_arrays(list(TEXTS) * times, list(LABELS) * times, labels=("bad", "good"))


def text_model(preset: Path, **options):
    """A small assembled classifier of texts, with stages embeddings, block1, block2, head."""
    return tltk.assemble(tltk.backbone(str(preset)), tltk.classify(texts().labels, **options), precision="float32")
