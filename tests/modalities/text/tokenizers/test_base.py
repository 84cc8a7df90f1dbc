"""What every tokenizer returns: pieces with the characters that they cover, in the order of the text."""

import numpy as np
import pytest
import tensorflow as tf

from tests.modalities.text.tokenizers.test_bytepair import trained
from tests.texts import TOKENIZER
from tltk.modalities.text.tokenizers.base import Pieces
from tltk.modalities.text.tokenizers.bytepair import BytePair
from tltk.modalities.text.tokenizers.sentencepiece_file import SentencePieceModel
from tltk.modalities.text.tokenizers.unigram import Unigram
from tltk.modalities.text.tokenizers.wordpiece import WordPiece

TEXTS = ("", "unlikely good film", "  a \r\n b\x00 ", "👩‍👩‍👧 e\u0301, שלום", "very" * 60, "the  thes")


def unigram():
    kinds = ("unknown", *["normal"] * 7)
    return SentencePieceModel(("<unk>", "▁", "▁the", "▁good", "s", "e", "▁a", "a"), (0.0, *range(-1, -8, -1)), kinds)


@pytest.mark.parametrize(
    "tokenizer",
    [lambda: WordPiece(TOKENIZER), lambda: BytePair(*trained()), lambda: Unigram(unigram())],
    ids=["WordPiece", "BytePair", "Unigram"],
)
def test_every_tokenizer_says_which_characters_each_piece_covers(tokenizer):
    cut = tf.function(tokenizer().__call__, input_signature=[tf.TensorSpec([None], tf.string)])
    found = cut(tf.constant(TEXTS))
    assert isinstance(found, Pieces)
    assert [column.dtype for column in found] == [tf.int32, tf.int32, tf.int32, tf.bool]
    lengths = found.ids.row_lengths().numpy()
    assert all(column.row_lengths().numpy().tolist() == lengths.tolist() for column in found)
    assert lengths[0] == 0 and (lengths[1:] > 0).all()
    for text, begins, stops, firsts in zip(TEXTS[1:], *(column.to_list()[1:] for column in found[1:]), strict=True):
        solid = [stop > begin for begin, stop in zip(begins, stops, strict=True)]
        assert any(firsts[: solid.index(True) + 1]), "a text begins with a word"
        assert all(0 <= begin <= stop <= len(text) for begin, stop in zip(begins, stops, strict=True))
        assert begins == sorted(begins) and stops == sorted(stops)
        covered = np.zeros(len(text), bool)
        for begin, stop in zip(begins, stops, strict=True):
            covered[begin:stop] = True
        bare = [letter for letter, held in zip(text, covered, strict=True) if not held]
        assert all(letter in " \r\n\x00\u0301" or not letter.isprintable() for letter in bare)
    none = cut(tf.constant([], tf.string))
    assert [column.to_list() for column in none] == [[]] * 4
