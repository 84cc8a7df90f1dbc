"""Independent reference of `tltk.modalities.text.words`, in plain NumPy."""

from dataclasses import dataclass

import numpy as np

from tltk.modalities.text.encoding import EncodedTexts

_NOWHERE = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class Words:
    """All words of tokenized texts, text by text.

    Args:
        text_ids: int64 [words], the text of each word.
        starts: int64 [words], start offset in characters of the text.
        ends: int64 [words], end offset (exclusive).
        tokens: int64 [words], index of the word's first token in `ids`, in the window with the most context.
        of_token: int64 [all tokens], index of the word that begins with a token; -1 for other tokens.
    """

    text_ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    tokens: np.ndarray
    of_token: np.ndarray


def words_of(texts: EncodedTexts) -> Words:
    """Find the words of a tokenized source.

    Args:
        texts: Single texts, in one window each or in several.

    Returns:
        The words, without those that have no token, such as a lone control character, or that consist of spaces.
    """
    rows = np.repeat(np.arange(len(texts)), texts.lengths)
    copies = np.flatnonzero(texts.positions >= 0)
    text_of_copy = texts.text_ids[rows[copies]]
    kept, kept_of_copy = _kept_tokens(texts, copies, rows[copies], text_of_copy)
    text_ids = texts.text_ids[rows[kept]]
    char_starts, char_ends = texts.char_starts[kept].astype(np.int64), texts.char_ends[kept].astype(np.int64)
    # A word also starts after a gap, where the middle of a text is truncated.
    after_gap = _changes(texts.positions[kept] - np.arange(len(kept)))
    starts_word = _changes(text_ids) | after_gap | texts.is_word_start[kept]
    first = np.flatnonzero(starts_word)
    covers = char_ends > char_starts  # a token for spaces covers nothing
    starts = np.minimum.reduceat(np.where(covers, char_starts, _NOWHERE), first)
    ends = np.maximum.reduceat(np.where(covers, char_ends, -1), first)
    is_word = ends >= 0
    word = np.where(is_word, np.cumsum(is_word) - 1, -1)[np.cumsum(starts_word) - 1]
    of_token = np.full(len(texts.ids), -1, np.int64)
    of_token[copies] = np.where(starts_word, word, -1)[kept_of_copy]
    return Words(text_ids[first][is_word], starts[is_word], ends[is_word], kept[first][is_word], of_token)


def _changes(values: np.ndarray) -> np.ndarray:
    """Return which values differ from the value before; True for the first."""
    return np.concatenate([[True], values[1:] != values[:-1]])[: len(values)]


def _kept_tokens(
    texts: EncodedTexts, copies: np.ndarray, rows: np.ndarray, text_ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Keep the copy of each token that is farthest from the edges of its window.

    Returns:
        Indices in `EncodedTexts.ids` of the kept copies, in the order of texts and positions; and for each copy, the
        index of the kept token that it equals.
    """
    column = copies - texts.row_splits[rows]
    margin = np.minimum(column, texts.lengths[rows] - 1 - column)
    positions = texts.positions[copies].astype(np.int64)
    keys = text_ids * (int(positions.max(initial=0)) + 1) + positions
    order = np.lexsort((rows, -margin, keys))
    is_best = np.concatenate([[True], np.diff(keys[order]) > 0])[: len(order)]
    _, kept_of_copy = np.unique(keys, return_inverse=True)
    return copies[order[is_best]], kept_of_copy
