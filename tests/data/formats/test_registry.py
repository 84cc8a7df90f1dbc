"""The registry of file formats by suffix, including user-defined formats."""

import numpy as np
import pytest

import tltk
from tltk.data.formats import registry
from tltk.data.source import Source


@pytest.fixture
def lines(restored_registries):
    """A registered format with one text per word."""

    def read(path, *, upper=False):
        texts = path.read_text().split()
        return Source("text", "arrays", np.array([text.upper() if upper else text for text in texts], object))

    tltk.register_format("lines", read, suffixes=(".lines", ".ln"))
    return read


def test_the_suffix_selects_the_format(tmp_path):
    (tmp_path / "a.CSV").write_text("text,label\ngood,x\nbad,y\n")
    (tmp_path / "a.conll").write_text("EU B-ORG\n")
    assert tltk.from_file(tmp_path / "a.CSV", input="text", modality="text").examples.tolist() == ["good", "bad"]
    assert tltk.from_file(tmp_path / "a.conll").labels.names == ("ORG",)
    names = [
        registry.format_of(f"a{suffix}").name for suffix in (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".conll")
    ]
    assert names == ["csv", "csv", "jsonl", "jsonl", "squad", "conll"]
    assert registry.format_of("a.png") is None


def test_a_user_defined_format_is_read_with_its_options(tmp_path, lines):
    (tmp_path / "a.ln").write_text("one two")
    assert tltk.from_file(tmp_path / "a.ln", upper=True).examples.tolist() == ["ONE", "TWO"]
    with pytest.raises(TypeError, match="unexpected keyword argument 'lower'"):
        tltk.from_file(tmp_path / "a.ln", lower=True)


def test_registering_a_taken_suffix_or_name_raises(lines):
    with pytest.raises(ValueError, match=r"(?s)start with a dot.*'txt'.*'.csv' already belongs to the format 'csv'"):
        tltk.register_format("mine", lines, suffixes=("txt", ".csv"))
    with pytest.raises(ValueError, match="'lines' is registered already"):
        tltk.register_format("lines", print, suffixes=(".other",))


def test_unknown_suffixes_and_missing_files_raise(tmp_path):
    (tmp_path / "a.parquet").write_text("")
    with pytest.raises(ValueError, match=r"no format .* for the suffix '\.parquet'\..*\.csv.*register_format"):
        tltk.from_file(tmp_path / "a.parquet")
    with pytest.raises(FileNotFoundError, match=r"Did you mean 'a\.parquet'"):
        tltk.from_file(tmp_path / "a.parqet")


def test_columns_of_a_file_that_has_none_by_its_name_are_refused(tmp_path):
    (tmp_path / "list.json").write_text('[{"text": "good", "label": "x"}, {"text": "bad", "label": "y"}]')
    with pytest.raises(
        TypeError, match=r"format 'squad'.*no columns\. Received: `input`, `modality`\. Use tltk\.from_jsonl"
    ):
        tltk.from_file(tmp_path / "list.json", modality="text", input="text")
    assert len(tltk.from_jsonl(tmp_path / "list.json", modality="text", input="text")) == 2


def test_formats_of_one_suffix_and_of_folders_are_told_by_what_they_hold(tmp_path):
    (tmp_path / "squad.json").write_text('{"data": []}')
    (tmp_path / "coco.json").write_text('{"info": {}, "images": [], "annotations": [], "categories": []}')
    assert registry.format_of(tmp_path / "squad.json").name == registry.format_of("new.json").name == "squad"
    assert registry.format_of(tmp_path / "coco.json").name == "coco"
    assert (
        registry.format_of(tmp_path) is None
        and registry.format_of(tmp_path, options=["masks", "colors"]).name == "masks"
    )
    (tmp_path / "data.yaml").write_text("names: []")
    assert registry.format_of(tmp_path).name == registry.format_of(tmp_path / "data.yaml").name == "yolo"
    (tmp_path / "voc" / "Annotations").mkdir(parents=True)
    (tmp_path / "voc" / "Annotations" / "a.xml").write_text("<annotation/>")
    assert registry.format_of(tmp_path / "voc").name == "voc"


@pytest.mark.usefixtures("restored_registries")
def test_a_format_that_looks_into_files_may_share_a_suffix(tmp_path):
    tltk.register_format("mine", lambda path: None, suffixes=(".json",), recognizes=lambda path: path.stem == "mine")
    (tmp_path / "mine.json").write_text("{}")
    assert registry.format_of(tmp_path / "mine.json").name == "mine" and registry.format_of("mine.json").name == "squad"
    with pytest.raises(ValueError, match=r"'.json' already belongs to the format 'squad'"):
        tltk.register_format("other", lambda path: None, suffixes=(".json",))
