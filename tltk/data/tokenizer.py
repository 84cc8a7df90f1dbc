"""The tokenizer of a text model: which of the three ways to cut words it has, and the numbers of its pieces."""

from functools import cache
from typing import Protocol

import numpy as np
import tensorflow as tf

from tltk.data import unicode8
from tltk.data.bytepair import BytePair
from tltk.data.pieces import Pieces
from tltk.data.sentencepiece_file import parse
from tltk.data.trie import rows_of
from tltk.data.unigram import Unigram
from tltk.data.wordpiece import WordPiece
from tltk.specs import TextSpec


class Tokenizer(Protocol):
    """Turns texts, string [batch], into pieces, in a graph."""

    @property
    def tables(self) -> list[tf.lookup.StaticHashTable]:
        """What a SavedModel has to keep track of."""

    def __call__(self, texts: tf.Tensor) -> Pieces: ...


def tokenizer(spec: TextSpec) -> Tokenizer:
    """Build the tokenizer of a model.

    Args:
        spec: its vocabulary, and how it cuts words.

    Returns:
        The tokenizer; it is made of core TensorFlow operations.

    Raises:
        ValueError: if `spec.merges` or `spec.rules` do not go with the vocabulary.

    Example:
        >>> spec = TextSpec(8, ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "cat", "##s"))
        >>> tokenizer(spec)(tf.constant(["Cats"])).ids.to_list()
        [[4, 5]]
    """
    if spec.kind == "wordpiece":
        return WordPiece(spec)
    if spec.kind == "bytepair":
        return _InWords(BytePair(spec.vocabulary, spec.merges, prefix_space=spec.prefix_space))
    return _InWords(_Renumbered(spec))


class _Renumbered:
    """SentencePiece, whose pieces have in the model other numbers than in its file: XLM-RoBERTa's are one higher."""

    def __init__(self, spec: TextSpec) -> None:
        model = parse(spec.rules)
        number = {piece: place for place, piece in reversed(list(enumerate(spec.vocabulary)))}
        missing = [piece for piece, kind in zip(model.pieces, model.kinds, strict=True)
                   if kind in ("normal", "user_defined", "byte") and piece not in number]  # fmt: skip
        if missing:
            raise ValueError(f"the vocabulary lacks {len(missing)} pieces of the SentencePiece model: {missing[:3]}")
        self.cut = Unigram(model)
        unknown = number[spec.unknown]
        self.numbers = np.array([number.get(piece, unknown) for piece in model.pieces], np.int32)
        self.numbers[model.unknown] = unknown

    @property
    def tables(self) -> list[tf.lookup.StaticHashTable]:
        """What a SavedModel has to keep track of."""
        return self.cut.tables

    def __call__(self, texts: tf.Tensor) -> Pieces:
        """Tokenize."""
        found = self.cut(texts)
        return found._replace(ids=tf.gather(self.numbers, found.ids))


class _InWords:
    """Lets words begin at punctuation and ideographs too, and behind them, as BERT has it.

    To SentencePiece a word is what stands between spaces: "Rome." would be an entity, and no answer could end before
    the full stop.
    """

    def __init__(self, cut: Tokenizer) -> None:
        self.cut = cut

    @property
    def tables(self) -> list[tf.lookup.StaticHashTable]:
        """What a SavedModel has to keep track of."""
        return self.cut.tables

    def __call__(self, texts: tf.Tensor) -> Pieces:
        """Tokenize."""
        found = self.cut(texts)
        points = tf.strings.unicode_decode(texts, "UTF-8", errors="replace")
        alone = tf.searchsorted(_edges(), points.flat_values, side="right") % 2 == 1
        alone = tf.concat([alone, [False]], 0)  # a place for pieces that cover nothing
        begins, stops = found.begins.flat_values, found.stops.flat_values
        rows = rows_of(found.begins)
        start = tf.cast(tf.gather(points.row_starts(), rows), tf.int32)
        here = tf.gather(alone, tf.minimum(start + begins, tf.size(alone) - 1))
        before = tf.gather(alone, tf.maximum(start + begins - 1, 0)) & (begins > 0)
        same = rows[1:] == rows[:-1]
        # A piece of some bytes of a character begins no word where another one has begun that character.
        shared = tf.concat([tf.zeros_like(same[:1]), same & (begins[1:] < stops[:-1])], 0)[: tf.size(begins)]
        more = (here | before) & (stops > begins) & ~shared
        return found._replace(firsts=found.firsts.with_flat_values(found.firsts.flat_values | more))


@cache
def _edges() -> np.ndarray:
    """Return where runs of characters that are a word each begin, and where they end, in turn: int32 [2 × runs]."""
    points = sorted({point for each in (*unicode8.PUNCTUATION, *unicode8.CHINESE) for point in each})
    runs = np.split(points, np.flatnonzero(np.diff(points) != 1) + 1)
    return np.array([edge for run in runs for edge in (run[0], run[-1] + 1)], np.int32)
