"""What a model eats comes back from its run's folder."""

import json
from dataclasses import replace

import pytest

from tests import families
from tltk.backbones.text.tokenizer_spec import spec_of
from tltk.specs import ImageSpec
from tltk.training import spec_files


def test_pictures_need_no_file(tmp_path):
    spec = ImageSpec(32, 48, resize="pad")
    assert spec_files.read(tmp_path, json.loads(json.dumps(spec_files.plain(spec)))) == spec
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("electra", ["vocabulary.json"]),
        ("gpt2", ["merges.txt", "vocabulary.json"]),
        ("albert", ["sentencepiece.model", "vocabulary.json"]),
    ],
)
def test_texts_have_their_pieces_in_files(tmp_path, family, names):
    spec = spec_of(families.tokenizer(family), 32, {})
    values = json.loads(json.dumps(spec_files.plain(spec)))
    assert not {"vocabulary", "merges", "rules"} & set(values)
    spec_files.write(tmp_path, spec)
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert spec_files.read(tmp_path, values) == spec
    for name in names:
        (tmp_path / name).rename(tmp_path / "away")
        with pytest.raises(FileNotFoundError, match=f"is no run of a text model: it has no {name}"):
            spec_files.read(tmp_path, values)
        (tmp_path / "away").rename(tmp_path / name)


def test_runs_of_before_the_other_kinds_can_be_read(tmp_path):
    spec = spec_of(families.tokenizer("electra"), 32, {})
    values = spec_files.plain(spec)
    for new in ("kind", "prefix_space", "causal"):
        del values[new]
    (tmp_path / "vocabulary.txt").write_text("\n".join(spec.vocabulary), encoding="utf-8")
    assert spec_files.read(tmp_path, values) == spec


def test_a_piece_may_hold_the_end_of_a_line(tmp_path):
    spec = spec_of(families.tokenizer("electra"), 32, {})
    spec = replace(spec, vocabulary=(*spec.vocabulary, "\n", "a\nb"))
    spec_files.write(tmp_path, spec)
    assert spec_files.read(tmp_path, spec_files.plain(spec)) == spec
