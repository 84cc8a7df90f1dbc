"""The tokenizer protocol, and the record that every tokenizer returns."""

from typing import NamedTuple, Protocol

import tensorflow as tf


class Pieces(NamedTuple):
    """Tokens of texts, without special tokens.

    Offsets count characters (Unicode code points) of the text, from 0.

    Attributes:
        ids: int32 [batch, (tokens)], ids in the vocabulary.
        char_starts: int32 [batch, (tokens)], start offset of each token.
        char_ends: int32 [batch, (tokens)], end offset (exclusive); equal to the start if a token covers nothing.
        is_word_start: bool [batch, (tokens)], whether a word starts with the token.
    """

    ids: tf.RaggedTensor
    char_starts: tf.RaggedTensor
    char_ends: tf.RaggedTensor
    is_word_start: tf.RaggedTensor


class Tokenizer(Protocol):
    """Turns texts, string [batch], into tokens, in a graph."""

    @property
    def tables(self) -> list[tf.lookup.StaticHashTable]:
        """Lookup tables that a SavedModel must track."""

    def __call__(self, texts: tf.Tensor) -> Pieces: ...
