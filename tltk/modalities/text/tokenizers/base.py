"""What a tokenizer is, and the record that every one of them returns."""

from typing import NamedTuple, Protocol

import tensorflow as tf


class Pieces(NamedTuple):
    """Texts cut into pieces of a vocabulary, without special tokens.

    Args:
        ids: int32 [batch, (pieces)], numbers in the vocabulary.
        char_starts: int32 [batch, (pieces)], the character (code point) of the text at which a piece begins.
        char_ends: int32 [batch, (pieces)], end offset (exclusive).
        is_word_start: bool [batch, (pieces)], whether a word begins with the piece.
    """

    ids: tf.RaggedTensor
    char_starts: tf.RaggedTensor
    char_ends: tf.RaggedTensor
    is_word_start: tf.RaggedTensor


class Tokenizer(Protocol):
    """Turns texts, string [batch], into pieces, in a graph."""

    @property
    def tables(self) -> list[tf.lookup.StaticHashTable]:
        """What a SavedModel has to keep track of."""

    def __call__(self, texts: tf.Tensor) -> Pieces: ...
