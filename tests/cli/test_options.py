import json

import pytest

import tltk
from tests.pictures import flat
from tests.texts import LABELS, TEXTS
from tltk.cli import options
from tltk.tasks import for_source


def written(folder):
    rows = [{"review": text, "stars": label} for text, label in zip(TEXTS, LABELS, strict=True)]
    (folder / "reviews.csv").write_text("review,stars\n" + "".join(f'"{r["review"]}",{r["stars"]}\n' for r in rows))
    (folder / "reviews.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.mark.parametrize("name", ["reviews.csv", "reviews.jsonl"])
def test_a_column_of_texts_is_named(name, tmp_path):
    found = options.source(
        written(tmp_path) / name, label="stars", input_column="path", label_type="categorical", text="review"
    )
    assert (found.modality, found.storage) == ("text", "arrays")
    assert found.examples.tolist() == list(TEXTS)
    assert found.labels.names == ("bad", "good")


def test_a_column_of_texts_is_of_a_table(tmp_path):
    with pytest.raises(ValueError, match=r"`--text` names a column of a table\. Received the folder"):
        options.source(tmp_path, label="label", input_column="path", label_type="categorical", text="review")
    (tmp_path / "news.txt").write_text("in O\n")
    asked = {"label": "label", "input_column": "path", "label_type": "categorical"}
    with pytest.raises(
        ValueError, match=r"news\.txt: no format is registered for the suffix '\.txt'\. Known suffixes: \.csv"
    ):
        options.source(tmp_path / "news.txt", **asked, text=None)
    (tmp_path / "news.conll").write_text("in O\nRome B-city\n")
    with pytest.raises(ValueError, match=r"`--text` names a column of a table.* Received: .*news\.conll"):
        options.source(tmp_path / "news.conll", **asked, text="review")
    assert options.source(tmp_path / "news.conll", **asked, text=None).labels.names == ("city",)


def test_a_recipe_is_made_of_what_was_given():
    made = options.recipe("fine_tune", epochs=2, learning_rate=None, unfreeze="conv5")
    assert made == tltk.fine_tune(epochs=2, unfreeze="conv5")
    assert options.recipe("bert", epochs=None, learning_rate=3e-5, unfreeze=None) == tltk.bert(learning_rate=3e-5)
    with pytest.raises(ValueError, match=r"Did you mean 'fine_tune'\?"):
        options.recipe("finetune", epochs=None, learning_rate=None, unfreeze=None)
    with pytest.raises(ValueError, match=r"`--unfreeze` goes with --recipe fine_tune\. Received: --recipe full"):
        options.recipe("full", epochs=None, learning_rate=None, unfreeze="conv5")


def test_the_task_follows_the_labels():
    texts = list(TEXTS)
    assert for_source(tltk.from_arrays(texts, list(LABELS))).name == "classification"
    assert for_source(tltk.from_arrays(texts, list(range(6)), label_type="regression")).name == "regression"
    with pytest.raises(ValueError, match="training needs labels, and the source has none"):
        for_source(tltk.from_arrays(texts))


def test_a_batch_is_a_number_or_a_budget():
    assert options.batch_size("16") == 16
    assert options.batch_size("2048 tokens") == "2048 tokens"
    assert options.batch_size("-1") == "-1"


def test_classes_of_a_folder_stand_in_the_model_s_order(tmp_path):
    for name in ("a", "b"):
        flat(tmp_path / name / "1.png", (0, 0, 0))
    asked = {"label": "label", "input_column": "path", "label_type": "categorical", "text": None}
    assert options.source(tmp_path, **asked, labels=tltk.specs.LabelSpec(("b", "a"))).labels.names == ("b", "a")
    known = tltk.specs.LabelSpec(("b", "a", "c"))  # a class that is missing is told by evaluate
    assert options.source(tmp_path, **asked, labels=known).labels.names == ("a", "b")


def test_a_model_says_what_the_file_s_columns_are(tmp_path):
    path = written(tmp_path) / "reviews.csv"
    asked = {"label": "stars", "input_column": "path", "label_type": "categorical"}
    with pytest.raises(ValueError, match=r"this run reads texts: name their column of reviews\.csv with --text"):
        options.source(path, **asked, text=None, takes="text")
    assert options.source(path, **asked, text="review", takes="text").modality == "text"
    flat(tmp_path / "a.png", (0, 0, 0))
    (tmp_path / "photos.csv").write_text("photo,stars\na.png,x\na.png,y\n")
    found = options.source(tmp_path / "photos.csv", **{**asked, "input_column": "photo"}, text=None, takes="image")
    assert (found.modality, found.storage) == ("image", "files")


def test_the_default_recipe_takes_the_learning_rate_of_the_modality():
    made = options.recipe(None, epochs=None, learning_rate=None, unfreeze=None, default_rate=5e-5)
    assert made == tltk.fine_tune(learning_rate=5e-5)
    given = options.recipe(None, epochs=None, learning_rate=1e-3, unfreeze=None, default_rate=5e-5)
    assert given == tltk.fine_tune(learning_rate=1e-3)
    named = options.recipe("fine_tune", epochs=None, learning_rate=None, unfreeze=None, default_rate=5e-5)
    assert named == tltk.fine_tune()
