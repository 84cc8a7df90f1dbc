"""The shell on texts: reviews, entities and questions, from files to answers."""

import json
import os
import subprocess
import sys

import pytest

from tests.texts import TEXTS, asked, marked, tiny_preset


def tltk(*arguments, timeout=300):
    """Run the command as a user does, whose environment holds TensorFlow's log back in no way."""
    plain = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-m", "tltk", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=plain, timeout=timeout)


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    return tiny_preset(tmp_path_factory.mktemp("presets") / "tiny")


def short(preset, run):
    """Options for a training that is over soon."""
    parts = ("--val", "0.25", "--test", "0.25")
    return ("--backbone", preset, "--recipe", "linear_probe", "--epochs", 1, *parts, "--out", run)


def test_reviews_are_trained_on_and_rows_that_cannot_be_used_are_named(preset, tmp_path):
    rows = [f'"{text}",{"good" if number < 3 else "bad"}' for number, text in enumerate(TEXTS)] * 6
    (tmp_path / "reviews.csv").write_text("\n".join(["review,stars", *rows, '"",good', '"the book",']))
    done = tltk(
        *("train", tmp_path / "reviews.csv", "--text", "review", "--label", "stars", "--batch-size", "96 tokens"),
        *short(preset, tmp_path / "run"),
    )
    assert done.returncode == 0, done.stderr
    for row, column in ((38, "review"), (39, "stars")):
        assert f"left out: reviews.csv, row {row}: `{column}` must not be empty" in done.stderr
    found = tltk("predict", tmp_path / "run", "good film", "bad book", "--json")
    assert [set(one["scores"]) for one in json.loads(found.stdout)["predictions"]] == [{"good", "bad"}] * 2
    kept = (tmp_path / "run" / "invalid.csv").read_text()
    assert "reviews.csv, row 38" in kept and "reviews.csv, row 39" in kept
    (tmp_path / "few.csv").write_text("review,stars\ngood film,good\nfine book,good\n")
    judged = tltk("evaluate", tmp_path / "run", tmp_path / "few.csv", "--text", "review", "--label", "stars", "--json")
    assert "accuracy" in json.loads(judged.stdout)["metrics"], judged.stderr
    listed = tltk("predict", tmp_path / "run", tmp_path / "few.csv", "--text", "review", "--json")
    assert [one["example_id"] for one in json.loads(listed.stdout)["predictions"]] == [
        "few.csv, row 2",
        "few.csv, row 3",
    ]
    for command in (
        ("predict", tmp_path / "run", tmp_path / "few.csv"),
        ("evaluate", tmp_path / "run", tmp_path / "few.csv"),
    ):
        asked = tltk(*command)
        assert asked.returncode == 2
        assert "with --text" in asked.stderr
    for each in (done, found):
        assert "oneDNN" not in each.stderr
        assert "Warning" not in each.stderr
    wrong = tltk("train", tmp_path / "reviews.csv", "--text", "reviw", "--label", "stars")
    assert wrong.returncode == 2
    assert "has no column 'reviw'. Its columns: review, stars. Did you mean 'review'?" in wrong.stderr


def test_a_conll_file_gives_a_tagger_whose_predictions_are_spans(preset, tmp_path):
    source = marked(24)
    lines = []
    for words, spans in zip(source.examples, source.targets, strict=True):
        at = 0
        for word in words:
            inside = next((span for span in spans if span.start <= at < span.end), None)
            mark = "O" if inside is None else f"{'B' if at == inside.start else 'I'}-{inside.label}"
            lines.append(f"{word} {mark}")
            at += len(word) + 1
        lines.append("")
    (tmp_path / "news.conll").write_text("\n".join([*lines, "broken"]))
    done = tltk("train", tmp_path / "news.conll", *short(preset, tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert "'broken' has 1 of at least 2 columns" in done.stderr
    found = json.loads(tltk("predict", tmp_path / "run", "very good film .", "--json").stdout)["predictions"]
    assert all(set(span) == {"start", "end", "label", "probability"} for span in found[0]["spans"])


def test_a_squad_file_gives_a_reader_that_takes_texts_two_by_two(preset, tmp_path):
    source = asked(24)
    questions = []
    for number, ((question, context), spans) in enumerate(zip(source.examples, source.targets, strict=True)):
        answers = [{"answer_start": span.start, "text": context[span.start : span.end]} for span in spans]
        held = {"context": context, "qas": [{"id": str(number), "question": question, "answers": answers}]}
        questions.append({"paragraphs": [held]})
    (tmp_path / "squad.json").write_text(json.dumps({"data": questions}))
    done = tltk("train", tmp_path / "squad.json", *short(preset, tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert "exact_match" in done.stdout
    assert tltk("predict", tmp_path / "run", "good film!", "the book").returncode == 0
    wrong = tltk("predict", tmp_path / "run", "good film!")
    assert wrong.returncode == 2
    assert "this model reads pairs of texts. Received: 1 texts" in wrong.stderr
