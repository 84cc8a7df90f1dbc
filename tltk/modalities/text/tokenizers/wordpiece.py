"""WordPiece from core TensorFlow operations: the same graph tokenizes in tf.data and in a SavedModel.

Follows the BERT tokenizer of Devlin et al. 2018 (google-research/bert, tokenization.py) as Hugging Face's `tokenizers`
implements it. Words depend on single characters and spaces alone, so that a table of characters and a greedy search are
all there is.
"""

import unicodedata
from functools import cache

import numpy as np
import tensorflow as tf

from tltk.modalities.text.ragged import grouped, rows_of
from tltk.modalities.text.tokenizers import unicode_bert
from tltk.modalities.text.tokenizers.base import Pieces
from tltk.specs import TokenizerSpec

_MAX_WORD = 100  # characters; a longer word is unknown
_SPACE, _ITSELF = 0x20, -1
_CONTINUES = "##"
_MARKS, _CONTROLS, _PUNCTUATION = (
    frozenset(point for points in ranges for point in points)
    for ranges in (unicode_bert.MARKS, unicode_bert.CONTROLS, unicode_bert.PUNCTUATION)
)


class WordPiece:
    """Turns texts into token ids, as a graph.

    Args:
        spec: Vocabulary, and whether texts are lowercased and accents stripped.
    """

    def __init__(self, spec: TokenizerSpec) -> None:
        self.spec = spec
        self.longest = max(len(token.removeprefix(_CONTINUES)) for token in spec.vocabulary)
        keys, values = tf.constant(spec.vocabulary), tf.range(len(spec.vocabulary), dtype=tf.int32)
        self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), -1)
        self.starts, self.rows, self.row_lengths, self.flat_rows = _replacements(spec.lowercase, spec.strip_accents)

    @property
    def tables(self) -> list[tf.lookup.StaticHashTable]:
        """Lookup tables that a SavedModel must track."""
        return [self.table]

    def __call__(self, texts: tf.Tensor) -> Pieces:
        """Tokenize.

        Args:
            texts: string [batch], UTF-8; invalid bytes are dropped.

        Returns:
            Tokens, without special tokens. A word that cannot be built from the vocabulary is one unknown token.
        """
        words, origins = self._words(texts)
        distinct, index = tf.unique(words.flat_values)
        ids, lengths = (tf.gather(column, index) for column in self._search(distinct))
        # The letters of all words, concatenated, are those of `origins`.
        letters = lengths.flat_values
        first = tf.cumsum(letters, exclusive=True)
        columns = (
            ids.flat_values,
            tf.gather(origins, first),
            tf.gather(origins, first + letters - 1) + 1,
            tf.ragged.range(ids.row_lengths()).flat_values == 0,
        )
        return Pieces(*(words.with_flat_values(ids.with_flat_values(column)).merge_dims(1, 2) for column in columns))

    def words(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Clean texts and split them at spaces, around punctuation and ideographs: string [batch, (words)]."""
        return self._words(texts)[0]

    def _words(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """Return the words, and for each of their letters the offset of the character it was made from."""
        points = tf.strings.unicode_decode(texts, "UTF-8", errors="replace")
        run = tf.searchsorted(self.starts, points.flat_values, side="right") - 1
        rows = tf.RaggedTensor.from_row_lengths(self.flat_rows, self.row_lengths, validate=False)
        replaced = tf.gather(rows, tf.gather(self.rows, run))
        origin = rows_of(replaced)
        itself = tf.gather(points.flat_values, origin)
        offset = tf.gather(tf.ragged.range(points.row_lengths()).flat_values, origin)
        letters = replaced.with_flat_values(tf.where(replaced.flat_values == _ITSELF, itself, replaced.flat_values))
        letters = points.with_flat_values(letters).merge_dims(1, 2)
        return _split(letters), tf.boolean_mask(tf.cast(offset, tf.int32), letters.flat_values != _SPACE)

    def _search(self, words: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Take the longest matching token of each word, again and again; a word with an unmatched rest is unknown.

        Args:
            words: string [words].

        Returns:
            int32 [words, (tokens)] twice: ids, and letters of each token.
        """
        lengths = tf.strings.length(words, unit="UTF8_CHAR")
        candidates = tf.range(1, self.longest + 1)
        index = tf.cast(tf.where(lengths <= _MAX_WORD)[:, 0], tf.int32)

        def step(at: tf.Tensor, index: tf.Tensor, tokens: tf.Tensor, is_known: tf.Tensor) -> tuple:
            rest = (tf.gather(lengths, index) - at)[:, None]
            wide = tf.minimum(candidates[None], rest)
            part = tf.strings.substr(tf.gather(words, index)[:, None], at[:, None] + 0 * wide, wide, unit="UTF8_CHAR")
            id_ = self.table.lookup(tf.where(at[:, None] > 0, _CONTINUES + part, part))
            taken = tf.reduce_max(tf.where((id_ >= 0) & (candidates[None] <= rest), candidates[None], 0), 1)
            fits = taken > 0
            id_ = tf.gather(id_, tf.maximum(taken - 1, 0), batch_dims=1)
            tokens = tf.concat([tokens, tf.boolean_mask(tf.stack([index, id_, taken]), fits, axis=1)], 1)
            is_known = tf.tensor_scatter_nd_update(is_known, index[:, None], fits)
            unfinished = fits & (taken < rest[:, 0])
            return tf.boolean_mask(at + taken, unfinished), tf.boolean_mask(index, unfinished), tokens, is_known

        shapes = tuple(map(tf.TensorShape, ([None], [None], [3, None], [None])))
        start = (tf.zeros_like(index), index, tf.zeros([3, 0], tf.int32), lengths <= _MAX_WORD)
        _, _, tokens, is_known = tf.while_loop(lambda at, *_: tf.size(at) > 0, step, start, shape_invariants=shapes)
        unknown = tf.cast(tf.where(~is_known)[:, 0], tf.int32)
        unknown_id = tf.fill(tf.shape(unknown), self.spec.id_of(self.spec.unknown))
        replaced = tf.stack([unknown, unknown_id, tf.gather(lengths, unknown)])
        tokens = tf.concat([tf.boolean_mask(tokens, tf.gather(is_known, tokens[0]), axis=1), replaced], 1)
        tokens = tf.gather(tokens, tf.argsort(tokens[0], stable=True), axis=1)
        ids = grouped(tokens[1], tf.cast(tokens[0], tf.int64), tf.size(words, tf.int64))
        return ids, ids.with_flat_values(tokens[2])


def _split(letters: tf.RaggedTensor) -> tf.RaggedTensor:
    """Join code points between spaces to words: string [batch, (words)]."""
    flat, row = letters.flat_values, rows_of(letters)
    solid = flat != _SPACE
    continues = tf.concat([[False], solid[:-1] & (row[:-1] == row[1:])], 0)
    starts = solid & ~continues
    word = tf.cumsum(tf.cast(starts, tf.int64)) - 1
    count = tf.reduce_sum(tf.cast(starts, tf.int64))
    words = grouped(tf.boolean_mask(flat, solid), tf.boolean_mask(word, solid), count)
    text = tf.strings.unicode_encode(words, "UTF-8")
    return grouped(text, tf.boolean_mask(row, starts), letters.nrows())


@cache
def _replacements(lowercase: bool, strip_accents: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Tell what replaces each character of Unicode.

    Returns:
        Where each run of characters with the same row starts, int32; the row of each run, int32; the length of each
        row, int64; and all rows concatenated, int32 code points with -1 for the character itself.
    """
    starts: list[int] = []
    rows: list[int] = []
    row_ids: dict[tuple[int, ...], int] = {}
    last = None
    # Planes 4 to 13 are empty, and of the last three only the edges of classes matter.
    classes = (*unicode_bert.CONTROLS, *unicode_bert.MARKS)
    edges = sorted({point for points in classes for point in (points.start, points.stop)})
    for point in (*range(0x40000), *(edge for edge in edges if 0x40000 <= edge < 0x110000)):
        row = _replacement(point, lowercase=lowercase, strip_accents=strip_accents)
        if row != last:
            starts.append(point)
            rows.append(row_ids.setdefault(row, len(row_ids)))
            last = row
    flat = np.array([point for row in row_ids for point in row], np.int32)
    return np.array(starts, np.int32), np.array(rows, np.int32), np.array([len(row) for row in row_ids], np.int64), flat


def _replacement(point: int, *, lowercase: bool, strip_accents: bool) -> tuple[int, ...]:
    """Return the code points that replace one, with spaces where words are split and -1 for itself."""
    letter = chr(point)
    if point in _CONTROLS:
        return ()
    if letter.isspace():
        return (_SPACE,)
    if any(point in points for points in unicode_bert.CHINESE):
        # Compatibility ideographs decompose to one unified ideograph each.
        decomposed = unicodedata.normalize("NFD", letter) if strip_accents else letter
        return (_SPACE, *(_ITSELF if part == letter else ord(part) for part in decomposed), _SPACE)
    if strip_accents:
        letter = "".join(part for part in unicodedata.normalize("NFD", letter) if ord(part) not in _MARKS)
    letter = "".join(part.lower() for part in letter) if lowercase else letter
    points: list[int] = []
    for part in letter:
        kept = _ITSELF if part == chr(point) else ord(part)
        points += [_SPACE, kept, _SPACE] if ord(part) in _PUNCTUATION else [kept]
    return tuple(points)
