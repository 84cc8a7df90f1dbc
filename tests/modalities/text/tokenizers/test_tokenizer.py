"""Each spec gets the tokenizer of its kind, and the numbers of its vocabulary."""

from dataclasses import replace

import pytest
import tensorflow as tf

from tests import families, sentencepieces
from tltk.backbones.text.kerashub_tokenizers import spec_of
from tltk.data.formats.arrays import from_arrays
from tltk.modalities.text.encoding import encoded
from tltk.modalities.text.tokenizers.bytepair import BytePair
from tltk.modalities.text.tokenizers.tokenizer import tokenizer
from tltk.modalities.text.tokenizers.wordpiece import WordPiece
from tltk.serving.signatures import request_reader
from tltk.specs import TextSpec, TokenizerSpec

SAID = ["good film", "", "the unlikely film isn't poor — 12 \n", "русский  текст"]


def spec(family):
    return spec_of(families.tokenizer(family), 32, {}).tokenizer


def test_the_kind_says_which():
    assert isinstance(tokenizer(spec("electra")).tokenizer.tokenizer, WordPiece)
    assert isinstance(tokenizer(spec("roberta")).tokenizer.tokenizer, BytePair)
    assert len(tokenizer(spec("albert")).tables) == 2


def test_a_tokenizer_is_traced_once_for_texts_pairs_and_the_signatures_of_an_export(monkeypatch):
    traces, original = [], WordPiece.__call__
    monkeypatch.setattr(WordPiece, "__call__", lambda self, texts: traces.append(texts) or original(self, texts))
    texts = TextSpec(TokenizerSpec("wordpiece", ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "traced", "once")), 12)
    pairs = replace(texts, pairs=True, overlap=2)
    ids = encoded(from_arrays(["traced once", "once"]), texts).ids
    assert ids.tolist() == [2, 4, 5, 3, 2, 5, 3]
    assert encoded(from_arrays([("traced", "once")]), pairs).ids.tolist() == [2, 4, 3, 5, 3]
    for spec_ in (texts, pairs):
        request = request_reader(spec_)[0](*[tf.constant(["traced once"])] * (1 + spec_.pairs))
        assert request.inputs[0, :4].numpy().tolist() == [2, 4, 5, 3]
    assert len(traces) == 1


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
