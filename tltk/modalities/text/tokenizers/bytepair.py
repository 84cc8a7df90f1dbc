"""Byte-level BPE out of core TensorFlow operations: the same graph tokenizes in tf.data and in a SavedModel.

Follows GPT-2's tokenizer (Radford et al. 2019, section 2.2; openai/gpt-2, encoder.py) as Hugging Face's `tokenizers`
implements it. A text is cut into words by a pattern that needs no more than the class of each character and of its
neighbours. A word is its bytes in UTF-8, and of all pairs of neighbours in it the one that was learnt first becomes one
piece, again and again until no pair was learnt. Special tokens that stand in a text are characters like any other.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tltk.foundation import checks as check
from tltk.modalities.text.tokenizers import unicode_classes
from tltk.modalities.text.tokenizers.base import Pieces
from tltk.modalities.text.tokenizers.trie import grouped, rows_of

_SPACE, _APOSTROPHE = 0x20, 0x27
_EDGE, _OTHER, _LETTER, _NUMBER, _BLANK = range(5)  # of characters; the edge is what lies between two texts
_NEVER = 2**31 - 1  # rank of a pair that was not learnt


class BytePair:
    """Turns texts into numbers of a vocabulary, as a graph.

    Args:
        vocabulary: every piece in the order of its number, its bytes written in GPT-2's alphabet ("Ġthe").
        merges: pairs of pieces that become one ("Ġ t"), the first one first; a "#version" line in front, as merges.txt
            has it, is passed over.
        unknown: piece for a byte that the vocabulary has not; None leaves such bytes out. GPT-2 and RoBERTa have all.
        add_prefix_space: whether a space is put before a text that does not begin with one.

    Raises:
        ValueError: if the vocabulary lacks `unknown`, or a part of a merge or what it makes.

    Example:
        >>> cut = BytePair(("a", "b", "Ġ", "ab", "Ġab"), ("a b", "Ġ ab"))
        >>> cut(tf.constant(["ab ab aab"])).ids.to_list()
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
        number = {piece: index for index, piece in enumerate(vocabulary)}
        pairs = _pairs(merges, number, unknown)
        self.add_prefix_space = add_prefix_space
        self.size = len(vocabulary)
        self.made = np.array([number[left + right] for left, right in pairs], np.int32)
        self.bytes = np.array([number.get(letter, number.get(str(unknown), -1)) for letter in alphabet()], np.int32)
        space = alphabet()[_SPACE]
        self.spaces_before = np.array([len(piece) - len(piece.lstrip(space)) for piece in vocabulary], np.int32)
        self.spaces_behind = np.array([len(piece) - len(piece.rstrip(space)) for piece in vocabulary], np.int32)
        self.reach = max((len(left + right) for left, right in pairs), default=1) - 1
        learnt = {-1: _NEVER}  # a table must hold something
        learnt |= {number[left] * self.size + number[right]: rank for rank, (left, right) in enumerate(pairs)}
        keys, ranks = tf.constant(list(learnt), tf.int64), tf.constant(list(learnt.values()), tf.int32)
        self.ranks = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, ranks), _NEVER)
        self.tables = [self.ranks]

    def __call__(self, texts: tf.Tensor) -> Pieces:
        """Tokenize.

        Args:
            texts: string [batch], UTF-8; bytes that are none count as U+FFFD, as Python's errors="replace" has it.

        Returns:
            The pieces, without special tokens. A piece covers its characters without the spaces at its ends ("Ġthe"
            covers "the", and "Ġ" nothing), which is Hugging Face's `trim_offsets=True` (there, with
            `add_prefix_space`, a space that a text itself begins with stays in); other white space covers nothing
            here, and itself there; a piece that holds a part of a character's bytes covers the character. A word
            begins with the piece that holds its first byte; words are what the pattern cuts a text into ("don", "'t",
            "!?"), without the space in front and unless they are white space alone.
        """
        added = (tf.strings.substr(texts, 0, 1) != " ") & (texts != "") & self.add_prefix_space
        words = _words(tf.where(added, tf.strings.join([" ", texts]), texts))
        each, back = tf.unique(words.spelled.flat_values)
        known = self._pieces(each)
        chosen = tf.gather(known.places, back)
        place = chosen.flat_values
        begin = words.begins - tf.gather(tf.cast(added, tf.int32), rows_of(words.spelled))
        begin, solid = (tf.gather(each, rows_of(chosen)) for each in (begin, words.solid))
        ids = words.spelled.with_values(chosen).merge_dims(1, 2)
        start = tf.maximum(begin + tf.gather(known.begins, place), 0)
        stop = tf.maximum(begin + tf.gather(known.stops, place), 0)
        columns = (
            tf.gather(known.ids, place),
            start,
            tf.where(solid, stop, start),
            tf.gather(known.firsts, place) & solid,
        )
        return Pieces(*(ids.with_values(column) for column in columns))

    def _pieces(self, words: tf.Tensor) -> "_Known":
        """Cut each word into pieces."""
        held = tf.strings.unicode_decode(words, "UTF-8")
        values, starts = held.flat_values, held.row_starts()
        ids, rows, begins, stops = self._merged(tf.gather(self.bytes, values), tf.cast(rows_of(held), tf.int32))
        word_begin = tf.gather(tf.cast(starts, tf.int32), rows)
        first = word_begin + tf.cast(tf.gather(values, word_begin) == _SPACE, tf.int32)
        character = tf.cumsum(tf.cast(_leads(values), tf.int32)) - 1
        base = tf.gather(character, word_begin)
        begin = tf.gather(character, begins) - base
        stop = tf.gather(character, stops - 1) - base + 1
        begin = tf.minimum(begin + tf.gather(self.spaces_before, ids), stop)
        stop = tf.maximum(stop - tf.gather(self.spaces_behind, ids), begin)
        places = grouped(tf.range(tf.size(ids)), tf.cast(rows, tf.int64), held.nrows())
        return _Known(places, ids, begin, stop, (begins <= first) & (first < stops))

    def _merged(self, ids: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Merge pairs until none is left.

        Args:
            ids: int32 [bytes], the piece of each byte, -1 for none.
            rows: int32 [bytes], the number of its word.

        Returns:
            Ids and rows of the pieces, their first bytes and the ones behind their last, int32 [pieces].
        """

        def step(ids: tf.Tensor, rows: tf.Tensor, begins: tf.Tensor, stops: tf.Tensor, ranks: tf.Tensor) -> tuple:
            taken = self._taken(ranks, rows)
            ids = tf.where(taken, tf.gather(self.made, tf.where(taken, ranks, 0)), ids)
            stops = tf.where(taken, _moved(stops, -1, 0), stops)
            kept = ~_moved(taken, 1, False)
            ids, rows, begins, stops = (tf.boolean_mask(column, kept) for column in (ids, rows, begins, stops))
            return ids, rows, begins, stops, self._ranks(ids, rows)

        place = tf.range(tf.size(ids))
        start = [tf.boolean_mask(column, ids >= 0) for column in (ids, rows, place, place + 1)]
        found = tf.while_loop(
            lambda *state: tf.reduce_any(state[-1] < _NEVER),
            step,
            (*start, self._ranks(start[0], start[1])),
            shape_invariants=(tf.TensorShape([None]),) * 5,
        )
        return tuple(found[:4])

    def _ranks(self, ids: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """Return the rank of each piece with the next one of its word."""
        left, right = tf.cast(ids, tf.int64), tf.cast(_moved(ids, -1, 0), tf.int64)
        return tf.where(rows == _moved(rows, -1, -1), self.ranks.lookup(left * self.size + right), _NEVER)

    def _taken(self, ranks: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """Choose the pairs to merge now: bool [pieces].

        They are every word's best, and those that are the best as far as the longest piece reaches to both sides:
        nothing farther away can take a part of them before their turn comes. So a word of 100,000 letters takes some
        hundred rounds, not one for each pair that was ever learnt, with the same result.
        """
        low, width, whole = tf.pad(ranks, [[self.reach, self.reach]], constant_values=_NEVER), 1, 2 * self.reach + 1
        while width < whole:
            step = min(width, whole - width)
            low, width = tf.minimum(low[:-step], low[step:]), width + step
        low = tf.maximum(low, tf.gather(tf.math.segment_min(ranks, rows), rows))
        # Pairs of equal rank side by side are one piece repeated: from the run's start on, every second pair is merged,
        # once nothing better touches the run.
        begins = ranks != _moved(ranks, 1, -1)
        run = tf.cumsum(tf.cast(begins, tf.int32)) - 1
        place = tf.range(tf.size(ranks))
        even = (place - tf.gather(tf.boolean_mask(place, begins), run)) % 2 == 0
        return even & (ranks < _NEVER) & (ranks == tf.gather(tf.math.segment_min(low, run), run))


class _Known(NamedTuple):
    """Pieces of distinct words, one after the other.

    Args:
        places: int32 [words, (pieces)], where a word's pieces stand in the columns below.
        ids: int32 [all].
        begins: int32 [all], in characters from the word's beginning.
        stops: int32 [all].
        firsts: bool [all], whether the piece holds the word's first byte that is no space.
    """

    places: tf.RaggedTensor
    ids: tf.Tensor
    begins: tf.Tensor
    stops: tf.Tensor
    firsts: tf.Tensor


class _Words(NamedTuple):
    """Texts cut into words.

    Args:
        spelled: string [batch, (words)], a character for each byte of the word, so that any bytes make a key.
        begins: int32 [words], the character of the text at which a word begins.
        solid: bool [words], whether it is more than white space.
    """

    spelled: tf.RaggedTensor
    begins: tf.Tensor
    solid: tf.Tensor


def alphabet() -> tuple[str, ...]:
    """Return the letters that stand for the 256 bytes: what shows in Latin-1 for itself, others for the rest.

    Example:
        >>> alphabet()[0x41], alphabet()[0x20]
        ('A', 'Ġ')
    """
    shown = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return tuple(chr(byte if byte in shown else next(others)) for byte in range(256))


def _pairs(merges: tuple[str, ...], known: dict[str, int], unknown: str | None) -> list[tuple[str, str]]:
    problems = check.Problems()
    if unknown is not None and unknown not in known:
        problems.add(f"`unknown` is {unknown!r}, which the vocabulary of {len(known)} pieces has not")
    pairs = []
    for merge in merges[1:] if merges and merges[0].startswith("#version") else merges:
        left, _, right = merge.partition(" ")
        missing = [piece for piece in dict.fromkeys((left, right, left + right)) if piece not in known]
        if missing:
            shown = check.listing(map(repr, missing))
            problems.add(f"`merges` has {merge!r}, and the vocabulary of {len(known)} pieces has not {shown}")
        pairs.append((left, right))
    problems.raise_if_any()
    return pairs


def _words(texts: tf.Tensor) -> _Words:
    """Cut texts into words by GPT-2's pattern."""
    clean = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    points = tf.strings.unicode_decode(clean, "UTF-8")
    kinds, begins = _cuts(points)
    word = tf.cumsum(tf.cast(begins, tf.int64)) - 1
    first = tf.where(begins)[:, 0]
    values = tf.cast(tf.io.decode_raw(tf.strings.reduce_join(clean), tf.uint8), tf.int32)
    owner = tf.gather(word, tf.cumsum(tf.cast(_leads(values), tf.int32)) - 1)
    spelled = tf.strings.unicode_encode(grouped(values, owner, tf.size(first, tf.int64)), "UTF-8")
    rows = tf.gather(rows_of(points), first)
    begin = tf.cast(first - tf.gather(points.row_starts(), rows), tf.int32)
    solid = tf.math.segment_max(tf.cast(kinds != _BLANK, tf.int32), word) > 0
    return _Words(grouped(spelled, rows, points.nrows()), begin, solid)


def _cuts(points: tf.RaggedTensor) -> tuple[tf.Tensor, tf.Tensor]:
    r"""Tell where words begin.

    The pattern is `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`: characters of one class
    are a word, with the one space in front of them; of more white space the last one stands apart.

    Args:
        points: int32 [batch, (characters)].

    Returns:
        The class of each character, int32, and whether a word begins with it, bool, both [all characters].
    """
    starts, classes = _classes()
    letters = tf.concat([points, tf.fill([points.nrows(), 1], -1)], 1).flat_values
    kinds = tf.gather(classes, tf.searchsorted(starts, letters, side="right"))
    before, behind = _moved(kinds, 1, _EDGE), _moved(kinds, -1, _EDGE)
    joins = (_moved(letters, 1, -1) == _SPACE) & (kinds != _BLANK)
    begins = (kinds != before) & ~joins
    begins |= (kinds == _BLANK) & (behind != _BLANK) & (behind != _EDGE)
    alone = (letters == _APOSTROPHE) & (before != _OTHER) & ~joins
    second, third = _moved(letters, -1, -1), _moved(letters, -2, -1)
    short = alone & tf.reduce_any([second == ord(letter) for letter in "stmd"], 0)
    long = alone & tf.reduce_any([(second == ord(a)) & (third == ord(b)) for a, b in ("re", "ve", "ll")], 0)
    begins &= ~_moved(short | long, 1, False)
    begins |= _moved(short, 2, False) | _moved(long, 3, False)
    inside = kinds != _EDGE
    return tf.boolean_mask(kinds, inside), tf.boolean_mask(begins, inside)


def _leads(values: tf.Tensor) -> tf.Tensor:
    """Tell which bytes of UTF-8 begin a character."""
    return tf.bitwise.bitwise_and(values, 0xC0) != 0x80


def _moved(values: tf.Tensor, by: int, fill: int | bool) -> tf.Tensor:
    """Move values so many places towards the end or, below 0, the start; `fill` comes in where they left."""
    edge = tf.fill([abs(by)], tf.constant(fill, values.dtype))
    return tf.concat([edge, values], 0)[:-by] if by > 0 else tf.concat([values, edge], 0)[-by:]


@cache
def _classes() -> tuple[np.ndarray, np.ndarray]:
    """Return where each run of characters of one class begins, int32 [n], and the classes around, int32 [n + 1]."""
    found = {0: _OTHER}
    held = ((_LETTER, unicode_classes.LETTERS), (_NUMBER, unicode_classes.NUMBERS), (_BLANK, unicode_classes.SPACES))
    for kind, ranges in held:
        for each in ranges:
            found[each.start] = kind
            found.setdefault(each.stop, _OTHER)
    starts = sorted(found)
    return np.array(starts, np.int32), np.array([_EDGE, *(found[start] for start in starts)], np.int32)
