"""SentencePiece's normalization, as a graph: character sequences are replaced, spaces become "▁".

Follows google/sentencepiece, normalizer.cc. At each position a user-defined symbol of the model is left unchanged;
otherwise the longest sequence that has a rule is replaced; otherwise a character is kept.
"""

import numpy as np
import tensorflow as tf

from tltk.modalities.text.ragged import grouped, rows_of
from tltk.modalities.text.tokenizers.sentencepiece_file import SentencePieceModel, normalization_rules
from tltk.modalities.text.tokenizers.trie import Trie, covered, reached

MARK = 0x2581  # "▁", which stands for a space
_SPACE, _ITSELF = 0x20, -1
_MALFORMED = 0x10FFFF  # not a character: stands for invalid bytes, which become U+FFFD whatever the rules


class Normalization:
    """Normalizes texts to the characters of the vocabulary, as a graph.

    Args:
        model: Rules, user-defined symbols, and the treatment of spaces.
    """

    def __init__(self, model: SentencePieceModel) -> None:
        self.model = model
        self.mark = MARK if model.escape_whitespaces else _SPACE
        replacements = {chr(_MALFORMED): "\ufffd"} | normalization_rules(model.charsmap)
        symbols = [piece for piece, type_ in zip(model.pieces, model.types, strict=True) if type_ == "user_defined"]
        outputs = list(dict.fromkeys(replacements.values()))
        ids = {text: id_ for id_, text in enumerate(outputs, 1)}
        self.first_symbol = 1 + len(outputs)
        symbol_ids = {symbol: id_ for id_, symbol in enumerate(symbols, self.first_symbol)}
        self.trie = Trie({key: ids[text] for key, text in replacements.items()} | symbol_ids)
        outputs += symbols
        self.points = np.array([_ITSELF, *map(ord, "".join(outputs))], np.int32)
        self.row_lengths = np.array([1, *map(len, outputs)], np.int64)

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Normalize.

        Args:
            texts: string [batch], UTF-8; invalid bytes are replaced by U+FFFD.

        Returns:
            int32 [batch, (characters), 3]: the code point of a normalized character, and the start and end offset
            (exclusive) of the characters of the text it was made from.
        """
        points = tf.strings.unicode_decode(texts, "UTF-8", errors="replace", replacement_char=_MALFORMED)
        flat, at = points.flat_values, tf.range(tf.size(points.flat_values))
        length, replacement = self._longest(points)
        units = tf.where(reached(at + length, ~covered(at, length, tf.size(flat))))[:, 0]
        table = tf.RaggedTensor.from_row_lengths(self.points, self.row_lengths, validate=False)
        outputs = tf.gather(table, tf.gather(replacement, units))
        row = rows_of(outputs)
        unit = tf.gather(units, row)
        text = tf.gather(rows_of(points), unit)
        point = tf.where(outputs.flat_values == _ITSELF, tf.gather(flat, unit), outputs.flat_values)
        start = tf.cast(unit - tf.gather(points.row_starts(), text), tf.int32)
        characters = tf.stack([point, start, start + tf.gather(length, unit)], 1)
        return self._marked(characters, text, tf.gather(outputs.row_starts(), row), points.row_lengths())

    def _longest(self, points: tf.RaggedTensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return how many characters are replaced at each, int32 [n], and the id of the replacement, int64 [n]."""
        starts, length, id_ = self.trie.matches(points)
        symbol = tf.cast(id_ >= self.first_symbol, tf.int64)
        rank = symbol * 2**60 + tf.cast(length, tf.int64) * 2**32 + tf.cast(id_, tf.int64)
        best = tf.maximum(tf.math.unsorted_segment_max(rank, starts, tf.size(points.flat_values)), 2**32)
        return tf.cast(best // 2**32 % 2**28, tf.int32), best % 2**32

    def _marked(self, characters: tf.Tensor, text: tf.Tensor, first: tf.Tensor, sizes: tf.Tensor) -> tf.RaggedTensor:
        """Remove extra spaces, replace the others by marks, and add one mark to each text.

        Args:
            characters: int32 [characters, 3], as in `__call__`.
            text: int64 [characters], the text of each.
            first: int64 [characters], the first character made by the same replacement.
            sizes: int64 [batch], characters of each text.
        """
        space, at = characters[:, 0] == _SPACE, tf.range(tf.size(text, tf.int64))
        marked = tf.where(space, self.mark, characters[:, 0])
        characters, filled = tf.concat([marked[:, None], characters[:, 1:]], 1), sizes > 0
        if self.model.remove_extra_whitespaces:
            # Spaces at the start of a replacement are removed after a space or nothing; those within are kept.
            solid = tf.cumsum(tf.cast(~space, tf.int32), exclusive=True)
            before = tf.maximum(first - 1, 0)
            opens = (first == 0) | (tf.gather(text, before) != text) | tf.gather(space, before)
            extra = space & opens & (solid == tf.gather(solid, first))
            last = tf.math.unsorted_segment_max(tf.where(marked != self.mark, at, -1), text, tf.size(sizes))
            kept = ~extra & (at <= tf.gather(last, text))
            characters, text, filled = characters[kept], text[kept], last >= 0
        rows = grouped(characters, text, tf.size(sizes, tf.int64))
        if not self.model.add_dummy_prefix:
            return rows
        suffix = self.model.treat_whitespace_as_suffix
        edge = tf.maximum(tf.reduce_max(rows[:, -1:, 2] if suffix else rows[:, :1, 1], 1), 0)
        dummy = tf.stack([tf.fill(tf.shape(edge), self.mark), edge, edge], 1)[filled]
        dummies = tf.RaggedTensor.from_row_lengths(dummy, tf.cast(filled, tf.int64), validate=False)
        return tf.concat([rows, dummies] if suffix else [dummies, rows], 1)
