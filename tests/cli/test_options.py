"""Command-line options become sources, batch sizes and recipes."""

import json
from pathlib import Path

import pytest

import tltk
from tests.images import solid_png
from tests.texts import LABELS, TEXTS
from tltk.cli import options
from tltk.errors import FileError, InvalidInput
from tltk.specs import LabelSpec
from tltk.tasks import for_source


def write_reviews(folder):
    rows = [{"review": text, "stars": label} for text, label in zip(TEXTS, LABELS, strict=True)]
    (folder / "reviews.csv").write_text("review,stars\n" + "".join(f'"{r["review"]}",{r["stars"]}\n' for r in rows))
    (folder / "reviews.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.mark.parametrize("name", ["reviews.csv", "reviews.jsonl"])
def test_a_column_of_texts_becomes_a_text_source(name, tmp_path):
    source = options.source(
        write_reviews(tmp_path) / name, label="stars", input_column="path", label_type="categorical", text="review"
    )
    assert (source.modality, source.storage) == ("text", "arrays")
    assert source.examples.tolist() == list(TEXTS)
    assert source.labels.names == ("bad", "good")


def test_a_column_of_texts_requires_a_table(tmp_path):
    with pytest.raises(ValueError, match=r"`--text` is for tables.* Received: the folder"):
        options.source(tmp_path, label="label", input_column="path", label_type="categorical", text="review")
    (tmp_path / "news.doc").write_text("in O\n")
    columns = {"label": "label", "input_column": "path", "label_type": "categorical"}
    with pytest.raises(ValueError, match=r"news\.doc: no format is registered for the suffix '\.doc'"):
        options.source(tmp_path / "news.doc", **columns, text=None)
    (tmp_path / "news.conll").write_text("in O\nRome B-city\n")
    with pytest.raises(ValueError, match=r"`--text` is for tables.* Received: .*news\.conll\. A table must be called"):
        options.source(tmp_path / "news.conll", **columns, text="review")
    (tmp_path / "list.json").write_text(json.dumps([{"review": "good", "label": "x"}, {"review": "bad", "label": "y"}]))
    with pytest.raises(ValueError, match="--format jsonl for a JSON list of objects"):
        options.source(tmp_path / "list.json", **columns, text="review")
    assert len(options.source(tmp_path / "list.json", **columns, text="review", file_format="jsonl")) == 2
    assert options.source(tmp_path / "news.conll", **columns, text=None).labels.names == ("city",)


def test_damaged_annotations_are_no_file_of_another_format(tmp_path):
    (tmp_path / "boxes.json").write_text('{"info": 1,\n "images": [}')
    columns = {"label": "label", "input_column": "path", "label_type": "categorical", "text": None}
    for read in ({"images": tmp_path}, {}):
        with pytest.raises(InvalidInput, match=r"boxes\.json is not valid JSON: .*line 2 column 13"):
            options.source(tmp_path / "boxes.json", **columns, **read)
    (tmp_path / "boxes.json").write_text('{"info": 1}')
    with pytest.raises(InvalidInput, match="`--images` is for annotations"):
        options.source(tmp_path / "boxes.json", **columns, images=tmp_path)


def test_the_task_is_chosen_by_the_label_type():
    texts = list(TEXTS)
    assert for_source(tltk.from_arrays(texts, list(LABELS))).name == "classification"
    assert for_source(tltk.from_arrays(texts, list(range(6)), label_type="regression")).name == "regression"
    with pytest.raises(ValueError, match="training needs labels, and the source has none"):
        for_source(tltk.from_arrays(texts))


def test_a_batch_size_is_a_number_or_a_token_budget():
    assert options.batch_size("16") == 16
    assert options.batch_size("2048 tokens") == "2048 tokens"
    assert options.batch_size("-1") == "-1"


def test_classes_of_a_folder_are_in_the_order_of_the_model(tmp_path):
    for name in ("a", "b"):
        solid_png(tmp_path / name / "1.png", (0, 0, 0))
    columns = {"label": "label", "input_column": "path", "label_type": "categorical", "text": None}
    assert options.source(tmp_path, **columns, labels=tltk.specs.LabelSpec(("b", "a"))).labels.names == ("b", "a")
    more_labels = tltk.specs.LabelSpec(("b", "a", "c"))  # `evaluate` reports the missing class
    assert options.source(tmp_path, **columns, labels=more_labels).labels.names == ("a", "b")


def test_the_modality_of_a_model_decides_how_columns_are_read(tmp_path):
    path = write_reviews(tmp_path) / "reviews.csv"
    columns = {"label": "stars", "input_column": "path", "label_type": "categorical"}
    with pytest.raises(
        ValueError, match=r"the model reads texts: name the column of the texts in reviews\.csv with --text"
    ):
        options.source(path, **columns, text=None, modality="text")
    assert options.source(path, **columns, text="review", modality="text").modality == "text"
    solid_png(tmp_path / "a.png", (0, 0, 0))
    (tmp_path / "photos.csv").write_text("photo,stars\na.png,x\na.png,y\n")
    source = options.source(
        tmp_path / "photos.csv", **{**columns, "input_column": "photo"}, text=None, modality="image"
    )
    assert (source.modality, source.storage) == ("image", "files")


def test_a_column_holds_the_sample_weights(tmp_path):
    (tmp_path / "a.csv").write_text("text,label,w\na,x,2\nb,y,1\n")
    columns = {"label": "label", "input_column": "path", "label_type": "categorical", "text": "text"}
    source = options.source(tmp_path / "a.csv", **columns, sample_weight="w")
    assert source.sample_weight.tolist() == [2, 1]
    with pytest.raises(ValueError, match=r"`--sample-weight` is for tables.* Received: the folder"):
        options.source(tmp_path, **{**columns, "text": None}, sample_weight="w")


def test_options_of_tables_are_passed_to_the_reader(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\na,x|y\nb,y\n")
    columns = {"label": "label", "input_column": "path", "label_type": "multilabel", "text": "text"}
    assert options.source(tmp_path / "a.csv", **columns, separator="|").labels.names == ("x", "y")
    for option in ("delimiter", "separator"):
        with pytest.raises(ValueError, match=rf"`--{option}` is for tables.* Received: the folder"):
            options.source(tmp_path, **{**columns, "text": None}, **{option: ";"})


def test_a_missing_default_column_names_the_options(tmp_path):
    path = write_reviews(tmp_path) / "reviews.csv"
    columns = {"label": "label", "input_column": "path", "label_type": "categorical"}
    for text in (None, "review"):
        with pytest.raises(ValueError, match=r"(?s)has no column 'label'.*--label.*--text.*--input"):
            options.source(path, **columns, text=text)
    with pytest.raises(ValueError, match="has no column 'path'") as caught:
        options.source(path, **{**columns, "label": "stars"}, text=None)
    assert "--text" in str(caught.value)
    with pytest.raises(ValueError, match="has no column 'starz'") as caught:
        options.source(path, **{**columns, "label": "starz"}, text="review")
    assert "--label" not in str(caught.value)  # the option was given


@pytest.mark.parametrize("name", ["news.txt", "news.bio", "news.conll"])
def test_conll_has_several_suffixes(name, tmp_path):
    (tmp_path / name).write_text("in O\nRome B-city\n")
    columns = {"label": "label", "input_column": "path", "label_type": "categorical", "text": None}
    assert options.source(tmp_path / name, **columns).labels.names == ("city",)


def test_the_format_of_a_file_can_be_named_or_is_found_by_looking(tmp_path):
    columns = {"label": "label", "input_column": "path", "label_type": "categorical", "text": None}
    (tmp_path / "news.tags").write_text("in O\nRome B-city\n")
    assert options.source(tmp_path / "news.tags", **columns, file_format="conll").labels.names == ("city",)
    with pytest.raises(ValueError, match=r"'conl'.*Did you mean 'conll'"):
        options.source(tmp_path / "news.tags", **columns, file_format="conl")
    answers = [{"text": "Ann", "answer_start": 7}]
    line = json.dumps({"question": "Who?", "context": "It was Ann.", "answers": answers})
    (tmp_path / "questions.jsonl").write_text(f"{line}\n{line}\n")
    assert options.source(tmp_path / "questions.jsonl", **columns).examples.tolist() == [["Who?", "It was Ann."]] * 2
    (tmp_path / "questions.data").write_text(f"[{line}, {line}]")
    assert len(options.source(tmp_path / "questions.data", **columns, file_format="squad")) == 2


def test_dotted_paths_name_columns_of_json_lines(tmp_path):
    row = {"review": {"body": "fine"}, "meta": {"stars": "good"}}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({**row, "meta": {"stars": "bad"}}) + "\n")
    columns = {"label": "meta.stars", "input_column": "path", "label_type": "categorical", "text": "review.body"}
    source = options.source(tmp_path / "a.jsonl", **columns)
    assert source.examples.tolist() == ["fine", "fine"] and source.labels.names == ("bad", "good")


def test_an_output_that_is_an_input_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    for path in (tmp_path / "a.csv", run / "metrics.json", run / "report.html", run / "mine.json"):
        path.write_text("{}")
    (tmp_path / "link.csv").symlink_to("a.csv")
    for output in ("a.csv", "run/../a.csv", "link.csv"):
        with pytest.raises(ValueError, match=r"`--out` would overwrite the input .*a\.csv\. Received: "):
            options.not_an_input("--out", Path(output), ["a text", "x" * 5000, None, tmp_path / "a.csv"])
    with pytest.raises(ValueError, match=r"`--report` would overwrite a file of the run .*run\. Received: run/metrics"):
        options.not_an_input("--report", Path("run/metrics.json"), (), run)
    for output in (None, Path("new.csv"), run / "report.html", run / "mine.json", tmp_path / "no" / "metrics.json"):
        options.not_an_input("--out", output, ["a.csv", "no.csv", tmp_path], run)


def test_annotations_of_boxes_and_masks_are_read_with_their_images(tmp_path):
    for number in range(2):
        solid_png(tmp_path / "photos" / f"{number}.png", (0, 0, 0), size=(10, 20))
        solid_png(tmp_path / "masks" / f"{number}.png", (number,) * 3, size=(10, 20))
    content = {"images": [{"id": number, "file_name": f"{number}.png"} for number in range(2)]}
    content["annotations"] = [
        {"image_id": 0, "category_id": 1, "bbox": [0, 0, 5, 5], "segmentation": [[0, 0, 5, 0, 5, 5]]}
    ]
    content["categories"] = [{"id": 1, "name": "cat"}]
    (tmp_path / "json").mkdir()
    path = tmp_path / "json" / "annotations.json"
    path.write_text(json.dumps(content))
    columns = {"label": "label", "input_column": "path", "label_type": "categorical", "text": None}
    boxes = options.source(path, **columns, images=tmp_path / "photos", labels=LabelSpec(("dog", "cat"), "boxes"))
    assert boxes.labels.names == ("dog", "cat") and boxes.counts() == {"dog": 0, "cat": 1}
    masks = options.source(path, **columns, images=tmp_path / "photos", file_format="coco_masks")
    assert masks.labels.names == ("background", "cat")
    (tmp_path / "colors.txt").write_text("road:0,0,0\nsky:1,1,1\n")
    masks = options.source(tmp_path / "photos", **columns, masks=tmp_path / "masks", colors=tmp_path / "colors.txt")
    assert masks.labels.names == ("road", "sky")
    for option, data, received in (
        ("images", tmp_path / "photos", "the folder .*photos, whose format is unknown"),
        ("masks", path, "must be a folder. Received: .*annotations.json"),
        ("colors", path, "annotations.json, read in the format coco"),
    ):
        with pytest.raises((InvalidInput, FileError), match=received):
            options.source(data, **columns, **{option: tmp_path / "masks"})
