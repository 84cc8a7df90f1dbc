"""Arguments of `tltk predict` become a source."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.texts import TEXTS
from tltk.cli import examples
from tltk.specs import TextSpec, TokenizerSpec

SPEC = TextSpec(TokenizerSpec("wordpiece", ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "cat")), 8)
SINGLE, PAIRS = SimpleNamespace(input_spec=SPEC), SimpleNamespace(input_spec=replace(SPEC, pairs=True))


def test_lines_of_pairs_have_a_tab(tmp_path):
    (tmp_path / "a.txt").write_text("who?\tit was Ann\n")
    source = examples.read([str(tmp_path / "a.txt")], PAIRS)
    assert source.examples.tolist() == [["who?", "it was Ann"]] and source.id_of(0) == "a.txt, line 1"
    (tmp_path / "a.txt").write_text("who?\tit was Ann\nno tab\n")
    with pytest.raises(ValueError, match=r"pairs of texts: a\.txt, line 2 must be two texts and a tab"):
        examples.read([str(tmp_path / "a.txt")], PAIRS)


def test_texts_of_pairs_are_taken_two_by_two():
    assert examples.read(["who?", "Ann", "what?", "a cat"], PAIRS).examples.tolist() == [
        ["who?", "Ann"],
        ["what?", "a cat"],
    ]
    with pytest.raises(ValueError, match=r"pass an even number\. Received: 1 texts"):
        examples.read(["who?"], PAIRS)


def test_a_file_must_be_the_only_input_and_of_a_known_format(tmp_path):
    for name in ("a.csv", "a.pdf"):
        (tmp_path / name).write_text("text\ncat\n")
    with pytest.raises(ValueError, match=r"a file of examples must be the only input\. Received: 2 inputs"):
        examples.read([str(tmp_path / "a.csv"), "cat"], SINGLE, text="text")
    with pytest.raises(ValueError, match=r"the model reads texts, or files of a known format.*a\.pdf"):
        examples.read([str(tmp_path / "a.pdf")], SINGLE)
    assert examples.read([str(tmp_path / "a.csv")], SINGLE, text="text").examples.tolist() == ["cat"]


def test_a_named_format_is_read_whatever_the_name_of_the_file(tmp_path):
    (tmp_path / "a.txt").write_text("in O\nRome B-city\n")
    source = examples.read([str(tmp_path / "a.txt")], SINGLE, file_format="conll")
    assert source.examples.tolist() == [("in", "Rome")]


def test_examples_without_a_position_keep_their_order():
    ids = ["b.png", "a.png", "a.csv, row 1"]
    assert list(examples.order_of(ids)) == ids


def test_texts_are_those_of_the_arguments():
    assert examples.read(list(TEXTS), SINGLE).examples.tolist() == list(TEXTS)
