"""The commands on texts: reviews, entities and questions."""

import json
import os

from tests.commands import command, shell
from tests.texts import TEXTS, asked, marked


def short_training(preset, run):
    """Options for a training that takes seconds."""
    parts = ("--val", "0.25", "--test", "0.25")
    return ("--backbone", preset, "--recipe", "linear_probe", "--epochs", 1, *parts, "--out", run)


def test_training_on_reviews_names_the_rows_that_cannot_be_used(preset, tmp_path):
    rows = [f'"{text}",{"good" if number < 3 else "bad"}' for number, text in enumerate(TEXTS)] * 6
    (tmp_path / "reviews.csv").write_text("\n".join(["review,stars", *rows, '"",good', '"the book",']))
    process = command(
        *("train", tmp_path / "reviews.csv", "--text", "review", "--label", "stars", "--batch-size", "96 tokens"),
        *short_training(preset, tmp_path / "run"),
    )
    assert process.returncode == 0, process.stderr
    assert process.stderr.count("left out: 2 examples\n") == 1
    for row, column in ((38, "review"), (39, "stars")):
        assert process.stderr.count(f"\n  1: `{column}` must not be empty (reviews.csv, row {row})\n") == 1
    assert "left out in all: 2 examples, listed in " in process.stdout
    # An environment that does not silence the log messages of TensorFlow.
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    predicted = shell("predict", tmp_path / "run", "good film", "bad book", "--json", env=environment)
    assert "oneDNN" not in predicted.stderr
    assert "Warning" not in predicted.stderr
    assert [set(prediction["scores"]) for prediction in json.loads(predicted.stdout)["predictions"]] == [
        {"good", "bad"}
    ] * 2
    invalid = (tmp_path / "run" / "invalid.csv").read_text()
    assert "reviews.csv, row 38" in invalid and "reviews.csv, row 39" in invalid
    (tmp_path / "few.csv").write_text("review,stars\ngood film,good\nfine book,good\n")
    evaluated = command(
        "evaluate", tmp_path / "run", tmp_path / "few.csv", "--text", "review", "--label", "stars", "--json"
    )
    assert "accuracy" in json.loads(evaluated.stdout)["metrics"], evaluated.stderr
    from_table = command("predict", tmp_path / "run", tmp_path / "few.csv", "--text", "review", "--json")
    assert [prediction["example_id"] for prediction in json.loads(from_table.stdout)["predictions"]] == [
        "few.csv, row 2",
        "few.csv, row 3",
    ]
    for arguments in (
        ("predict", tmp_path / "run", tmp_path / "few.csv"),
        ("evaluate", tmp_path / "run", tmp_path / "few.csv"),
    ):
        without_text = command(*arguments)
        assert without_text.returncode == 2
        assert "with --text" in without_text.stderr
    wrong = command("train", tmp_path / "reviews.csv", "--text", "reviw", "--label", "stars")
    assert wrong.returncode == 2
    assert "has no column 'reviw'. Its columns: review, stars. Did you mean 'review'?" in wrong.stderr


def test_training_on_a_conll_file_gives_a_model_that_predicts_spans(preset, tmp_path):
    source = marked(24)
    lines = []
    for words, spans in zip(source.examples, source.targets, strict=True):
        start = 0
        for word in words:
            entity = next((span for span in spans if span.start <= start < span.end), None)
            tag = "O" if entity is None else f"{'B' if start == entity.start else 'I'}-{entity.label}"
            lines.append(f"{word} {tag}")
            start += len(word) + 1
        lines.append("")
    (tmp_path / "news.conll").write_text("\n".join([*lines, "broken"]))
    process = command("train", tmp_path / "news.conll", *short_training(preset, tmp_path / "run"))
    assert process.returncode == 0, process.stderr
    assert "too few columns in 'broken': 1, at least 2 needed" in process.stderr
    predictions = json.loads(command("predict", tmp_path / "run", "very good film .", "--json").stdout)["predictions"]
    assert all(set(span) == {"start", "end", "label", "probability"} for span in predictions[0]["spans"])


def test_training_on_a_squad_file_gives_a_model_that_predicts_pairs_of_texts(preset, tmp_path):
    source = asked(24)
    articles = []
    for number, ((question, context), spans) in enumerate(zip(source.examples, source.targets, strict=True)):
        answers = [{"answer_start": span.start, "text": context[span.start : span.end]} for span in spans]
        paragraph = {"context": context, "qas": [{"id": str(number), "question": question, "answers": answers}]}
        articles.append({"paragraphs": [paragraph]})
    (tmp_path / "squad.json").write_text(json.dumps({"data": articles}))
    process = command("train", tmp_path / "squad.json", *short_training(preset, tmp_path / "run"))
    assert process.returncode == 0, process.stderr
    assert "exact_match" in process.stdout
    assert command("predict", tmp_path / "run", "good film!", "the book").returncode == 0
    wrong = command("predict", tmp_path / "run", "good film!")
    assert wrong.returncode == 2
    assert "the model reads pairs of texts: pass an even number. Received: 1 texts" in wrong.stderr
