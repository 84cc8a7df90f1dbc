"""Normalization as SentencePiece does it, as a graph: sequences of characters are replaced, spaces become marks.

Follows google/sentencepiece, normalizer.cc. At each place a symbol that the model's user has defined is left as it is;
else the longest sequence that a rule is for is replaced; else a character stays itself.
"""

import numpy as np
import tensorflow as tf

from tltk.modalities.text.tokenizers.sentencepiece_file import SentencePieceModel, rules
from tltk.modalities.text.tokenizers.trie import Trie, grouped, reached, rows_of, spanned

MARK = 0x2581  # "▁", which stands for a space
_SPACE, _ITSELF = 0x20, -1
_MALFORMED = 0x10FFFF  # no character: stands for bytes that are no text, which become U+FFFD whatever the rules


class Normalization:
    """Turns texts into the letters that pieces are made of, as a graph.

    Args:
        model: rules, symbols and what becomes of spaces.
    """

    def __init__(self, model: SentencePieceModel) -> None:
        self.model = model
        self.mark = MARK if model.escape_whitespaces else _SPACE
        replaced = {chr(_MALFORMED): "\ufffd"} | rules(model.charsmap)
        symbols = [piece for piece, kind in zip(model.pieces, model.kinds, strict=True) if kind == "user_defined"]
        rows = list(dict.fromkeys(replaced.values()))
        numbers = {text: number for number, text in enumerate(rows, 1)}
        self.first_symbol = 1 + len(rows)
        copied = {symbol: number for number, symbol in enumerate(symbols, self.first_symbol)}
        self.trie = Trie({key: numbers[text] for key, text in replaced.items()} | copied)
        rows += symbols
        self.letters = np.array([_ITSELF, *map(ord, "".join(rows))], np.int32)
        self.row_lengths = np.array([1, *map(len, rows)], np.int64)

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Normalize.

        Args:
            texts: string [batch], UTF-8; bytes that are none become U+FFFD.

        Returns:
            int32 [batch, (letters), 3]: a letter's code point, and the characters of the text, from the first to the
            one behind the last, that it was made of.
        """
        points = tf.strings.unicode_decode(texts, "UTF-8", errors="replace", replacement_char=_MALFORMED)
        flat, at = points.flat_values, tf.range(tf.size(points.flat_values))
        length, number = self._longest(points)
        units = tf.where(reached(at + length, ~spanned(at, length, tf.size(flat))))[:, 0]
        table = tf.RaggedTensor.from_row_lengths(self.letters, self.row_lengths, validate=False)
        made = tf.gather(table, tf.gather(number, units))
        which = rows_of(made)
        unit = tf.gather(units, which)
        text = tf.gather(rows_of(points), unit)
        letter = tf.where(made.flat_values == _ITSELF, tf.gather(flat, unit), made.flat_values)
        begin = tf.cast(unit - tf.gather(points.row_starts(), text), tf.int32)
        letters = tf.stack([letter, begin, begin + tf.gather(length, unit)], 1)
        return self._marked(letters, text, tf.gather(made.row_starts(), which), points.row_lengths())

    def _longest(self, points: tf.RaggedTensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return how many characters are replaced at each, int32 [n], and which replacement they get, int64 [n]."""
        where, length, number = self.trie.matches(points)
        symbol = tf.cast(number >= self.first_symbol, tf.int64)
        rank = symbol * 2**60 + tf.cast(length, tf.int64) * 2**32 + tf.cast(number, tf.int64)
        best = tf.maximum(tf.math.unsorted_segment_max(rank, where, tf.size(points.flat_values)), 2**32)
        return tf.cast(best // 2**32 % 2**28, tf.int32), best % 2**32

    def _marked(self, letters: tf.Tensor, text: tf.Tensor, first: tf.Tensor, sizes: tf.Tensor) -> tf.RaggedTensor:
        """Leave out the spaces that do not count, make marks of the others, and add one to each text.

        Args:
            letters: int32 [letters, 3], as of `__call__`.
            text: int64 [letters], the number of each letter's text.
            first: int64 [letters], the first letter that came of the same characters.
            sizes: int64 [batch], characters of each text.
        """
        space, at = letters[:, 0] == _SPACE, tf.range(tf.size(text, tf.int64))
        marked = tf.where(space, self.mark, letters[:, 0])
        letters, some = tf.concat([marked[:, None], letters[:, 1:]], 1), sizes > 0
        if self.model.remove_extra_whitespaces:
            # Spaces at the head of a replacement go where a space, or nothing, is before it; those within stay.
            solid = tf.cumsum(tf.cast(~space, tf.int32), exclusive=True)
            before = tf.maximum(first - 1, 0)
            opens = (first == 0) | (tf.gather(text, before) != text) | tf.gather(space, before)
            extra = space & opens & (solid == tf.gather(solid, first))
            last = tf.math.unsorted_segment_max(tf.where(marked != self.mark, at, -1), text, tf.size(sizes))
            kept = ~extra & (at <= tf.gather(last, text))
            letters, text, some = letters[kept], text[kept], last >= 0
        rows = grouped(letters, text, tf.size(sizes, tf.int64))
        if not self.model.add_dummy_prefix:
            return rows
        suffix = self.model.treat_whitespace_as_suffix
        edge = tf.maximum(tf.reduce_max(rows[:, -1:, 2] if suffix else rows[:, :1, 1], 1), 0)
        dummy = tf.stack([tf.fill(tf.shape(edge), self.mark), edge, edge], 1)[some]
        dummies = tf.RaggedTensor.from_row_lengths(dummy, tf.cast(some, tf.int64), validate=False)
        return tf.concat([rows, dummies] if suffix else [dummies, rows], 1)
