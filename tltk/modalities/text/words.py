"""Find the words of tokenized texts in a graph, each word once even if it is in several windows."""

from typing import NamedTuple

import tensorflow as tf

from tltk.modalities.text.ragged import rows_of
from tltk.modalities.text.windows import Windows

_NOWHERE = 2**31 - 1  # larger than every character offset


class Words(NamedTuple):
    """All words of some texts, text by text.

    Words that cover no character, such as tokens for spaces, are left out.

    Attributes:
        text_ids: int64 [words], the text of each word.
        starts: int32 [words], start offset in characters of the text.
        ends: int32 [words], end offset (exclusive).
        tokens: int64 [words], index of the word's first token among all tokens, in the window with the most context.
    """

    text_ids: tf.Tensor
    starts: tf.Tensor
    ends: tf.Tensor
    tokens: tf.Tensor


class _Tokens(NamedTuple):
    """Each token of each text once, in the order of texts and positions.

    Attributes:
        places: int64 [kept], index of the kept copy among all tokens.
        text_ids: int64 [kept], the text of each token.
        begins_word: bool [kept], whether the token begins a word.
        all_places: int64 [copies], index among all tokens of each copy in any window, without special tokens.
        all_kept: int64 [copies], index of the kept token that each copy equals.
    """

    places: tf.Tensor
    text_ids: tf.Tensor
    begins_word: tf.Tensor
    all_places: tf.Tensor
    all_kept: tf.Tensor


def words_of(windows: Windows, count: tf.Tensor) -> Words:
    """Find the words of texts.

    Args:
        windows: One or several per text.
        count: int64 scalar, the number of texts.

    Returns:
        The words.
    """
    return _words(windows, _tokens(windows, count))[0]


def words_and_first_tokens(windows: Windows, count: tf.Tensor) -> tuple[Words, tf.Tensor]:
    """Find the words of texts, and the word that starts with each token.

    Args:
        windows: One or several per text.
        count: int64 scalar, the number of texts.

    Returns:
        The words; and int32 [all tokens], index of the word that starts with a token in any window, -1 for every
        other token.
    """
    tokens = _tokens(windows, count)
    words, word_of_kept = _words(windows, tokens)
    no_word = tf.fill(tf.shape(windows.ids.flat_values), -1)
    places = tokens.all_places[:, None]
    return words, tf.tensor_scatter_nd_update(no_word, places, tf.gather(word_of_kept, tokens.all_kept))


def _tokens(windows: Windows, count: tf.Tensor) -> _Tokens:
    """Keep the copy of each token of each text that is farthest from the edges of its window."""
    rows, lengths = rows_of(windows.ids), windows.ids.row_lengths()
    column = tf.range(tf.size(rows, tf.int64)) - tf.gather(windows.ids.row_starts(), rows)
    margin = tf.minimum(column, tf.gather(lengths, rows) - 1 - column)
    places = tf.where(windows.positions.flat_values >= 0)[:, 0]
    row, position = tf.gather(rows, places), tf.cast(tf.gather(windows.positions.flat_values, places), tf.int64)
    text_ids = tf.gather(windows.text_ids, row)
    sizes = tf.maximum(tf.math.unsorted_segment_max(position + 1, text_ids, count), 0)
    index = tf.gather(tf.cumsum(sizes, exclusive=True), text_ids) + position
    elements, total = tf.size(windows.text_ids, tf.int64), tf.reduce_sum(sizes)
    score = tf.gather(margin, places) * elements + (elements - 1 - row)  # the first window wins ties
    is_best = score == tf.gather(tf.math.unsorted_segment_max(score, index, total), index)
    best_index = tf.boolean_mask(index, is_best)[:, None]
    by_index = tf.scatter_nd(best_index, tf.boolean_mask(places, is_best) + 1, tf.reshape(total, [1])) - 1
    present = by_index >= 0  # truncated positions have no token
    kept = tf.boolean_mask(by_index, present)
    kept_text = tf.gather(windows.text_ids, tf.gather(rows, kept))
    kept_position = tf.gather(windows.positions.flat_values, kept)
    follows = (kept_text[1:] == kept_text[:-1]) & (kept_position[1:] == kept_position[:-1] + 1)
    after_gap = tf.concat([tf.ones_like(kept_text[:1], tf.bool), ~follows], 0)
    begins_word = tf.gather(windows.is_word_start.flat_values, kept) | after_gap
    all_kept = tf.gather(tf.cumsum(tf.cast(present, tf.int64)) - 1, index)
    return _Tokens(kept, kept_text, begins_word, places, all_kept)


def _words(windows: Windows, tokens: _Tokens) -> tuple[Words, tf.Tensor]:
    """Join tokens to words.

    Returns:
        The words; and int32 [kept], index of the word that begins with each kept token, -1 for other tokens.
    """
    run = tf.cumsum(tf.cast(tokens.begins_word, tf.int32)) - 1
    char_starts, char_ends = (
        tf.gather(column.flat_values, tokens.places) for column in (windows.char_starts, windows.char_ends)
    )
    covers = char_ends > char_starts
    starts = tf.math.segment_min(tf.where(covers, char_starts, _NOWHERE), run)
    ends = tf.math.segment_max(tf.where(covers, char_ends, -1), run)
    is_word = ends >= 0
    text_ids, places = (
        tf.boolean_mask(tf.boolean_mask(column, tokens.begins_word), is_word)
        for column in (tokens.text_ids, tokens.places)
    )
    word_of_run = tf.where(is_word, tf.cumsum(tf.cast(is_word, tf.int32)) - 1, -1)
    word_of_kept = tf.where(tokens.begins_word, tf.gather(word_of_run, run), -1)
    return Words(text_ids, tf.boolean_mask(starts, is_word), tf.boolean_mask(ends, is_word), places), word_of_kept
