"""Features without a pretrained network: if they do as well, none is needed."""

from collections.abc import Callable

import numpy as np

from tltk.data.source import Source
from tltk.modalities.modality import named_modality
from tltk.pipeline.batching import Order
from tltk.pipeline.readers import join_batches
from tltk.specs import ImageSpec

_SIDE = 16  # pixels
_MAX_WORDS = 20_000


def _pixels(source: Source) -> np.ndarray:
    """Read images at 16 × 16 pixels: float32 [n, 768]; zeros for those that cannot be decoded."""
    reader = named_modality("image").reader(source, ImageSpec(_SIDE, _SIDE))
    features = np.zeros((len(source), _SIDE * _SIDE * 3), np.float32)
    for _, rows, values in join_batches(reader.partial_batches(Order(64))):
        features[rows] = np.asarray(values[0], np.float32).reshape(len(rows), -1) / 255
    return features


def _words(source: Source) -> np.ndarray:
    """Weigh the words of texts by TF-IDF: float32 [n, words], rows of length 1."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [" ".join(text) if isinstance(text, list | tuple) else str(text) for text in source.examples]
    vectorizer = TfidfVectorizer(sublinear_tf=True, max_features=_MAX_WORDS, token_pattern=r"(?u)\b\w+\b")
    return vectorizer.fit_transform(texts).toarray().astype(np.float32)


# Modality → name of the features, and the function that computes them.
BASELINES: dict[str, tuple[str, Callable[[Source], np.ndarray]]] = {
    "image": ("raw pixels", _pixels),
    "text": ("TF-IDF", _words),
}
