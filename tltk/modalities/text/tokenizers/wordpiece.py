"""WordPiece out of core TensorFlow operations: the same graph tokenizes in tf.data and in a SavedModel.

Follows the BERT tokenizer of Devlin et al. 2018 (google-research/bert, tokenization.py) as Hugging Face's `tokenizers`
implements it: what it makes of a text depends on single characters and spaces alone, so that a table of characters and
a greedy search are all there is.
"""

import unicodedata
from functools import cache

import numpy as np
import tensorflow as tf

from tltk.modalities.text.tokenizers import unicode_bert as unicode8
from tltk.modalities.text.tokenizers.base import Pieces
from tltk.modalities.text.tokenizers.trie import grouped, rows_of
from tltk.specs import TokenizerSpec

_MAX_WORD = 100  # characters; a longer word is unknown
_SPACE, _ITSELF = 0x20, -1
_CONTINUES = "##"
_MARKS, _CONTROLS, _PUNCTUATION = (
    frozenset(point for each in ranges for point in each)
    for ranges in (unicode8.MARKS, unicode8.CONTROLS, unicode8.PUNCTUATION)
)


class WordPiece:
    """Turns texts into numbers of a vocabulary, as a graph.

    Args:
        spec: vocabulary and treatment of letters.
    """

    def __init__(self, spec: TokenizerSpec) -> None:
        self.spec = spec
        self.longest = max(len(piece.removeprefix(_CONTINUES)) for piece in spec.vocabulary)
        keys, values = tf.constant(spec.vocabulary), tf.range(len(spec.vocabulary), dtype=tf.int32)
        self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), -1)
        self.starts, self.rows, self.row_lengths, self.flat_rows = _characters(spec.lowercase, spec.strip_accents)

    @property
    def tables(self) -> list[tf.lookup.StaticHashTable]:
        """What a SavedModel has to keep track of."""
        return [self.table]

    def __call__(self, texts: tf.Tensor) -> Pieces:
        """Tokenize.

        Args:
            texts: string [batch], UTF-8; bytes that are none count as nothing.

        Returns:
            The pieces, without special tokens. A word that is in no way in the vocabulary is one piece.
        """
        words, origins = self._words(texts)
        each, back = tf.unique(words.flat_values)
        ids, letters = (tf.gather(found, back) for found in self._search(each))
        # The letters of all words, one after the other, are those of `origins`.
        taken = letters.flat_values
        begins = tf.cumsum(taken, exclusive=True)
        columns = (
            ids.flat_values,
            tf.gather(origins, begins),
            tf.gather(origins, begins + taken - 1) + 1,
            tf.ragged.range(ids.row_lengths()).flat_values == 0,
        )
        return Pieces(*(words.with_flat_values(ids.with_flat_values(column)).merge_dims(1, 2) for column in columns))

    def words(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Clean texts and cut them at spaces, around punctuation and around Chinese characters: string [batch, (n)]."""
        return self._words(texts)[0]

    def _words(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """Return the words, and for each of their letters the number of the character that it was."""
        points = tf.strings.unicode_decode(texts, "UTF-8", errors="replace")
        run = tf.searchsorted(self.starts, points.flat_values, side="right") - 1
        rows = tf.RaggedTensor.from_row_lengths(self.flat_rows, self.row_lengths, validate=False)
        made = tf.gather(rows, tf.gather(self.rows, run))
        origin = rows_of(made)
        itself = tf.gather(points.flat_values, origin)
        number = tf.gather(tf.ragged.range(points.row_lengths()).flat_values, origin)
        letters = made.with_flat_values(tf.where(made.flat_values == _ITSELF, itself, made.flat_values))
        letters = points.with_flat_values(letters).merge_dims(1, 2)
        return _cut(letters), tf.boolean_mask(tf.cast(number, tf.int32), letters.flat_values != _SPACE)

    def _search(self, words: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Take the longest known piece of each word, again and again; a word with an unknown rest is unknown.

        Returns:
            int32 [words, (pieces)] twice: numbers of the pieces, and how many letters each takes.
        """
        lengths = tf.strings.length(words, unit="UTF8_CHAR")
        candidates = tf.range(1, self.longest + 1)
        begin = tf.cast(tf.where(lengths <= _MAX_WORD)[:, 0], tf.int32)

        def step(at: tf.Tensor, index: tf.Tensor, found: tf.Tensor, known: tf.Tensor) -> tuple:
            rest = (tf.gather(lengths, index) - at)[:, None]
            wide = tf.minimum(candidates[None], rest)
            part = tf.strings.substr(tf.gather(words, index)[:, None], at[:, None] + 0 * wide, wide, unit="UTF8_CHAR")
            number = self.table.lookup(tf.where(at[:, None] > 0, _CONTINUES + part, part))
            taken = tf.reduce_max(tf.where((number >= 0) & (candidates[None] <= rest), candidates[None], 0), 1)
            fits = taken > 0
            number = tf.gather(number, tf.maximum(taken - 1, 0), batch_dims=1)
            found = tf.concat([found, tf.boolean_mask(tf.stack([index, number, taken]), fits, axis=1)], 1)
            known = tf.tensor_scatter_nd_update(known, index[:, None], fits)
            goes_on = fits & (taken < rest[:, 0])
            return tf.boolean_mask(at + taken, goes_on), tf.boolean_mask(index, goes_on), found, known

        shapes = tuple(map(tf.TensorShape, ([None], [None], [3, None], [None])))
        start = (tf.zeros_like(begin), begin, tf.zeros([3, 0], tf.int32), lengths <= _MAX_WORD)
        _, _, found, known = tf.while_loop(lambda at, *_: tf.size(at) > 0, step, start, shape_invariants=shapes)
        unknown = tf.cast(tf.where(~known)[:, 0], tf.int32)
        number = tf.fill(tf.shape(unknown), self.spec.id_of(self.spec.unknown))
        marks = tf.stack([unknown, number, tf.gather(lengths, unknown)])
        every = tf.concat([tf.boolean_mask(found, tf.gather(known, found[0]), axis=1), marks], 1)
        every = tf.gather(every, tf.argsort(every[0], stable=True), axis=1)
        ids = grouped(every[1], tf.cast(every[0], tf.int64), tf.size(words, tf.int64))
        return ids, ids.with_flat_values(every[2])


def _cut(letters: tf.RaggedTensor) -> tf.RaggedTensor:
    """Make words of code points between spaces."""
    flat, row = letters.flat_values, rows_of(letters)
    solid = flat != _SPACE
    before = tf.concat([[False], solid[:-1] & (row[:-1] == row[1:])], 0)
    begins = solid & ~before
    number = tf.cumsum(tf.cast(begins, tf.int64)) - 1
    count = tf.reduce_sum(tf.cast(begins, tf.int64))
    words = grouped(tf.boolean_mask(flat, solid), tf.boolean_mask(number, solid), count)
    text = tf.strings.unicode_encode(words, "UTF-8")
    return grouped(text, tf.boolean_mask(row, begins), letters.nrows())


@cache
def _characters(lowercase: bool, strip_accents: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Tell what becomes of each character of Unicode.

    Returns:
        Where each run of characters that fare alike begins, int32; which row it has, int32; the length of each row,
        int64; and all rows one after the other, int32 code points with -1 for the character itself.
    """
    starts: list[int] = []
    rows: list[int] = []
    known: dict[tuple[int, ...], int] = {}
    last = None
    # Planes 4 to 13 are empty, and of the last three only where classes begin and end matters.
    classes = (*unicode8.CONTROLS, *unicode8.MARKS)
    edges = sorted({point for each in classes for point in (each.start, each.stop)})
    for point in (*range(0x40000), *(edge for edge in edges if 0x40000 <= edge < 0x110000)):
        row = _becomes(point, lowercase=lowercase, strip_accents=strip_accents)
        if row != last:
            starts.append(point)
            rows.append(known.setdefault(row, len(known)))
            last = row
    flat = np.array([point for row in known for point in row], np.int32)
    return np.array(starts, np.int32), np.array(rows, np.int32), np.array([len(row) for row in known], np.int64), flat


def _becomes(point: int, *, lowercase: bool, strip_accents: bool) -> tuple[int, ...]:
    """Return the code points that one becomes, with spaces where words are cut and -1 for itself."""
    letter = chr(point)
    if point in _CONTROLS:
        return ()
    if letter.isspace():
        return (_SPACE,)
    if any(point in each for each in unicode8.CHINESE):
        # Compatibility ideographs decompose to one plain ideograph each.
        plain = unicodedata.normalize("NFD", letter) if strip_accents else letter
        return (_SPACE, *(_ITSELF if part == letter else ord(part) for part in plain), _SPACE)
    if strip_accents:
        letter = "".join(part for part in unicodedata.normalize("NFD", letter) if ord(part) not in _MARKS)
    letter = "".join(part.lower() for part in letter) if lowercase else letter
    found: list[int] = []
    for part in letter:
        shown = _ITSELF if part == chr(point) else ord(part)
        found += [_SPACE, shown, _SPACE] if ord(part) in _PUNCTUATION else [shown]
    return tuple(found)
