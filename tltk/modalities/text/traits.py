"""What an inspection needs to know about texts: normalized contents, hashes, and those that are too long."""

import hashlib
import unicodedata
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from tltk.data.source import Source
from tltk.modalities.text.encoding import encoded, joined
from tltk.modalities.text.validate import invalid_texts
from tltk.modalities.traits import Remark, Traits
from tltk.specs import TextSpec

_BETWEEN_PAIRS = " \u241f "  # the symbol, since the character itself is white space
_BITS = 64
_BIGRAM = np.uint64(0x9E3779B97F4A7C15)  # an odd multiplier: 2^64 divided by the golden ratio


def traits_of(source: Source, spec: TextSpec | None) -> Traits:
    """Normalize and hash every text, and count its tokens if a model is given.

    Args:
        source: Texts, pairs of texts, or texts given as words.
        spec: Input format of a model, adapted to the source; None if there is none.
    """
    invalid = {row: reason for row, reason in enumerate(invalid_texts(source.examples)) if reason}
    texts = ["" if row in invalid else normalized(source.examples[row]) for row in range(len(source))]
    hashes = np.array([similarity_hash(text) for text in texts], np.uint64)
    digests = [hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest() for text in texts]
    overlong: dict[int, str] = {}
    if spec is not None and not invalid:
        counts = encoded(source, spec).token_counts
        overlong = {int(row): f"{counts[row]} tokens" for row in np.flatnonzero(counts > spec.sequence_length)}
    fix = (
        ""
        if spec is None
        else f"the model reads {spec.sequence_length} tokens: sequence_length=, truncation=, or split them"
    )
    remarks = (Remark("overlong_texts", "note", fix, overlong),)
    return Traits(hashes, _Texts(source), invalid, remarks, digests)


def normalized(example: Any) -> str:
    """Return a text without differences that readers do not see: Unicode form, case, and kinds of white space.

    Args:
        example: A text, a pair of texts (an array of two), or a tuple of words.

    Examples:
        >>> normalized("  Cafe\\u0301\\tau LAIT ")
        'café au lait'
    """
    text = _BETWEEN_PAIRS.join(map(str, example)) if isinstance(example, np.ndarray) else joined(example)
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return " ".join(folded.split())


def similarity_hash(text: str) -> np.uint64:
    """Hash the words of a text and their pairs so that similar texts have similar hashes (SimHash, Charikar 2002).

    Args:
        text: Normalized text.
    """
    words = np.array([_word_hash(word) for word in text.split()], np.uint64)
    if not len(words):
        return np.uint64(0)
    features = np.concatenate([words, words[:-1] * _BIGRAM ^ words[1:]])
    bits = np.unpackbits(features.view(np.uint8).reshape(-1, 8), axis=1)
    majority = 2 * bits.sum(0, dtype=np.int64) > len(features)
    return np.packbits(majority).view(np.uint64)[0]


def differences(first: list[str], second: list[str]) -> np.ndarray:
    """Return which fraction of the words and pairs of words of two texts only one of them has.

    Args:
        first: Normalized texts.
        second: As many others.

    Returns:
        float32 [k] in [0, 1]: 1 - Jaccard similarity.

    Examples:
        >>> [round(float(value), 2) for value in differences(["a fine day"], ["a fine night"])]
        [0.57]
    """
    return np.array([_difference(*pair) for pair in zip(first, second, strict=True)], np.float32)


def _difference(first: str, second: str) -> float:
    shingles, others = _shingles(first), _shingles(second)
    together = len(shingles | others)
    return 1 - len(shingles & others) / together if together else 0.0


def _shingles(text: str) -> set[Any]:
    words = text.split()
    return {*words, *pairwise(words)}


@lru_cache(maxsize=100_000)
def _word_hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest(), "little")


class _Texts:
    """The normalized texts of a source, as sketches."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __getitem__(self, rows: np.ndarray) -> list[str]:
        return [normalized(self._source.examples[row]) for row in rows]
