"""Byte-level BPE from core TensorFlow operations: the same graph tokenizes in tf.data and in a SavedModel.

Follows GPT-2's tokenizer (Radford et al. 2019, section 2.2; openai/gpt-2, encoder.py) as Hugging Face's `tokenizers`
implements it. A text is split into words by a pattern that depends only on the class of each character and of its
neighbors. A word is the sequence of its UTF-8 bytes; the pair of neighbors that was learned first is merged, again and
again, until no learned pair is left. Special tokens written in a text are ordinary characters.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tltk.foundation import checks as check
from tltk.modalities.text.ragged import grouped, rows_of
from tltk.modalities.text.tokenizers import unicode_classes
from tltk.modalities.text.tokenizers.base import Pieces

_SPACE, _APOSTROPHE = 0x20, 0x27
_EDGE, _OTHER, _LETTER, _NUMBER, _WHITESPACE = range(5)  # classes of characters; the edge lies between two texts
_NEVER = 2**31 - 1  # rank of a pair that was not learned


class BytePair:
    """Turns texts into token ids, as a graph.

    Args:
        vocabulary: Every token in the order of its id, its bytes written in GPT-2's alphabet ("Ġthe").
        merges: Pairs of tokens to merge ("Ġ t"), in the order in which they were learned; a leading "#version" line, as
            in merges.txt, is ignored.
        unknown: Token for bytes that are not in the vocabulary; None drops them. GPT-2 and RoBERTa have all bytes.
        add_prefix_space: Whether a space is put before a text that does not begin with one.

    Raises:
        InvalidInput: If the vocabulary lacks `unknown`, or a part or the result of a merge.

    Examples:
        >>> tokenizer = BytePair(("a", "b", "Ġ", "ab", "Ġab"), ("a b", "Ġ ab"))
        >>> tokenizer(tf.constant(["ab ab aab"])).ids.to_list()
        [[3, 4, 2, 0, 3]]
    """

    def __init__(
        self,
        vocabulary: tuple[str, ...],
        merges: tuple[str, ...],
        *,
        unknown: str | None = None,
        add_prefix_space: bool = False,
    ) -> None:
        ids = {token: id_ for id_, token in enumerate(vocabulary)}
        pairs = _pairs(merges, ids, unknown)
        self.add_prefix_space = add_prefix_space
        self.size = len(vocabulary)
        self.merged_ids = np.array([ids[left + right] for left, right in pairs], np.int32)
        self.byte_ids = np.array([ids.get(letter, ids.get(str(unknown), -1)) for letter in alphabet()], np.int32)
        space = alphabet()[_SPACE]
        self.leading_spaces = np.array([len(token) - len(token.lstrip(space)) for token in vocabulary], np.int32)
        self.trailing_spaces = np.array([len(token) - len(token.rstrip(space)) for token in vocabulary], np.int32)
        self.reach = max((len(left + right) for left, right in pairs), default=1) - 1
        ranks = {-1: _NEVER}  # a table must not be empty
        ranks |= {ids[left] * self.size + ids[right]: rank for rank, (left, right) in enumerate(pairs)}
        keys, values = tf.constant(list(ranks), tf.int64), tf.constant(list(ranks.values()), tf.int32)
        self.ranks = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), _NEVER)
        self.tables = [self.ranks]

    def __call__(self, texts: tf.Tensor) -> Pieces:
        """Tokenize.

        Offsets are those of Hugging Face's `trim_offsets=True` with two exceptions: there, with `add_prefix_space`, a
        token keeps a space that the text itself begins with; and a token of other white space covers itself there, and
        nothing here.

        Args:
            texts: string [batch], UTF-8; invalid bytes are replaced by U+FFFD, as by Python's errors="replace".

        Returns:
            Tokens, without special tokens. Each covers its characters without the spaces at its ends ("Ġthe" covers
            "the", and "Ġ" nothing); one with some of the bytes of a character covers the character. A word starts with
            the token that contains its first byte; words are the matches of the pattern ("don", "'t", "!?"), without
            the leading space and unless they are only white space.
        """
        added = (tf.strings.substr(texts, 0, 1) != " ") & (texts != "") & self.add_prefix_space
        words = _words(tf.where(added, tf.strings.join([" ", texts]), texts))
        distinct, index = tf.unique(words.spelled.flat_values)
        tokenized = self._tokenize_words(distinct)
        places = tf.gather(tokenized.places, index)
        place = places.flat_values
        offset = words.starts - tf.gather(tf.cast(added, tf.int32), rows_of(words.spelled))
        offset, solid = (tf.gather(column, rows_of(places)) for column in (offset, words.solid))
        ids = words.spelled.with_values(places).merge_dims(1, 2)
        char_starts = tf.maximum(offset + tf.gather(tokenized.char_starts, place), 0)
        char_ends = tf.maximum(offset + tf.gather(tokenized.char_ends, place), 0)
        columns = (
            tf.gather(tokenized.ids, place),
            char_starts,
            tf.where(solid, char_ends, char_starts),
            tf.gather(tokenized.is_word_start, place) & solid,
        )
        return Pieces(*(ids.with_values(column) for column in columns))

    def _tokenize_words(self, words: tf.Tensor) -> "_TokenizedWords":
        """Tokenize distinct words, string [words]."""
        spelled = tf.strings.unicode_decode(words, "UTF-8")
        values, word_starts = spelled.flat_values, spelled.row_starts()
        ids, rows, starts, ends = self._merge(tf.gather(self.byte_ids, values), tf.cast(rows_of(spelled), tf.int32))
        word_start = tf.gather(tf.cast(word_starts, tf.int32), rows)
        first_byte = word_start + tf.cast(tf.gather(values, word_start) == _SPACE, tf.int32)
        character = tf.cumsum(tf.cast(_starts_character(values), tf.int32)) - 1
        offset = tf.gather(character, word_start)
        char_starts = tf.gather(character, starts) - offset
        char_ends = tf.gather(character, ends - 1) - offset + 1
        char_starts = tf.minimum(char_starts + tf.gather(self.leading_spaces, ids), char_ends)
        char_ends = tf.maximum(char_ends - tf.gather(self.trailing_spaces, ids), char_starts)
        places = grouped(tf.range(tf.size(ids)), tf.cast(rows, tf.int64), spelled.nrows())
        return _TokenizedWords(places, ids, char_starts, char_ends, (starts <= first_byte) & (first_byte < ends))

    def _merge(self, ids: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Merge pairs until none is left.

        Args:
            ids: int32 [bytes], token of each byte, -1 without a token.
            rows: int32 [bytes], word of each byte.

        Returns:
            Ids and words of the tokens, the start and end (exclusive) of each in bytes, int32 [tokens].
        """

        def step(ids: tf.Tensor, rows: tf.Tensor, starts: tf.Tensor, ends: tf.Tensor, ranks: tf.Tensor) -> tuple:
            taken = self._pairs_to_merge(ranks, rows)
            ids = tf.where(taken, tf.gather(self.merged_ids, tf.where(taken, ranks, 0)), ids)
            ends = tf.where(taken, _shifted(ends, -1, 0), ends)
            kept = ~_shifted(taken, 1, False)
            ids, rows, starts, ends = (tf.boolean_mask(column, kept) for column in (ids, rows, starts, ends))
            return ids, rows, starts, ends, self._pair_ranks(ids, rows)

        place = tf.range(tf.size(ids))
        columns = [tf.boolean_mask(column, ids >= 0) for column in (ids, rows, place, place + 1)]
        result = tf.while_loop(
            lambda *state: tf.reduce_any(state[-1] < _NEVER),
            step,
            (*columns, self._pair_ranks(columns[0], columns[1])),
            shape_invariants=(tf.TensorShape([None]),) * 5,
        )
        return tuple(result[:4])

    def _pair_ranks(self, ids: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """Return the rank of each token with the next one of its word."""
        left, right = tf.cast(ids, tf.int64), tf.cast(_shifted(ids, -1, 0), tf.int64)
        return tf.where(rows == _shifted(rows, -1, -1), self.ranks.lookup(left * self.size + right), _NEVER)

    def _pairs_to_merge(self, ranks: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """Choose the pairs to merge now: bool [tokens], True at the left token of each.

        These are the best pair of every word, and those that are the best as far as the longest token reaches to both
        sides: nothing farther away can take a part of them first. So a word of 100,000 letters takes a few hundred
        rounds, not one for each learned pair, with the same result.
        """
        low, width, full = tf.pad(ranks, [[self.reach, self.reach]], constant_values=_NEVER), 1, 2 * self.reach + 1
        while width < full:
            step = min(width, full - width)
            low, width = tf.minimum(low[:-step], low[step:]), width + step
        low = tf.maximum(low, tf.gather(tf.math.segment_min(ranks, rows), rows))
        # Neighboring pairs of equal rank are one token repeated: from the start of the run, every second pair is
        # merged, once nothing better touches the run.
        starts = ranks != _shifted(ranks, 1, -1)
        run = tf.cumsum(tf.cast(starts, tf.int32)) - 1
        place = tf.range(tf.size(ranks))
        even = (place - tf.gather(tf.boolean_mask(place, starts), run)) % 2 == 0
        return even & (ranks < _NEVER) & (ranks == tf.gather(tf.math.segment_min(low, run), run))


class _TokenizedWords(NamedTuple):
    """Tokens of distinct words, concatenated.

    Attributes:
        places: int32 [words, (tokens)], indices in the columns below of the tokens of a word.
        ids: int32 [tokens].
        char_starts: int32 [tokens], start offset in characters of the word.
        char_ends: int32 [tokens], end offset (exclusive).
        is_word_start: bool [tokens], whether the token contains the first byte of the word that is not a space.
    """

    places: tf.RaggedTensor
    ids: tf.Tensor
    char_starts: tf.Tensor
    char_ends: tf.Tensor
    is_word_start: tf.Tensor


class _Words(NamedTuple):
    """Words of texts.

    Attributes:
        spelled: string [batch, (words)], one character for each byte of the word, so that any bytes make a key.
        starts: int32 [words], the character of the text at which a word starts.
        solid: bool [words], whether it is more than white space.
    """

    spelled: tf.RaggedTensor
    starts: tf.Tensor
    solid: tf.Tensor


def alphabet() -> tuple[str, ...]:
    """Return the letters that stand for the 256 bytes: printable ones of Latin-1 for themselves, others for the rest.

    Examples:
        >>> alphabet()[0x41], alphabet()[0x20]
        ('A', 'Ġ')
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return tuple(chr(byte if byte in printable else next(others)) for byte in range(256))


def _pairs(merges: tuple[str, ...], ids: dict[str, int], unknown: str | None) -> list[tuple[str, str]]:
    problems = check.Problems()
    if unknown is not None and unknown not in ids:
        problems.add(f"`unknown` is {unknown!r}, which is not in the vocabulary of {len(ids)} tokens")
    pairs = []
    for merge in merges[1:] if merges and merges[0].startswith("#version") else merges:
        left, _, right = merge.partition(" ")
        missing = [token for token in dict.fromkeys((left, right, left + right)) if token not in ids]
        if missing:
            tokens = check.listing(map(repr, missing))
            problems.add(f"`merges` contains {merge!r}, but the vocabulary of {len(ids)} tokens lacks {tokens}")
        pairs.append((left, right))
    problems.raise_if_any()
    return pairs


def _words(texts: tf.Tensor) -> _Words:
    """Split texts into words by GPT-2's pattern."""
    clean = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    points = tf.strings.unicode_decode(clean, "UTF-8")
    classes, starts = _word_starts(points)
    word = tf.cumsum(tf.cast(starts, tf.int64)) - 1
    first = tf.where(starts)[:, 0]
    values = tf.cast(tf.io.decode_raw(tf.strings.reduce_join(clean), tf.uint8), tf.int32)
    byte_word = tf.gather(word, tf.cumsum(tf.cast(_starts_character(values), tf.int32)) - 1)
    spelled = tf.strings.unicode_encode(grouped(values, byte_word, tf.size(first, tf.int64)), "UTF-8")
    rows = tf.gather(rows_of(points), first)
    offset = tf.cast(first - tf.gather(points.row_starts(), rows), tf.int32)
    solid = tf.math.segment_max(tf.cast(classes != _WHITESPACE, tf.int32), word) > 0
    return _Words(grouped(spelled, rows, points.nrows()), offset, solid)


def _word_starts(points: tf.RaggedTensor) -> tuple[tf.Tensor, tf.Tensor]:
    r"""Tell where words start.

    The pattern is `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`: characters of one class
    form a word, with a single space before them; the last character of longer white space is a separate word.

    Args:
        points: int32 [batch, (characters)].

    Returns:
        The class of each character, int32, and whether a word starts with it, bool, both [characters].
    """
    edges, edge_classes = _character_classes()
    letters = tf.concat([points, tf.fill([points.nrows(), 1], -1)], 1).flat_values
    classes = tf.gather(edge_classes, tf.searchsorted(edges, letters, side="right"))
    before, after = _shifted(classes, 1, _EDGE), _shifted(classes, -1, _EDGE)
    joins = (_shifted(letters, 1, -1) == _SPACE) & (classes != _WHITESPACE)
    starts = (classes != before) & ~joins
    starts |= (classes == _WHITESPACE) & (after != _WHITESPACE) & (after != _EDGE)
    alone = (letters == _APOSTROPHE) & (before != _OTHER) & ~joins
    second, third = _shifted(letters, -1, -1), _shifted(letters, -2, -1)
    short = alone & tf.reduce_any([second == ord(letter) for letter in "stmd"], 0)
    long = alone & tf.reduce_any([(second == ord(a)) & (third == ord(b)) for a, b in ("re", "ve", "ll")], 0)
    starts &= ~_shifted(short | long, 1, False)
    starts |= _shifted(short, 2, False) | _shifted(long, 3, False)
    inside = classes != _EDGE
    return tf.boolean_mask(classes, inside), tf.boolean_mask(starts, inside)


def _starts_character(values: tf.Tensor) -> tf.Tensor:
    """Tell which bytes of UTF-8 start a character."""
    return tf.bitwise.bitwise_and(values, 0xC0) != 0x80


def _shifted(values: tf.Tensor, by: int, fill: int | bool) -> tf.Tensor:
    """Shift values towards the end or, if `by` is negative, the start, and fill the gap."""
    edge = tf.fill([abs(by)], tf.constant(fill, values.dtype))
    return tf.concat([edge, values], 0)[:-by] if by > 0 else tf.concat([values, edge], 0)[-by:]


@cache
def _character_classes() -> tuple[np.ndarray, np.ndarray]:
    """Return where each run of characters of one class starts, int32 [n], and the classes around, int32 [n + 1]."""
    class_at = {0: _OTHER}
    tables = (
        (_LETTER, unicode_classes.LETTERS),
        (_NUMBER, unicode_classes.NUMBERS),
        (_WHITESPACE, unicode_classes.SPACES),
    )
    for class_, ranges in tables:
        for points in ranges:
            class_at[points.start] = class_
            class_at.setdefault(points.stop, _OTHER)
    starts = sorted(class_at)
    return np.array(starts, np.int32), np.array([_EDGE, *(class_at[start] for start in starts)], np.int32)
