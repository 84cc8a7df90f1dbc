"""Input formats of text models are restored from a folder."""

import json
from dataclasses import replace

import pytest

from tests import families
from tests.texts import TOKENIZER
from tltk.backbones.text.kerashub_tokenizers import spec_of
from tltk.modalities.text.config import from_config, to_config, to_files
from tltk.specs import TextSpec


def write(spec, folder):
    for name, content in to_files(spec).items():
        (folder / name).write_bytes(content)
    return json.loads(json.dumps(to_config(spec)))


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("electra", {"vocabulary.json"}),
        ("gpt2", {"merges.txt", "vocabulary.json"}),
        ("albert", {"sentencepiece.model", "vocabulary.json"}),
    ],
)
def test_vocabularies_are_stored_as_files(tmp_path, family, names):
    spec = replace(spec_of(families.tokenizer(family), 32, {}), overlap=4, truncation="start", pairs=True)
    config = write(spec, tmp_path)
    assert not {"vocabulary", "merges", "sentencepiece_model"} & set(config["tokenizer"])
    assert {path.name for path in tmp_path.iterdir()} == names
    assert from_config(config, tmp_path) == spec
    for name in names:
        (tmp_path / name).rename(tmp_path / "away")
        with pytest.raises(FileNotFoundError, match=f"{name} is missing"):
            from_config(config, tmp_path)
        (tmp_path / "away").rename(tmp_path / name)


def test_tokens_may_hold_line_breaks_and_merges_may_be_missing(tmp_path):
    vocabulary = (*TOKENIZER.vocabulary, "\n", "a\nb", "\u2028", "é")
    for changes in ({"vocabulary": vocabulary}, {"type": "bytepair"}, {"type": "bytepair", "merges": ("a b",)}):
        spec = TextSpec(replace(TOKENIZER, **changes), 32)
        assert from_config(write(spec, tmp_path), tmp_path) == spec


def test_an_unknown_setting_is_refused(tmp_path):
    config = write(TextSpec(TOKENIZER, 32), tmp_path)
    with pytest.raises(TypeError, match="colour"):
        from_config({**config, "colour": "red"}, tmp_path)
