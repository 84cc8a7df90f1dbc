"""Features without a pretrained network: if they do as well, none is needed."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tltk.data.source import Source
from tltk.modalities.modality import named_modality
from tltk.pipeline.batching import Order
from tltk.probes.fit import SCALINGS
from tltk.specs import ImageSpec

_SIDE = 16  # pixels
_MAX_WORDS = 10_000  # times 2,000 examples is what a probe tunes on at once


@dataclass(frozen=True)
class Baseline:
    """Features without a network.

    Args:
        name: Name of the features.
        compute: Source of n examples → features, float32 [n, channels], and row → why it cannot be read.
        scalings: Scalings of the features that a probe tries.
    """

    name: str
    compute: Callable[[Source], tuple[np.ndarray, dict[int, str]]]
    scalings: tuple[str, ...] = SCALINGS


def _pixels(source: Source) -> tuple[np.ndarray, dict[int, str]]:
    """Read images at 16 × 16 pixels: float32 [n, 768], zeros for those that cannot be read."""
    reader = named_modality("image").reader(source, ImageSpec(_SIDE, _SIDE))
    features = np.zeros((len(source), _SIDE * _SIDE * 3), np.float32)
    invalid: dict[int, str] = {}
    for part in reader.partial_batches(Order(64)):
        invalid.update(part.invalid)
        features[part.rows] = np.asarray(part.values[0], np.float32).reshape(len(part.rows), -1) / 255
    return features, invalid


def _words(source: Source) -> tuple[np.ndarray, dict[int, str]]:
    """Weigh the words of texts by TF-IDF: float32 [n, words], rows of length 1. Without any word, characters."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [text if isinstance(text, str) else " ".join(map(str, text)) for text in source.examples]
    has_words = any(re.search(r"\w", text) for text in texts)
    vectorizer = TfidfVectorizer(
        sublinear_tf=True,
        max_features=_MAX_WORDS,
        analyzer="word" if has_words else "char",
        token_pattern=r"(?u)\b\w+\b" if has_words else None,
    )
    return vectorizer.fit_transform(texts).toarray().astype(np.float32), {}


BASELINES: dict[str, Baseline] = {
    "image": Baseline("raw pixels", _pixels),
    "text": Baseline("TF-IDF", _words, scalings=("global",)),  # "standard" would make rare words loud
}
