"""Small text models and texts shared by tests."""

import os
import random
from pathlib import Path

import keras
import keras_hub

import tltk
from tltk.data.formats.conll import from_words
from tltk.data.formats.squad import from_questions
from tltk.foundation.paths import cache_folder
from tltk.specs import TokenizerSpec

# Fuzzed texts of a test that compares with a reference; `python -m tests.stress.texts` runs these tests with 2,000.
FUZZED = int(os.environ.get("TLTK_FUZZED_TEXTS", "300"))
WORDS = ("good", "great", "fine", "bad", "awful", "poor", "film", "book", "very", "not", "un", "##like", "##ly", "the")
FILLERS = ("very", "not", "the", ".", "like", "poor", "fine")
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, ".", ",", "!", "1", "2")
TOKENIZER = TokenizerSpec("wordpiece", VOCABULARY)
TEXTS = ("good film", "great book .", "fine , very good", "bad film", "awful book , not good", "poor . very bad !")
LABELS = ("good", "good", "good", "bad", "bad", "bad")

SCRIPTS = (
    (0x20, 0x7F), (0xA0, 0x24F), (0x370, 0x3FF), (0x400, 0x4FF), (0x590, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F),
    (0xE00, 0xE7F), (0x1100, 0x11FF), (0x2000, 0x206F), (0x3040, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3),
    (0xF900, 0xFAFF), (0x1F300, 0x1F6FF), (0, 0x2000), (0x20000, 0x2FFFF),
)  # fmt: skip


def minilm_folder() -> Path:
    """Return the folder in which `make test` has stored MiniLM."""
    return cache_folder() / "all_minilm_l6_v2_en"


def tiny_preset(folder: Path, *, channels: int = 16) -> Path:
    """Write a preset in KerasHub's layout: an uncased BERT of two blocks, 16 channels, 32 positions."""
    tokenizer = keras_hub.models.BertTokenizer(vocabulary=list(VOCABULARY), lowercase=True)
    body = keras_hub.models.BertBackbone(
        vocabulary_size=len(VOCABULARY),
        num_layers=2,
        num_heads=2,
        hidden_dim=channels,
        intermediate_dim=2 * channels,
        max_sequence_length=32,
    )
    generator = keras.random.SeedGenerator(0)
    for weight in body.trainable_weights:
        weight.assign(weight + 0.3 * keras.random.normal(weight.shape, seed=generator))
    body.save_to_preset(str(folder))
    tokenizer.save_to_preset(str(folder))
    return folder


def texts(times: int = 2):
    """Build a source of short positive and negative texts."""
    return tltk.from_arrays(list(TEXTS) * times, list(LABELS) * times, labels=("bad", "good"))


def text_model(preset: Path, **options):
    """Build a small classifier of texts, with stages embeddings, block1, block2, head."""
    return tltk.assemble(
        tltk.backbone(str(preset)), tltk.classification(texts().labels, **options), precision="float32"
    )


def fuzzed(count, words=WORDS):
    """Return random texts of words and of characters of many scripts, with unusual spaces between."""
    generator = random.Random(0)

    def text():
        parts = []
        for _ in range(generator.randint(0, 30)):
            low, high = generator.choice(SCRIPTS)
            letters = "".join(chr(generator.randint(low, high)) for _ in range(generator.randint(1, 6)))
            word = generator.choice(words)
            parts.append(generator.choice((word, word.title(), letters, letters)))
            parts.append(generator.choice((" ", "\t", "\n", "  ", ",", ".", "-", "")))
        return "".join(parts)

    return [text() for _ in range(count)]


def marked(count, *, seed=0, longest=40):
    """Build a source of texts split into words, with entities "good film" of type x and "book" of type y."""
    generator = random.Random(seed)
    words, tags = [], []
    for _ in range(count):
        tagged_words = []
        for _ in range(generator.randint(2, longest)):
            tagged_words += generator.choice(
                ([("good", "B-x"), ("film", "I-x")], [("book", "B-y")], *([(word, "O")] for word in FILLERS))
            )
        words.append([word for word, _ in tagged_words])
        tags.append([tag for _, tag in tagged_words])
    return from_words(words, tags)


def asked(count, *, seed=0, longest=50):
    """Build a source of questions whose answer is the only noun of the context; every fourth has no answer."""
    generator = random.Random(seed)
    questions, contexts, answers = [], [], []
    for number in range(count):
        words = [generator.choice(FILLERS) for _ in range(generator.randint(5, longest))]
        place = generator.randrange(len(words))
        noun = generator.choice(("film", "book"))
        if number % 4:
            words[place] = noun
        start = len(" ".join(words[:place])) + (place > 0)
        answers.append([(start, noun)] if number % 4 else [])
        questions.append("good film!" if number % 2 else "bad book")
        contexts.append(" ".join(words))
    return from_questions(questions, contexts, answers)
