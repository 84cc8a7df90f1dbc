"""What a word is, whatever the tokenizer: characters between spaces; punctuation and ideographs stand alone.

To SentencePiece "Rome." is one word, to GPT-2 "1990s" are two, and BERT forgets the accent at the end of one: an entity
could not begin where it does, or would end inside of a word.
"""

import sys
from functools import cache
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tltk.modalities.text.tokenizers import unicode_bert as unicode8
from tltk.modalities.text.tokenizers.base import Pieces, Tokenizer
from tltk.modalities.text.tokenizers.trie import rows_of


class InWords:
    """A tokenizer whose pieces know the words they are of: where one begins, and where it ends.

    A piece covers what is left of it without spaces and control characters at its ends. The first piece of a word
    begins, and the last one ends, where the word does, though the tokenizer may have dropped an accent there.
    """

    def __init__(self, cut: Tokenizer) -> None:
        self.cut = cut

    @property
    def tables(self) -> list[tf.lookup.StaticHashTable]:
        """What a SavedModel has to keep track of."""
        return self.cut.tables

    def __call__(self, texts: tf.Tensor) -> Pieces:
        """Tokenize."""
        found, runs = self.cut(texts), _runs(tf.strings.unicode_decode(texts, "UTF-8", errors="replace"))
        row = rows_of(found.ids)
        offset = tf.cast(tf.gather(runs.offsets, row), tf.int32)
        char_starts, char_ends = offset + found.char_starts.flat_values, offset + found.char_ends.flat_values
        first = tf.searchsorted(runs.solid, char_starts)  # of the characters that count, the piece's first and last
        last = tf.searchsorted(runs.solid, char_ends) - 1
        place = tf.where(first <= last)[:, 0]  # of pieces that cover something
        first, last, row = (tf.gather(each, place) for each in (first, last, row))
        char_starts, char_ends = tf.gather(runs.solid, first), tf.gather(runs.solid, last) + 1
        word, end = tf.gather(runs.word, first), tf.gather(runs.word, last)
        edge = tf.ones_like(place[:1], tf.bool)
        is_word_start = tf.concat([edge, (word[1:] != word[:-1]) | (row[1:] != row[:-1])], 0)
        lasts = tf.concat([is_word_start[1:], edge], 0)
        before = tf.concat([tf.zeros_like(char_ends[:1]), char_ends[:-1]], 0)
        behind = tf.concat([char_starts[1:], tf.fill(tf.shape(edge), char_starts.dtype.max)], 0)
        char_starts = tf.where(is_word_start, tf.maximum(tf.gather(runs.char_starts, word), before), char_starts)
        char_ends = tf.where(lasts, tf.minimum(tf.gather(runs.char_ends, end), behind), char_ends)
        return found._replace(**_spread(found, place, tf.gather(offset, place), char_starts, char_ends, is_word_start))


def _spread(
    found: Pieces,
    place: tf.Tensor,
    offset: tf.Tensor,
    char_starts: tf.Tensor,
    char_ends: tf.Tensor,
    is_word_start: tf.Tensor,
) -> dict[str, tf.RaggedTensor]:
    """Put what is known of the pieces that cover something among those that cover nothing."""
    nothing = found.char_starts.flat_values
    columns = {"char_starts": (char_starts - offset, nothing), "char_ends": (char_ends - offset, nothing)}
    columns["is_word_start"] = (is_word_start, tf.zeros_like(nothing, tf.bool))
    return {
        name: found.ids.with_flat_values(tf.tensor_scatter_nd_update(rest, place[:, None], values))
        for name, (values, rest) in columns.items()
    }


class _Runs(NamedTuple):
    """The words of texts. Characters are numbered through all texts.

    Args:
        offsets: int64 [batch], the first character of each text.
        solid: int32 [characters that count], those that are neither spaces nor control characters.
        word: int32 likewise, which word each is of.
        begins: int32 [words], the first character.
        stops: int32 [words], the one behind the last.
    """

    offsets: tf.Tensor
    solid: tf.Tensor
    word: tf.Tensor
    char_starts: tf.Tensor
    char_ends: tf.Tensor


def _runs(points: tf.RaggedTensor) -> _Runs:
    # A control character, such as a joiner of no width, neither ends a word nor belongs to its ends.
    kept = tf.where(~_among(points.flat_values, _controls()))[:, 0]
    letters, row = (tf.gather(each, kept) for each in (points.flat_values, rows_of(points)))
    alone, space = _among(letters, _alone()), _among(letters, _spaces())
    apart = alone | space
    after = tf.concat([tf.ones_like(apart[:1]), apart[:-1] | (row[1:] != row[:-1])], 0)
    counts = tf.where(~space)[:, 0]
    char_starts = tf.gather(alone | after, counts)
    solid = tf.cast(tf.gather(kept, counts), tf.int32)
    word = tf.cumsum(tf.cast(char_starts, tf.int32)) - 1
    return _Runs(
        points.row_starts(), solid, word, tf.boolean_mask(solid, char_starts), tf.math.segment_max(solid, word) + 1
    )


def _among(points: tf.Tensor, edges: np.ndarray) -> tf.Tensor:
    return tf.searchsorted(edges, points, side="right") % 2 == 1


@cache
def _alone() -> np.ndarray:
    return _edges({point for each in (*unicode8.PUNCTUATION, *unicode8.CHINESE) for point in each})


@cache
def _spaces() -> np.ndarray:
    return _edges({point for point in range(sys.maxunicode + 1) if chr(point).isspace()})


@cache
def _controls() -> np.ndarray:
    return _edges({point for each in unicode8.CONTROLS for point in each if not chr(point).isspace()})


def _edges(points: set[int]) -> np.ndarray:
    """Return where runs of characters begin, and where they end, in turn: int32 [2 × runs]."""
    ordered = np.array(sorted(points))
    runs = np.split(ordered, np.flatnonzero(np.diff(ordered) != 1) + 1)
    return np.array([edge for run in runs for edge in (run[0], run[-1] + 1)], np.int32)
