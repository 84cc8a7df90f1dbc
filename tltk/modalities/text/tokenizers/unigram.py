"""SentencePiece's unigram tokenizer from core TensorFlow operations: the same graph in tf.data and in a SavedModel.

Follows Kudo 2018 (Subword Regularization, section 3.2) as google/sentencepiece implements it (unigram_model.cc): a text
becomes the pieces whose scores have the highest sum. Where no piece contains two neighboring characters, the text
before and the text after can be searched separately: texts fall into short segments, and all distinct segments are
searched at the same time.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tltk.modalities.text.ragged import grouped, rows_of
from tltk.modalities.text.tokenizers.base import Pieces
from tltk.modalities.text.tokenizers.normalization import Normalization
from tltk.modalities.text.tokenizers.sentencepiece_file import SentencePieceModel
from tltk.modalities.text.tokenizers.trie import Trie, covered, reached

_UNKNOWN_PENALTY = 10.0  # an unknown character scores this much less than the lowest score
_SYMBOL_BONUS = 0.1  # score of a user-defined symbol per byte after the first (sentencepiece 0.2.3)
_NO_PIECE, _NO_PATH = -3e38, -1e30  # scores; finite, so that their sum is a number


class _Lattice(NamedTuple):
    """Segments of normalized texts, and the pieces that fit into them.

    Attributes:
        pieces: int32 [characters, longest], id of the piece of 1, 2 … characters that starts at a character.
        starts: int32 [segments], first character of each segment.
        lengths: int32 [segments], in characters.
    """

    pieces: tf.Tensor
    starts: tf.Tensor
    lengths: tf.Tensor


class Unigram:
    """Turns texts into token ids, as a graph.

    The ids are those of the `sentencepiece` package, except where two tokenizations are equally good up to rounding
    ("-----" is "--" and "---", or "---" and "--"). The package adds scores in float32 from the start of the text, so
    that the text before decides; here the choice depends on the segment alone.

    Args:
        model: Pieces, scores and normalization rules.

    Examples:
        >>> types = ("unknown", "normal", "normal", "normal", "normal")
        >>> model = SentencePieceModel(("<unk>", "▁", "▁the", "▁cat", "s"), (0.0, -5.0, -1.0, -2.0, -3.0), types)
        >>> Unigram(model)(tf.constant(["the cats", "the dog"])).ids.to_list()
        [[2, 3, 4], [2, 1, 0]]
    """

    def __init__(self, model: SentencePieceModel) -> None:
        self.model = model
        self.normalize = Normalization(model)
        ids = model.text_pieces
        self.trie = Trie({piece: id_ for piece, id_ in ids.items() if model.types[id_] != "unused"})
        normal = [score for score, type_ in zip(model.scores, model.types, strict=True) if type_ == "normal"]
        self.scores = np.array([*model.scores, _NO_PIECE], np.float32)
        self.scores[model.unknown] = np.float32(min(normal, default=0.0)) - np.float32(_UNKNOWN_PENALTY)
        for piece, id_ in ids.items():
            if model.types[id_] == "user_defined":
                self.scores[id_] = _SYMBOL_BONUS * (len(piece.encode()) - 1)

    @property
    def tables(self) -> list[tf.lookup.StaticHashTable]:
        """Lookup tables that a SavedModel must track."""
        return [self.normalize.trie.table, self.trie.table]

    def __call__(self, texts: tf.Tensor) -> Pieces:
        """Tokenize.

        Args:
            texts: string [batch], UTF-8; invalid bytes are replaced by U+FFFD, as by Python's errors="replace".

        Returns:
            Tokens, without special tokens. Each covers the characters it was made from, without spaces at its ends; a
            piece for a space alone covers nothing, and all pieces for the bytes of a character cover the character. A
            word starts with a piece that starts with "▁", and with a text.
        """
        characters = self.normalize(texts)
        lattice, segment_ids = self._segments(characters)
        paths = tf.gather(self._search(lattice), segment_ids)
        ids, lengths = tf.unstack(paths.flat_values, axis=1)
        pieces, first_characters = self._pieces(characters, ids, lengths)
        return self._with_bytes(pieces, first_characters) if self.model.byte_fallback else pieces

    def _segments(self, characters: tf.RaggedTensor) -> tuple[_Lattice, tf.Tensor]:
        """Split texts where no piece contains two neighboring characters.

        Args:
            characters: int32 [batch, (characters), 3], from `Normalization`.

        Returns:
            Lattice of all distinct segments, and which of them each segment of the texts is, int32 [n].
        """
        points = characters.with_flat_values(characters.flat_values[:, 0])
        starts, length, piece = self.trie.matches(points)
        opens = ~covered(starts, length, tf.size(points.flat_values))
        segment = tf.cumsum(tf.cast(opens, tf.int32)) - 1
        segments = grouped(points.flat_values, segment)
        distinct, segment_ids = tf.unique(tf.strings.unicode_encode(segments, "UTF-8"))
        sample = tf.math.unsorted_segment_min(tf.range(tf.size(segment_ids)), segment_ids, tf.size(distinct))
        is_sample = tf.scatter_nd(sample[:, None], tf.ones_like(sample), [tf.size(segment_ids)])
        kept = tf.gather(is_sample, segment)
        index = tf.cumsum(kept) - 1
        inside = tf.gather(kept, starts) > 0
        starts, length, piece = tf.gather(index, starts)[inside], length[inside], piece[inside]
        none = tf.fill([tf.reduce_sum(kept), tf.maximum(tf.reduce_max(length), 1)], len(self.scores) - 1)
        fits = tf.tensor_scatter_nd_update(none, tf.stack([starts, length - 1], 1), piece)
        single = tf.where(fits[:, :1] == none[:, :1], self.model.unknown, fits[:, :1])
        segment_starts = tf.gather(index, tf.gather(segments.row_starts(), sample))
        lengths = tf.cast(tf.gather(segments.row_lengths(), sample), tf.int32)
        return _Lattice(tf.concat([single, fits[:, 1:]], 1), segment_starts, lengths), segment_ids

    def _search(self, lattice: _Lattice) -> tf.RaggedTensor:
        """Find the pieces of each segment with the highest sum of scores (Viterbi), character by character in all.

        Returns:
            int32 [segments, (pieces), 2], id and length of each piece.
        """
        order = tf.argsort(lattice.lengths, direction="DESCENDING", stable=True)
        starts, lengths = tf.gather(lattice.starts, order), tf.gather(lattice.lengths, order)
        longest = tf.reduce_max(lengths)
        outputs = tf.gather(tf.cumsum(lattice.lengths, exclusive=True), order)
        width = tf.shape(lattice.pieces)[1]

        def advance(at: tf.Tensor, best: tf.Tensor, length: tf.Tensor, results: tuple) -> tuple:
            # Column n describes the best path that ends n characters from here: its score, and its last piece's length.
            count = tf.searchsorted(-lengths, [-at])[0]
            extended = best[:count, :1] + tf.gather(self.scores, tf.gather(lattice.pieces, starts[:count] + at))
            better = extended > best[:count, 1:]
            length = tf.where(better, tf.range(1, width + 1)[None], length[:count, 1:])
            best = tf.where(better, extended, best[:count, 1:])
            columns = outputs[:count] + at, length[:, 0]
            results = tuple(array.write(at, column) for array, column in zip(results, columns, strict=True))
            return at + 1, _widened(best, _NO_PATH), _widened(length, 0), results

        blank = tf.fill([tf.size(order), width], _NO_PATH)
        best = tf.concat([tf.zeros([tf.size(order), 1]), blank], 1)
        arrays = tuple(tf.TensorArray(tf.int32, 0, True, infer_shape=False, element_shape=[None]) for _ in range(2))
        state = 0, best, tf.zeros_like(best, tf.int32), arrays
        shapes = tf.TensorShape([]), *[tf.TensorShape([None, None])] * 2, (tf.TensorShape(None),) * 2
        results = tf.while_loop(lambda at, *_: at < longest, advance, state, shape_invariants=shapes)[-1]
        return _traced(lattice, *(array.concat() for array in results))

    def _pieces(self, characters: tf.RaggedTensor, ids: tf.Tensor, lengths: tf.Tensor) -> tuple[Pieces, tf.Tensor]:
        """Add offsets to pieces; consecutive unknown ones become one, unless bytes replace them.

        Returns:
            The pieces, and the first character of each, int32 [pieces].
        """
        point, start, end = tf.unstack(characters.flat_values, axis=1)
        row, first = rows_of(characters), tf.cumsum(lengths, exclusive=True)
        text = tf.gather(row, first)
        opens = tf.gather(characters.row_starts(), text) == tf.cast(first, tf.int64)
        unknown = (ids == self.model.unknown) & (not self.model.byte_fallback)
        kept = ~unknown | ~tf.roll(unknown, 1, 0) | opens
        piece = tf.searchsorted(tf.cumsum(lengths), tf.range(tf.size(point)), side="right")
        group = tf.gather(tf.cumsum(tf.cast(kept, tf.int32)) - 1, piece)
        space = point == self.normalize.mark
        # A space covers nothing, at the start of what follows.
        next_ = tf.minimum(tf.range(tf.size(row, tf.int64)) + 1, tf.gather(characters.row_limits(), row) - 1)
        char_starts = tf.math.segment_min(tf.where(space, tf.gather(start, next_), start), group)
        char_ends = tf.maximum(tf.math.segment_max(tf.where(space, 0, end), group), char_starts)
        first, opens = first[kept], opens[kept]
        suffix = int(self.model.treat_whitespace_as_suffix)
        is_word_start = opens | tf.gather(space, tf.maximum(first - suffix, 0))
        rows = grouped(ids[kept], text[kept], characters.nrows())
        columns = (rows.values, char_starts, char_ends, is_word_start)
        return Pieces(*map(rows.with_values, columns)), tf.gather(point, first)

    def _with_bytes(self, pieces: Pieces, first_characters: tf.Tensor) -> Pieces:
        """Replace each unknown piece by the pieces for the bytes of its character."""
        unknown = pieces.ids.values == self.model.unknown
        spelled = tf.strings.unicode_encode(first_characters[unknown][:, None], "UTF-8")
        ones = tf.ones_like(first_characters)
        counts = tf.tensor_scatter_nd_update(ones, tf.where(unknown), tf.strings.length(spelled))
        repeated = tf.repeat(tf.range(tf.size(counts)), counts)
        values = tf.io.decode_raw(tf.strings.reduce_join(spelled), tf.uint8)
        byte_ids = tf.gather(np.array(self.model.byte_pieces, np.int32), tf.cast(values, tf.int32))
        ids, char_starts, char_ends, is_word_start = (tf.gather(column.values, repeated) for column in pieces)
        ids = tf.tensor_scatter_nd_update(ids, tf.where(tf.gather(unknown, repeated)), byte_ids)
        is_word_start &= tf.ragged.range(counts).values == 0
        text = tf.gather(rows_of(pieces.ids), repeated)
        rows = grouped(ids, text, pieces.ids.nrows())
        return Pieces(*map(rows.with_values, (ids, char_starts, char_ends, is_word_start)))


def _traced(lattice: _Lattice, place: tf.Tensor, length: tf.Tensor) -> tf.RaggedTensor:
    """Follow the best paths back from the ends of segments; see `Unigram._search`.

    Args:
        lattice: Segments and pieces.
        place: int32 [characters], the character, counted through all segments, that `length` belongs to.
        length: int32 [characters], characters of the last piece of the best path that ends with a character.
    """
    ends = tf.cumsum(lattice.lengths)
    at = tf.range(tf.size(place))
    length = tf.scatter_nd(place[:, None], length, tf.shape(place))
    row = tf.searchsorted(ends, at, side="right", out_type=tf.int64)
    inside = at - tf.gather(ends - lattice.lengths, row)
    jump = tf.where(inside < length, tf.size(place), at - length)
    seeds = tf.scatter_nd(ends[:, None] - 1, tf.fill(tf.shape(ends), True), tf.shape(place))
    passed = tf.where(reached(jump, seeds))[:, 0]
    length, row = tf.gather(length, passed), tf.gather(row, passed)
    start = tf.gather(lattice.starts, row) + tf.gather(inside, passed) + 1 - length
    piece = tf.gather_nd(lattice.pieces, tf.stack([start, length - 1], 1))
    return grouped(tf.stack([piece, length], 1), row, tf.size(ends, tf.int64))


def _widened(columns: tf.Tensor, value: float) -> tf.Tensor:
    """Append a column of one value."""
    return tf.pad(columns, [[0, 0], [0, 1]], constant_values=tf.cast(value, columns.dtype))
