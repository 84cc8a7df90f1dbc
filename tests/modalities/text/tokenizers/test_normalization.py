import random
from functools import cache

import pytest
import sentencepiece
import tensorflow as tf

from tests.sentencepieces import NAMES, model, reference, texts, train
from tests.texts import FUZZED
from tltk.modalities.text.tokenizers.normalization import Normalization
from tltk.modalities.text.tokenizers.sentencepiece_file import SentencePieceModel, parse


@cache
def compiled(known):
    """Build the normalization as a graph, once for all tests of a model."""
    signature = [tf.TensorSpec([None], tf.string)]
    return tf.function(Normalization(known).__call__, input_signature=signature, autograph=False)


def normalize(known, items):
    return compiled(known)(tf.constant(items, tf.string)).to_list()


def as_text(letters):
    return "".join(chr(point) for point, _, _ in letters)


@pytest.mark.parametrize("name", NAMES)
def test_it_agrees_with_the_reference_on_fuzzed_strings_in_many_scripts(name):
    items = texts(name)
    found = normalize(model(name), items)
    wanted = [reference(name).normalize(text, with_offsets=True) for text in items]
    assert [as_text(letters) for letters in found] == [text for text, _ in wanted]
    assert sum(len(text) for text, _ in wanted) > 25 * FUZZED
    mark = 0x2581
    begins = [[begin for point, begin, _ in letters if point != mark] for letters in found]
    offsets = [[at for letter, at in zip(text, where, strict=False) if letter != chr(mark)] for text, where in wanted]
    assert begins == offsets


@pytest.mark.slow
@pytest.mark.parametrize("name", ["xlm_roberta", "albert"])  # without and with lower case
def test_every_character_of_unicode_becomes_what_it_does_in_the_reference(name):
    items = [f"a{chr(point)}b" for point in range(1, 0x110000) if not 0xD800 <= point <= 0xDFFF]
    items.remove("a\U0010ffffb")  # the sign for bytes that are no text
    found = normalize(model(name), items)
    wanted = reference(name).normalize(items)
    assert [pair for pair in zip(map(as_text, found), wanted, strict=True) if pair[0] != pair[1]] == []


@pytest.mark.parametrize("name", ["xlm_roberta", "symbols", "untouched", "no_mark", "suffix"])
def test_spaces_fall_away_as_in_the_reference(name):
    generator = random.Random(0)
    parts = (*" \t\n\u3000\u2581\u00b4\ufdfa\x01\u200ba", "  ", "bc", "x y", "import os")
    items = ["".join(generator.choices(parts, k=generator.randint(0, 8))) for _ in range(FUZZED)]
    wanted = list(map(reference(name).normalize, items))
    found = [as_text(letters) for letters in normalize(model(name), items)]
    if name == "suffix":
        # Of a text of which nothing is left but spaces the reference makes a mark where marks are suffixes; here it is
        # empty, as it is in the reference where marks are prefixes.
        wanted = ["" if text == "▁" else text for text in wanted]
    assert found == wanted


def test_own_rules_with_spaces_and_of_several_characters_are_followed(tmp_path):
    table = {"a": "  b ", "ab": "", "abc": "x  y", "\u0301": " ", "ñ": "n", "no": "yes", "now": "then"}
    path = tmp_path / "rules.tsv"
    rows = (["".join(f"{ord(letter):X} " for letter in text).strip() for text in row] for row in table.items())
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    data = train(normalization_rule_name="user_defined", normalization_rule_tsv=str(path), vocab_size=1500)
    generator = random.Random(0)
    items = ["".join(generator.choices("abcnowñ \u0301", k=generator.randint(0, 12))) for _ in range(3000)]
    wanted = sentencepiece.SentencePieceProcessor(model_proto=data).normalize(items)
    assert [as_text(letters) for letters in normalize(parse(data), items)] == wanted


def test_a_letter_knows_the_characters_that_it_was_made_of():
    found = normalize(model("xlm_roberta"), ["  Ｈe\u0301 ½"])[0]
    assert found == [
        [0x2581, 2, 2], [ord("H"), 2, 3], [ord("é"), 3, 5],
        [0x2581, 5, 6], [ord("1"), 6, 7], [ord("⁄"), 6, 7], [ord("2"), 6, 7],
    ]  # fmt: skip


def test_spaces_that_are_not_to_be_marked_stay_spaces():
    known = SentencePieceModel(("<unk>",), (0.0,), ("unknown",), escape_whitespaces=False)
    assert as_text(normalize(known, ["  a  b "])[0]) == " a b"


def test_bytes_that_are_no_text_become_the_replacement_character_which_no_rule_touches():
    found = normalize(model("xlm_roberta"), [b"a\xff\xe2\x82b", "a\ufffdb".encode()])
    assert list(map(as_text, found)) == ["▁a\ufffd\ufffdb", "▁a▁b"]


@pytest.mark.parametrize("items", [[], [""], ["", " ", "\t\u3000", "\x01"]])
def test_nothing_stays_nothing(items):
    assert normalize(model("xlm_roberta"), items) == [[] for _ in items]
