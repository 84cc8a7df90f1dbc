"""What a word is, for every tokenizer alike: characters between spaces; punctuation and ideographs stand alone.

SentencePiece takes "Rome." for one word, GPT-2 takes "1990s" for two, and BERT drops an accent at the end of a word:
the boundaries of entities would fall inside of words, or differ from one model to the next.
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
        place = tf.where(first <= last)[:, 0]  # tokens that cover something
        first, last, row = (tf.gather(column, place) for column in (first, last, row))
        starts, ends = tf.gather(words.solid, first), tf.gather(words.solid, last) + 1
        first_word, last_word = tf.gather(words.word, first), tf.gather(words.word, last)
        edge = tf.ones_like(place[:1], tf.bool)
        opens = tf.concat([edge, (first_word[1:] != first_word[:-1]) | (row[1:] != row[:-1])], 0)
        closes = tf.concat([opens[1:], edge], 0)
        end_before = tf.concat([tf.zeros_like(ends[:1]), ends[:-1]], 0)
        next_start = tf.concat([starts[1:], tf.fill(tf.shape(edge), starts.dtype.max)], 0)
        starts = tf.where(opens, tf.maximum(tf.gather(words.starts, first_word), end_before), starts)
        ends = tf.where(closes, tf.minimum(tf.gather(words.ends, last_word), next_start), ends)
        return pieces._replace(**_scattered(pieces, place, tf.gather(offset, place), starts, ends, opens))


def _scattered(
    pieces: Pieces, place: tf.Tensor, offset: tf.Tensor, starts: tf.Tensor, ends: tf.Tensor, opens: tf.Tensor
) -> dict[str, tf.RaggedTensor]:
    """Put the values of tokens that cover something among those that cover nothing."""
    nothing = pieces.char_starts.flat_values
    columns = {
        "char_starts": (starts - offset, nothing),
        "char_ends": (ends - offset, nothing),
        "is_word_start": (opens, tf.zeros_like(nothing, tf.bool)),
    }
    return {
        name: pieces.ids.with_flat_values(tf.tensor_scatter_nd_update(rest, place[:, None], values))
        for name, (values, rest) in columns.items()
    }


class _Words(NamedTuple):
    """The words of texts. Characters are counted through all texts.

    Args:
        offsets: int64 [batch], the first character of each text.
        solid: int32 [solid], the characters that are neither spaces nor control characters.
        word: int32 [solid], the word of each.
        starts: int32 [words], start offset of each word.
        ends: int32 [words], end offset (exclusive).
    """

    offsets: tf.Tensor
    solid: tf.Tensor
    word: tf.Tensor
    starts: tf.Tensor
    ends: tf.Tensor


def _words(points: tf.RaggedTensor) -> _Words:
    # A control character, such as a zero-width joiner, neither ends a word nor belongs to its ends.
    kept = tf.where(~_contains(_controls(), points.flat_values))[:, 0]
    letters, row = (tf.gather(column, kept) for column in (points.flat_values, rows_of(points)))
    alone, space = _contains(_single_character_words(), letters), _contains(_spaces(), letters)
    apart = alone | space
    after = tf.concat([tf.ones_like(apart[:1]), apart[:-1] | (row[1:] != row[:-1])], 0)
    visible = tf.where(~space)[:, 0]
    opens = tf.gather(alone | after, visible)
    solid = tf.cast(tf.gather(kept, visible), tf.int32)
    word = tf.cumsum(tf.cast(opens, tf.int32)) - 1
    starts, ends = tf.boolean_mask(solid, opens), tf.math.segment_max(solid, word) + 1
    return _Words(points.row_starts(), solid, word, starts, ends)


def _contains(edges: np.ndarray, points: tf.Tensor) -> tf.Tensor:
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
    """Return where ranges of code points start and, exclusive, end, in turn: int32 [2 × ranges]."""
    ordered = np.array(sorted(points))
    ranges = np.split(ordered, np.flatnonzero(np.diff(ordered) != 1) + 1)
    return np.array([edge for points in ranges for edge in (points[0], points[-1] + 1)], np.int32)
