"""Word boundaries that do not depend on the tokenizer: spaces separate words; punctuation and ideographs stand alone.

Without them, SentencePiece would take "Rome." for one word, GPT-2 "1990s" for two, and BERT would drop an accent at the
end of a word: the boundaries of entities would fall inside words, or differ between models.
"""

import sys
from functools import cache
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tltk.modalities.text.ragged import rows_of
from tltk.modalities.text.tokenizers import unicode_bert
from tltk.modalities.text.tokenizers.base import Pieces, Tokenizer


class WordAligned:
    """A tokenizer whose tokens know where words start and end.

    A token covers its characters without spaces and control characters at its ends. The first token of a word starts,
    and the last one ends, where the word does, even if the tokenizer dropped an accent there.

    Args:
        tokenizer: Provides ids and offsets.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    @property
    def tables(self) -> list[tf.lookup.StaticHashTable]:
        """Lookup tables that a SavedModel must track."""
        return self.tokenizer.tables

    def __call__(self, texts: tf.Tensor) -> Pieces:
        """Tokenize texts, string [batch]."""
        pieces, words = self.tokenizer(texts), _words(tf.strings.unicode_decode(texts, "UTF-8", errors="replace"))
        row = rows_of(pieces.ids)
        offset = tf.cast(tf.gather(words.offsets, row), tf.int32)
        starts, ends = offset + pieces.char_starts.flat_values, offset + pieces.char_ends.flat_values
        first = tf.searchsorted(words.solid, starts)  # first and last of the token's characters that belong to words
        last = tf.searchsorted(words.solid, ends) - 1
        covering = tf.where(first <= last)[:, 0]  # indices of tokens that cover at least one such character
        first, last, row = (tf.gather(column, covering) for column in (first, last, row))
        starts, ends = tf.gather(words.solid, first), tf.gather(words.solid, last) + 1
        first_word, last_word = tf.gather(words.word, first), tf.gather(words.word, last)
        true = tf.ones_like(covering[:1], tf.bool)
        starts_word = tf.concat([true, (first_word[1:] != first_word[:-1]) | (row[1:] != row[:-1])], 0)
        ends_word = tf.concat([starts_word[1:], true], 0)
        previous_end = tf.concat([tf.zeros_like(ends[:1]), ends[:-1]], 0)
        next_start = tf.concat([starts[1:], tf.fill(tf.shape(true), starts.dtype.max)], 0)
        starts = tf.where(starts_word, tf.maximum(tf.gather(words.starts, first_word), previous_end), starts)
        ends = tf.where(ends_word, tf.minimum(tf.gather(words.ends, last_word), next_start), ends)
        offset = tf.gather(offset, covering)
        return pieces._replace(**_scattered(pieces, covering, starts - offset, ends - offset, starts_word))


def _scattered(
    pieces: Pieces, indices: tf.Tensor, starts: tf.Tensor, ends: tf.Tensor, starts_word: tf.Tensor
) -> dict[str, tf.RaggedTensor]:
    """Set the values of the tokens at `indices`; the other tokens cover nothing and start no word."""
    old_starts = pieces.char_starts.flat_values
    columns = {
        "char_starts": (starts, old_starts),
        "char_ends": (ends, old_starts),
        "is_word_start": (starts_word, tf.zeros_like(old_starts, tf.bool)),
    }
    return {
        name: pieces.ids.with_flat_values(tf.tensor_scatter_nd_update(default, indices[:, None], values))
        for name, (values, default) in columns.items()
    }


class _Words(NamedTuple):
    """The words of all texts; offsets count the characters of the concatenated texts.

    Attributes:
        offsets: int64 [batch], the first character of each text.
        solid: int32 [solid], the characters that are neither spaces nor control characters.
        word: int32 [solid], the word of each of these characters.
        starts: int32 [words], start offset of each word.
        ends: int32 [words], end offset (exclusive).
    """

    offsets: tf.Tensor
    solid: tf.Tensor
    word: tf.Tensor
    starts: tf.Tensor
    ends: tf.Tensor


def _words(points: tf.RaggedTensor) -> _Words:
    # Control characters, such as a zero-width joiner, neither separate words nor belong to the ends of a word.
    kept = tf.where(~_contains(_controls(), points.flat_values))[:, 0]
    letters, row = (tf.gather(column, kept) for column in (points.flat_values, rows_of(points)))
    is_single, is_space = _contains(_single_character_words(), letters), _contains(_spaces(), letters)
    separates = is_single | is_space
    after_separator = tf.concat([tf.ones_like(separates[:1]), separates[:-1] | (row[1:] != row[:-1])], 0)
    not_space = tf.where(~is_space)[:, 0]
    starts_word = tf.gather(is_single | after_separator, not_space)
    solid = tf.cast(tf.gather(kept, not_space), tf.int32)
    word = tf.cumsum(tf.cast(starts_word, tf.int32)) - 1
    starts, ends = tf.boolean_mask(solid, starts_word), tf.math.segment_max(solid, word) + 1
    return _Words(points.row_starts(), solid, word, starts, ends)


def _contains(edges: np.ndarray, points: tf.Tensor) -> tf.Tensor:
    """Return which code points are in the ranges of `_edges`."""
    return tf.searchsorted(edges, points, side="right") % 2 == 1


@cache
def _single_character_words() -> np.ndarray:
    ranges = (*unicode_bert.PUNCTUATION, *unicode_bert.CHINESE)
    return _edges({point for points in ranges for point in points})


@cache
def _spaces() -> np.ndarray:
    return _edges({point for point in range(sys.maxunicode + 1) if chr(point).isspace()})


@cache
def _controls() -> np.ndarray:
    return _edges({point for points in unicode_bert.CONTROLS for point in points if not chr(point).isspace()})


def _edges(points: set[int]) -> np.ndarray:
    """Return the alternating starts and ends (exclusive) of the ranges of code points: int32 [2 × ranges]."""
    ordered = np.array(sorted(points))
    ranges = np.split(ordered, np.flatnonzero(np.diff(ordered) != 1) + 1)
    return np.array([edge for points in ranges for edge in (points[0], points[-1] + 1)], np.int32)
