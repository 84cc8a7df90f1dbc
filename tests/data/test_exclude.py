"""Lists of ids to leave out: written, read, and applied by every source."""

import json
import logging

import pytest
from PIL import Image

import tltk
from tests.images import class_folder
from tltk.data.exclude import read_ids, unknown_note, write_ids
from tltk.errors import InvalidInput, NotFound

AWKWARD = [
    "cat/1.jpg",
    " blank ",
    "# no comment",
    '"quoted"',
    "two\nlines",
    "carriage\rreturn",
    "é \u2028 x",
    "a\\n.png",
]


def test_ids_survive_writing_and_reading_however_files_are_called(tmp_path):
    path = write_ids(
        tmp_path / "new" / "exclude.txt", [("broken files", AWKWARD), ("copies", ["cat/1.jpg", "dog/2.jpg"])]
    )
    assert read_ids(path) == [*AWKWARD, "dog/2.jpg"]
    assert "# broken files" in path.read_text().split("\n")


def test_a_list_written_by_hand_may_have_comments_blanks_and_windows_line_ends(tmp_path):
    path = tmp_path / "exclude.txt"
    path.write_bytes("\ufeff# mine\r\n\r\n  cat/1.jpg  \r\ndog/2.jpg".encode())
    assert read_ids(path) == ["cat/1.jpg", "dog/2.jpg"]


def test_a_broken_quotation_is_named_by_its_line(tmp_path):
    (tmp_path / "exclude.txt").write_text('a.jpg\n"b.jpg\n')
    with pytest.raises(InvalidInput, match=r"line 2 .* is not a JSON string"):
        read_ids(tmp_path / "exclude.txt")


def test_a_missing_list_is_an_error(tmp_path):
    with pytest.raises(NotFound, match=r"exclud\.txt does not exist"):
        tltk.from_arrays(["a", "b"], ["x", "y"], exclude=tmp_path / "exclud.txt")


def test_a_folder_without_the_files_of_a_list(tmp_path):
    class_folder(tmp_path / "photos")
    (tmp_path / "photos" / "cat" / "x.heic").touch()
    path = write_ids(tmp_path / "exclude.txt", [("", ["cat/0001.png", "cat/x.heic"])])
    photos = tltk.from_folder(tmp_path / "photos", exclude=path)
    assert [photos.id_of(row) for row in range(len(photos))] == [
        "cat/0000.png",
        "cat/0002.png",
        *(f"dog/000{number}.png" for number in range(3)),
    ]
    assert photos.invalid == ()
    unlabelled = tltk.from_folder(tmp_path / "photos", unlabelled=True, exclude=["dog/0000.png"])
    assert len(unlabelled) == 5
    assert len(unlabelled.invalid) == 1


def test_ids_that_do_not_exist_are_said(caplog):
    with caplog.at_level(logging.WARNING, "tltk"):
        texts = tltk.from_arrays(["a", "b", "c"], ["x", "y", "x"], exclude=["example 1", "cat/9.jpg"])
    assert len(texts) == 2
    assert "1 ids are not in the source: cat/9.jpg. Its ids look like 'example 0'" in caplog.text
    assert unknown_note([], [], known_id="") == ""


def test_a_list_of_all_examples_is_an_error():
    with pytest.raises(InvalidInput, match="names all 2 examples"):
        tltk.from_arrays(["a", "b"], ["x", "y"], exclude=["example 0", "example 1"])


def test_tables_and_other_files_take_a_list(tmp_path):
    (tmp_path / "t.csv").write_text("text,label\na,x\nb,y\nc,x\n")
    (tmp_path / "t.jsonl").write_text(
        "".join(json.dumps({"text": t, "label": "x" if t < "c" else "y"}) + "\n" for t in "abcd")
    )
    (tmp_path / "t.conll").write_text("Ann B-name\n\nBob B-name\n")
    question = {"question": "Who?", "context": "Ann", "answers": [{"text": "Ann", "answer_start": 0}]}
    (tmp_path / "t.json").write_text(json.dumps([{**question, "id": "1"}, {**question, "id": "2"}]))
    options = {"input": "text", "modality": "text"}
    assert len(tltk.from_csv(tmp_path / "t.csv", exclude=["t.csv, row 3"], **options)) == 2
    assert len(tltk.from_jsonl(tmp_path / "t.jsonl", exclude=["t.jsonl, row 1"], **options)) == 3
    assert len(tltk.from_conll(tmp_path / "t.conll", exclude=["t.conll, line 1"])) == 1
    assert len(tltk.from_squad(tmp_path / "t.json", exclude=["t.json, question 1"])) == 1


def test_excluding_from_a_source_keeps_its_classes(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    texts = tltk.from_arrays(["a", "b", "c"], ["x", "y", "z"]).without(["example 2"])
    assert texts.labels.names == ("x", "y", "z")
    assert texts.without(None) is texts
