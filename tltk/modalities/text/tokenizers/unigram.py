"""SentencePiece's unigram tokenization out of core TensorFlow operations: the same graph in tf.data and a SavedModel.

Follows Kudo 2018 (Subword Regularization, section 3.2) as google/sentencepiece has it (unigram_model.cc): texts become
those pieces whose scores add up to most. Where no piece holds two neighbours together, what is before and what is
behind can be searched apart: texts fall into short stretches, and all different ones are searched at the same time.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tltk.modalities.text.tokenizers.base import Pieces
from tltk.modalities.text.tokenizers.normalization import Normalization
from tltk.modalities.text.tokenizers.sentencepiece_file import SentencePieceModel
from tltk.modalities.text.tokenizers.trie import Trie, grouped, reached, rows_of, spanned

_PENALTY = 10.0  # of an unknown character, below the least score
_BONUS = 0.1  # for each byte but one of a user-defined symbol, in place of its score (sentencepiece 0.2.3)
_NEVER, _NOT_YET = -3e38, -1e30  # scores of no piece and of no path; finite, so that their difference is a number
_FAR, _MOST, _ROUNDS = 2.0**16, 2**15, 32  # how far rounding is followed: sum of scores, pieces, corrections
_ROOM = 2**24  # pieces of all texts, were they as long as the longest
_EPSILON = float(np.finfo(np.float32).eps)


class _Lattice(NamedTuple):
    """Stretches of letters, and the pieces that fit into them.

    Args:
        pieces: int32 [letters, longest], number of the piece of 1, 2 … letters that begins at a letter.
        begins: int32 [stretches], first letter of each.
        lengths: int32 [stretches].
    """

    pieces: tf.Tensor
    begins: tf.Tensor
    lengths: tf.Tensor

    def only(self, stretches: tf.Tensor) -> "_Lattice":
        """Return some of the stretches, as often as they are named."""
        return _Lattice(self.pieces, tf.gather(self.begins, stretches), tf.gather(self.lengths, stretches))


class Unigram:
    """Turns texts into numbers of a vocabulary, as a graph.

    The numbers are those of the `sentencepiece` package. It adds scores up in float32 from the beginning of a text, so
    that of two equally good ways rounding chooses one; this is followed for thousands of pieces, as far as models read.

    Args:
        model: pieces, scores and rules of normalization.

    Example:
        >>> kinds = ("unknown", "normal", "normal", "normal", "normal")
        >>> model = SentencePieceModel(("<unk>", "▁", "▁the", "▁cat", "s"), (0.0, -5.0, -1.0, -2.0, -3.0), kinds)
        >>> Unigram(model)(tf.constant(["the cats", "the dog"])).ids.to_list()
        [[2, 3, 4], [2, 1, 0]]
    """

    def __init__(self, model: SentencePieceModel) -> None:
        self.model = model
        self.normalize = Normalization(model)
        kind_of, known = model.kinds, model.known
        self.trie = Trie({piece: number for piece, number in known.items() if kind_of[number] != "unused"})
        normal = [score for score, kind in zip(model.scores, model.kinds, strict=True) if kind == "normal"]
        self.scores = np.array([*model.scores, _NEVER], np.float32)
        self.scores[model.unknown] = np.float32(min(normal, default=0.0)) - np.float32(_PENALTY)
        for piece, number in known.items():
            if kind_of[number] == "user_defined":
                self.scores[number] = _BONUS * (len(piece.encode()) - 1)

    @property
    def tables(self) -> list[tf.lookup.StaticHashTable]:
        """What an export must keep track of."""
        return [self.normalize.trie.table, self.trie.table]

    def __call__(self, texts: tf.Tensor) -> Pieces:
        """Tokenize.

        Args:
            texts: string [batch], UTF-8; bytes that are none count as U+FFFD, as Python's errors="replace" has it.

        Returns:
            Pieces without special tokens. Each covers the characters that it was made of, without spaces around them; a
            piece that is a space alone covers nothing, and all pieces of a character's bytes cover the character. A
            word begins with a piece that begins with "▁", and with a text.
        """
        letters = self.normalize(texts)
        lattice, same, text = self._stretches(letters)
        paths, leads = self._search(lattice, tf.zeros_like(lattice.begins, tf.float32))
        ways = self._follow_rounding(lattice, same, text, paths, leads)
        ids, lengths = tf.unstack(ways.flat_values, axis=1)
        pieces, heads = self._pieces(letters, ids, lengths)
        return self._bytes(pieces, heads) if self.model.byte_fallback else pieces

    def _stretches(self, letters: tf.RaggedTensor) -> tuple[_Lattice, tf.Tensor, tf.Tensor]:
        """Cut texts where no piece holds two letters together.

        Returns:
            Lattice of all different stretches; which of them each stretch of the texts is; and in which text that is.
        """
        points = letters.with_flat_values(letters.flat_values[:, 0])
        where, length, number = self.trie.matches(points)
        opens = ~spanned(where, length, tf.size(points.flat_values))
        stretch = tf.cumsum(tf.cast(opens, tf.int32)) - 1
        words = grouped(points.flat_values, stretch)
        each, same = tf.unique(tf.strings.unicode_encode(words, "UTF-8"))
        sample = tf.math.unsorted_segment_min(tf.range(tf.size(same)), same, tf.size(each))
        kept = tf.gather(tf.scatter_nd(sample[:, None], tf.ones_like(sample), [tf.size(same)]), stretch)
        place = tf.cumsum(kept) - 1
        mine = tf.gather(kept, where) > 0
        where, length, number = tf.gather(place, where)[mine], length[mine], number[mine]
        none = tf.fill([tf.reduce_sum(kept), tf.maximum(tf.reduce_max(length), 1)], len(self.scores) - 1)
        fits = tf.tensor_scatter_nd_update(none, tf.stack([where, length - 1], 1), number)
        single = tf.where(fits[:, :1] == none[:, :1], self.model.unknown, fits[:, :1])
        begins = tf.gather(place, tf.gather(words.row_starts(), sample))
        lengths = tf.gather(words.row_lengths(), sample)
        lattice = _Lattice(tf.concat([single, fits[:, 1:]], 1), begins, tf.cast(lengths, tf.int32))
        return lattice, same, rows_of(points)[opens]

    def _search(self, lattice: _Lattice, before: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """Find the pieces of each stretch whose scores add up to most (Viterbi), letter by letter in all at once.

        Args:
            lattice: stretches and pieces.
            before: float32 [stretches], sum of scores of what is before each in its text.

        Returns:
            int32 [stretches, (pieces), 2], number and length of each piece; and float32 [stretches], by how much the
            best way was ahead of others where it was least ahead.
        """
        order = tf.argsort(lattice.lengths, direction="DESCENDING", stable=True)
        _, begins, lengths = lattice.only(order)
        longest = tf.reduce_max(lengths)
        outputs = tf.gather(tf.cumsum(lattice.lengths, exclusive=True), order)
        width = tf.shape(lattice.pieces)[1]

        def advance(at: tf.Tensor, best: tf.Tensor, length: tf.Tensor, lead: tf.Tensor, found: tuple) -> tuple:
            # Column n is of the best way to n letters from here: its score, its last piece's length, its lead.
            count = tf.searchsorted(-lengths, [-at])[0]
            made = best[:count, :1] + tf.gather(self.scores, tf.gather(lattice.pieces, begins[:count] + at))
            held = best[:count, 1:]
            better = made > held
            lead = tf.where(better, made - held, tf.minimum(lead[:count, 1:], held - made))
            length = tf.where(better, tf.range(1, width + 1)[None], length[:count, 1:])
            best = tf.where(better, made, held)
            results = outputs[:count] + at, length[:, 0], lead[:, 0]
            found = tuple(array.write(at, each) for array, each in zip(found, results, strict=True))
            return at + 1, _widened(best, _NOT_YET), _widened(length, 0), _widened(lead, 0), found

        blank = tf.fill([tf.size(order), width], _NOT_YET)
        best = tf.concat([tf.gather(before, order)[:, None], blank], 1)
        kinds = (tf.int32, tf.int32, tf.float32)
        arrays = tuple(tf.TensorArray(kind, 0, True, infer_shape=False, element_shape=[None]) for kind in kinds)
        state = 0, best, tf.zeros_like(best, tf.int32), tf.zeros_like(best), arrays
        shapes = tf.TensorShape([]), *[tf.TensorShape([None, None])] * 3, (tf.TensorShape(None),) * 3
        found = tf.while_loop(lambda at, *_: at < longest, advance, state, shape_invariants=shapes)[-1]
        return _traced(lattice, *(array.concat() for array in found))

    def _follow_rounding(
        self, lattice: _Lattice, same: tf.Tensor, text: tf.Tensor, paths: tf.RaggedTensor, leads: tf.Tensor
    ) -> tf.RaggedTensor:
        """Search doubtful stretches again, with what is before them, until nothing changes any more.

        Args:
            lattice: different stretches.
            same: int32 [n], which of them each stretch of the texts is.
            text: int64 [n], in which text it is.
            paths: int32 [stretches, (pieces), 2], as found with nothing before.
            leads: float32 [stretches], by how much they were ahead.

        Returns:
            int32 [n, (pieces), 2].
        """
        before = self._before(tf.gather(paths, same), text)
        sums = tf.math.segment_sum(tf.gather(self.scores, paths.values[:, 0]), rows_of(paths))
        size = tf.abs(before) + tf.abs(tf.gather(sums, same))
        slack = size * _EPSILON * tf.cast(tf.gather(lattice.lengths, same) + 2, tf.float32)
        doubtful = (before != 0) & (before > -_FAR) & (tf.gather(leads, same) <= slack)
        places = tf.cast(tf.where(doubtful)[:, 0], tf.int32)
        again = lattice.only(tf.gather(same, places))
        others = paths.nrows(tf.int32) + tf.range(tf.size(places))
        which = tf.tensor_scatter_nd_update(same, places[:, None], others)

        def search(turn: tf.Tensor, now: tf.Tensor, _: tf.Tensor, found: tf.RaggedTensor) -> tuple:
            found, _ = self._search(again, now)
            ways = tf.gather(tf.concat([paths, found], 0), which)
            return turn + 1, tf.gather(self._before(ways, text), places), now, found

        def changes(turn: tf.Tensor, now: tf.Tensor, then: tf.Tensor, _: tf.RaggedTensor) -> tf.Tensor:
            return (turn < _ROUNDS) & tf.reduce_any(now != then)

        now = tf.gather(before, places)
        shapes = (*map(tf.TensorShape, ([], [None], [None])), tf.RaggedTensorSpec([None, None, 2], tf.int32, 1))
        state = 0, now, tf.fill(tf.shape(now), np.nan), paths[:0]
        found = tf.while_loop(changes, search, state, shape_invariants=shapes)[-1]
        return tf.gather(tf.concat([paths, found], 0), which)

    def _before(self, ways: tf.RaggedTensor, text: tf.Tensor) -> tf.Tensor:
        """Add up, in float32 and in order, the scores of what is before each stretch in its text; 0 far behind."""
        scores = tf.gather(self.scores, ways.values[:, 0])
        rows = grouped(scores, tf.gather(text, rows_of(ways)))
        most = tf.minimum(_ROOM // tf.maximum(rows.nrows(), 1), _MOST)
        sums = tf.cumsum(rows[:, :most].to_tensor(), axis=1, exclusive=True)
        place = ways.row_starts() - tf.gather(rows.row_starts(), text)
        width = tf.shape(sums, tf.int64)[1]
        found = tf.gather_nd(sums, tf.stack([text, tf.minimum(place, width - 1)], 1))
        return tf.where(place < width, found, 0.0)

    def _pieces(self, letters: tf.RaggedTensor, ids: tf.Tensor, lengths: tf.Tensor) -> tuple[Pieces, tf.Tensor]:
        """Say what pieces cover; unknown ones in a row become one, unless bytes stand for them.

        Returns:
            The pieces, and the first letter of each.
        """
        letter, begin, stop = tf.unstack(letters.flat_values, axis=1)
        row, first = rows_of(letters), tf.cumsum(lengths, exclusive=True)
        text = tf.gather(row, first)
        opens = tf.gather(letters.row_starts(), text) == tf.cast(first, tf.int64)
        unknown = (ids == self.model.unknown) & (not self.model.byte_fallback)
        kept = ~unknown | ~tf.roll(unknown, 1, 0) | opens
        piece = tf.searchsorted(tf.cumsum(lengths), tf.range(tf.size(letter)), side="right")
        group = tf.gather(tf.cumsum(tf.cast(kept, tf.int32)) - 1, piece)
        space = letter == self.normalize.mark
        # A space is nothing in front of what follows.
        follows = tf.minimum(tf.range(tf.size(row, tf.int64)) + 1, tf.gather(letters.row_limits(), row) - 1)
        begins = tf.math.segment_min(tf.where(space, tf.gather(begin, follows), begin), group)
        stops = tf.maximum(tf.math.segment_max(tf.where(space, 0, stop), group), begins)
        first, opens = first[kept], opens[kept]
        suffix = int(self.model.treat_whitespace_as_suffix)
        firsts = opens | tf.gather(space, tf.maximum(first - suffix, 0))
        rows = grouped(ids[kept], text[kept], letters.nrows())
        return Pieces(*map(rows.with_values, (rows.values, begins, stops, firsts))), tf.gather(letter, first)

    def _bytes(self, pieces: Pieces, letters: tf.Tensor) -> Pieces:
        """Put the bytes of its letter, int32 [pieces], in the place of each unknown piece."""
        unknown = pieces.ids.values == self.model.unknown
        spelled = tf.strings.unicode_encode(letters[unknown][:, None], "UTF-8")
        ones = tf.ones_like(letters)
        counts = tf.tensor_scatter_nd_update(ones, tf.where(unknown), tf.strings.length(spelled))
        each = tf.repeat(tf.range(tf.size(counts)), counts)
        values = tf.io.decode_raw(tf.strings.reduce_join(spelled), tf.uint8)
        numbers = tf.gather(np.array(self.model.byte_pieces, np.int32), tf.cast(values, tf.int32))
        ids, begins, stops, firsts = (tf.gather(column.values, each) for column in pieces)
        ids = tf.tensor_scatter_nd_update(ids, tf.where(tf.gather(unknown, each)), numbers)
        firsts &= tf.ragged.range(counts).values == 0
        text = tf.gather(rows_of(pieces.ids), each)
        rows = grouped(ids, text, pieces.ids.nrows())
        return Pieces(*map(rows.with_values, (ids, begins, stops, firsts)))


def _traced(
    lattice: _Lattice, place: tf.Tensor, length: tf.Tensor, lead: tf.Tensor
) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Follow the best ways back from the ends of stretches; see `Unigram._search`.

    Args:
        lattice: stretches and pieces.
        place: int32 [letters], the letter, counted over all stretches, that the next two are of.
        length: int32 [letters], letters of the last piece of the best way up to and with a letter.
        lead: float32 [letters], by how much it is ahead.
    """
    ends = tf.cumsum(lattice.lengths)
    at = tf.range(tf.size(place))
    length, lead = (tf.scatter_nd(place[:, None], each, tf.shape(place)) for each in (length, lead))
    row = tf.searchsorted(ends, at, side="right", out_type=tf.int64)
    inside = at - tf.gather(ends - lattice.lengths, row)
    jump = tf.where(inside < length, tf.size(place), at - length)
    seeds = tf.scatter_nd(ends[:, None] - 1, tf.fill(tf.shape(ends), True), tf.shape(place))
    passed = tf.where(reached(jump, seeds))[:, 0]
    length, row = tf.gather(length, passed), tf.gather(row, passed)
    begin = tf.gather(lattice.begins, row) + tf.gather(inside, passed) + 1 - length
    number = tf.gather_nd(lattice.pieces, tf.stack([begin, length - 1], 1))
    paths = grouped(tf.stack([number, length], 1), row, tf.size(ends, tf.int64))
    return paths, tf.math.segment_min(tf.gather(lead, passed), row)


def _widened(columns: tf.Tensor, value: float) -> tf.Tensor:
    """Add a column of one value."""
    return tf.pad(columns, [[0, 0], [0, 1]], constant_values=tf.cast(value, columns.dtype))
