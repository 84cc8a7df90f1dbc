"""The tokenizer of a text model, built from its spec."""

from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import tensorflow as tf

from tltk.foundation.errors import InvalidInput
from tltk.modalities.text.tokenizers.base import Pieces, Tokenizer
from tltk.modalities.text.tokenizers.bytepair import BytePair
from tltk.modalities.text.tokenizers.sentencepiece_file import parse
from tltk.modalities.text.tokenizers.unigram import Unigram
from tltk.modalities.text.tokenizers.wordpiece import WordPiece
from tltk.modalities.text.word_boundaries import WordAligned
from tltk.specs import TokenizerSpec


@lru_cache(maxsize=4)
def tokenizer(spec: TokenizerSpec) -> Tokenizer:
    """Build a tokenizer from core TensorFlow operations; its graph is traced once for all models that use it.

    Args:
        spec: Type, vocabulary and settings.

    Returns:
        The tokenizer.

    Raises:
        InvalidInput: If `spec.merges` or `spec.sentencepiece_model` do not match the vocabulary.

    Examples:
        >>> spec = TokenizerSpec("wordpiece", ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "cat", "##s"))
        >>> tokenizer(spec)(tf.constant(["Cats"])).ids.to_list()
        [[4, 5]]
    """
    if spec.type == "wordpiece":
        return _Traced(WordAligned(WordPiece(spec)))
    if spec.type == "bytepair":
        return _Traced(WordAligned(BytePair(spec.vocabulary, spec.merges, add_prefix_space=spec.add_prefix_space)))
    return _Traced(WordAligned(_Renumbered(spec)))


class _Traced:
    """A tokenizer as one graph, which takes seconds to trace: once for both texts of a pair and all signatures."""

    def __init__(self, tokenize: Tokenizer) -> None:
        self.tokenizer = tokenize

    @property
    def tables(self) -> list[tf.lookup.StaticHashTable]:
        """Lookup tables that a SavedModel must track."""
        return self.tokenizer.tables

    @cached_property
    def _graph(self) -> Any:
        with tf.init_scope():  # the first call may come from a graph, the next ones from others
            run = tf.function(self.tokenizer, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
            return run.get_concrete_function()

    def __call__(self, texts: tf.Tensor) -> Pieces:
        """Tokenize."""
        return Pieces(*self._graph(texts))


class _Renumbered:
    """SentencePiece with the ids of the model's vocabulary, not of its file: XLM-RoBERTa's are one higher."""

    def __init__(self, spec: TokenizerSpec) -> None:
        model = parse(spec.sentencepiece_model)
        ids = {piece: id_ for id_, piece in reversed(list(enumerate(spec.vocabulary)))}
        missing = [piece for piece, type_ in zip(model.pieces, model.types, strict=True)
                   if type_ in ("normal", "user_defined", "byte") and piece not in ids]  # fmt: skip
        if missing:
            raise InvalidInput(f"the vocabulary lacks {len(missing)} pieces of the SentencePiece model: {missing[:3]}")
        self.tokenizer = Unigram(model)
        unknown = ids[spec.unknown]
        self.ids = np.array([ids.get(piece, unknown) for piece in model.pieces], np.int32)
        self.ids[model.unknown] = unknown

    @property
    def tables(self) -> list[tf.lookup.StaticHashTable]:
        """Lookup tables that a SavedModel must track."""
        return self.tokenizer.tables

    def __call__(self, texts: tf.Tensor) -> Pieces:
        """Tokenize."""
        pieces = self.tokenizer(texts)
        return pieces._replace(ids=tf.gather(self.ids, pieces.ids))
