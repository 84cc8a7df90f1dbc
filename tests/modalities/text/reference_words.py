"""The words of tokenized texts in plain NumPy: the independent reference of `tltk.modalities.text.words`."""

from dataclasses import dataclass

import numpy as np

from tltk.modalities.text.encoding import EncodedTexts

_NOWHERE = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class Words:
    """All words of tokenized texts, text by text.

    Args:
        text_ids: int64 [words], the number of its text in the source.
        starts: int64 [words], the character of its text at which a word begins.
        ends: int64 [words], end offset (exclusive).
        tokens: int64 [words], the place of its first token in `ids`, in the window that shows most around it.
        of_token: int64 [all tokens], the word that begins with a token; -1 for every other token.
    """

    text_ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    tokens: np.ndarray
    of_token: np.ndarray


def words_of(texts: EncodedTexts) -> Words:
    """Find the words of a tokenized source.

    Args:
        texts: single texts, in one window each or in several.

    Returns:
        The words. One that has no token, such as a lone control character, is not among them, nor are spaces that a
        vocabulary has pieces for.
    """
    rows = np.repeat(np.arange(len(texts)), texts.lengths)
    place = np.flatnonzero(texts.positions >= 0)
    text_ids = texts.text_ids[rows[place]]
    each, first_of, number_of = _pieces(texts, place, rows[place], text_ids)
    owner = text_ids[first_of]
    begins, stops = texts.char_starts[each].astype(np.int64), texts.char_ends[each].astype(np.int64)
    # Where the middle of a text is cut out, what is behind the gap goes on with no word before it.
    new_word = _changes(owner) | _changes(texts.positions[each] - np.arange(len(each))) | texts.is_word_start[each]
    at = np.flatnonzero(new_word)
    solid = stops > begins  # a piece of spaces covers nothing
    starts = np.minimum.reduceat(np.where(solid, begins, _NOWHERE), at)
    ends = np.maximum.reduceat(np.where(solid, stops, -1), at)
    kept = ends >= 0
    word = np.where(kept, np.cumsum(kept) - 1, -1)[np.cumsum(new_word) - 1]
    of_token = np.full(len(texts.ids), -1, np.int64)
    of_token[place] = np.where(new_word, word, -1)[number_of]
    return Words(owner[at][kept], starts[kept], ends[kept], each[at][kept], of_token)


def _changes(values: np.ndarray) -> np.ndarray:
    """Tell which values differ from the one before; the first does."""
    return np.concatenate([[True], values[1:] != values[:-1]])[: len(values)]


def _pieces(
    texts: EncodedTexts, place: np.ndarray, rows: np.ndarray, text_ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take each piece of each text once, from the window in which it stands farthest from the edges.

    Returns:
        Places in `EncodedTexts.ids` in the order of texts and pieces; the index in `place` of each; and for each of
        `place`, which of these it is.
    """
    inside = place - texts.row_splits[rows]
    around = np.minimum(inside, texts.lengths[rows] - 1 - inside)
    positions = texts.positions[place].astype(np.int64)
    keys = text_ids * (int(positions.max(initial=0)) + 1) + positions
    order = np.lexsort((rows, -around, keys))
    chosen = np.concatenate([[True], np.diff(keys[order]) > 0])[: len(order)]
    _, number_of = np.unique(keys, return_inverse=True)
    return place[order[chosen]], order[chosen], number_of
