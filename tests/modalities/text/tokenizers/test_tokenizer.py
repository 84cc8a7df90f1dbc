"""Each spec gets the tokenizer of its kind, and the numbers of its vocabulary."""

from dataclasses import replace

import pytest
import tensorflow as tf

from tests import families, sentencepieces
from tltk.backbones.text.kerashub_tokenizers import spec_of
from tltk.modalities.text.tokenizers.bytepair import BytePair
from tltk.modalities.text.tokenizers.tokenizer import tokenizer
from tltk.modalities.text.tokenizers.wordpiece import WordPiece

SAID = ["good film", "", "the unlikely film isn't poor — 12 \n", "русский  текст"]


def spec(family):
    return spec_of(families.tokenizer(family), 32, {}).tokenizer


def test_the_kind_says_which():
    assert isinstance(tokenizer(spec("electra")).tokenizer, WordPiece)
    assert isinstance(tokenizer(spec("roberta")).tokenizer, BytePair)
    assert len(tokenizer(spec("albert")).tables) == 2


@pytest.mark.parametrize("family", ["albert", "deberta_v3", "xlm_roberta"])
def test_sentence_pieces_have_the_numbers_that_the_model_s_vocabulary_gives_them(family):
    held = spec(family)
    theirs = families.tokenizer(family)
    found = tokenizer(held)(tf.constant(SAID)).ids.to_list()
    assert found == [list(map(int, theirs(text))) for text in SAID]
    assert any(held.id_of(held.unknown) in row for row in found)


def test_xlm_roberta_s_numbers_are_one_higher_than_its_file_s():
    held = spec("xlm_roberta")
    pieces = sentencepieces.reference("xlm_roberta").encode("good film")
    assert tokenizer(held)(tf.constant(["good film"])).ids.to_list()[0] == [piece + 1 for piece in pieces]


def test_rules_of_another_vocabulary_are_refused():
    held = spec("deberta_v3")
    with pytest.raises(ValueError, match=r"the vocabulary lacks .* pieces of the SentencePiece model"):
        tokenizer(replace(held, sentencepiece_model=sentencepieces.serialized("xlm_roberta")))
    with pytest.raises(ValueError, match=r"SentencePiece|field"):
        tokenizer(replace(held, sentencepiece_model=b"none"))
