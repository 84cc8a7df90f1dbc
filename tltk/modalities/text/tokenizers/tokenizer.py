"""The tokenizer of a text model: which of the three ways to cut words it has, and the numbers of its pieces."""

import numpy as np
import tensorflow as tf

from tltk.modalities.text.tokenizers.base import Pieces, Tokenizer
from tltk.modalities.text.tokenizers.bytepair import BytePair
from tltk.modalities.text.tokenizers.sentencepiece_file import parse
from tltk.modalities.text.tokenizers.unigram import Unigram
from tltk.modalities.text.tokenizers.wordpiece import WordPiece
from tltk.modalities.text.word_boundaries import InWords
from tltk.specs import TokenizerSpec


def tokenizer(spec: TokenizerSpec) -> Tokenizer:
    """Build the tokenizer of a model.

    Args:
        spec: its vocabulary, and how it cuts words.

    Returns:
        The tokenizer; it is made of core TensorFlow operations.

    Raises:
        ValueError: if `spec.merges` or `spec.sentencepiece_model` do not go with the vocabulary.

    Example:
        >>> spec = TokenizerSpec("wordpiece", ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "cat", "##s"))
        >>> tokenizer(spec)(tf.constant(["Cats"])).ids.to_list()
        [[4, 5]]
    """
    if spec.type == "wordpiece":
        return InWords(WordPiece(spec))
    if spec.type == "bytepair":
        return InWords(BytePair(spec.vocabulary, spec.merges, add_prefix_space=spec.add_prefix_space))
    return InWords(_Renumbered(spec))


class _Renumbered:
    """SentencePiece, whose pieces have in the model other numbers than in its file: XLM-RoBERTa's are one higher."""

    def __init__(self, spec: TokenizerSpec) -> None:
        model = parse(spec.sentencepiece_model)
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
