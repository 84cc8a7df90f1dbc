"""The command `tltk predict`, on texts."""

import csv
import io
import json
import shutil

import pytest

from tests.commands import command


@pytest.fixture(scope="module")
def run(reviews, tmp_path_factory):
    folder = tmp_path_factory.mktemp("predicting") / "run"
    assert command("train", *reviews, "--val", "0", "--test", "0", "--out", folder).returncode == 0
    return folder


def ids_and_texts(process):
    assert process.returncode == 0, process.stderr
    return [(row["example_id"], row["input"]) for row in json.loads(process.stdout)["predictions"]]


@pytest.mark.parametrize(
    "text", ["Good. Really v1.0 good.txt?", "a.b " * 100, "x" * 300 + ".csv", "two\nlines", "tests"]
)
def test_a_text_is_a_text_whatever_it_looks_like(run, text):
    assert ids_and_texts(command("predict", run, text, "--json")) == [("example 0", text)]


def test_a_file_of_text_has_one_text_per_line(run, tmp_path):
    (tmp_path / "a.txt").write_text("good film\n\nbad book\n")
    expected = [("a.txt, line 1", "good film"), ("a.txt, line 3", "bad book")]
    assert ids_and_texts(command("predict", run, tmp_path / "a.txt", "--json")) == expected
    (tmp_path / "a.txt").write_text("\n")
    empty = command("predict", run, tmp_path / "a.txt")
    assert empty.returncode == 2 and "a.txt has no lines" in empty.stderr


def test_standard_input_has_one_text_per_line(run, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("good film\nbad book\n"))
    expected = [("standard input, line 1", "good film"), ("standard input, line 2", "bad book")]
    assert ids_and_texts(command("predict", run, "-", "--json")) == expected


def test_tables_show_the_text(run):
    process = command("predict", run, "good film", "a very long text " * 9)
    assert process.stdout.splitlines()[0].split() == ["example", "text", "prediction"]
    assert "example 0  good film " in process.stdout
    assert "a very long text a very long text" in process.stdout and "…" in process.stdout


def test_a_file_of_predictions_keeps_rows_and_ids(run, tmp_path):
    table = tmp_path / "texts.csv"
    table.write_text('review;n\ngood film;1\n"";2\n"a; b";3\nthe book;4\n')
    options = ("--text", "review", "--delimiter", ";")
    process = command("predict", run, table, *options, "--out", tmp_path / "new" / "predictions.csv")
    assert process.returncode == 0, process.stderr
    assert "predictions.csv: 4 rows, 3 predictions" in process.stdout
    with (tmp_path / "new" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["example_id"] for row in rows] == [f"texts.csv, row {number}" for number in (2, 3, 4, 5)]
    assert [row["input"] for row in rows] == ["good film", "", "a; b", "the book"]
    assert list(rows[0]) == ["example_id", "input", "label", "probability", "bad", "good", "error"]
    assert float(rows[0][rows[0]["label"]]) == float(rows[0]["probability"])
    assert rows[1]["label"] == "" and "`review` must not be empty" in rows[1]["error"]
    assert command("predict", run, table, *options, "--out", tmp_path / "p.jsonl").returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert [line["example_id"] for line in lines] == [row["example_id"] for row in rows]
    assert set(lines[0]["scores"]) == {"good", "bad"} and "error" in lines[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a text", "--out", "p.xlsx"), "`--out` must end in .csv or .jsonl. Received: p.xlsx"),
        (("a text", "--top", "0"), "`top` must be a whole number above 0"),
        (("a text", "--batch-size", "0"), "`batch_size` must be a whole number above 0"),
        (("a text", "--threshold", "0.5"), "`--threshold` requires --label-type multilabel"),
        (("a text", "--draw", "drawn"), "`--draw` is for image models. The model of"),
        (("",), "none of the examples can be used"),
    ],
)
def test_wrong_options_are_refused(run, arguments, message):
    process = command("predict", run, *arguments)
    assert process.returncode == 2
    assert message in process.stderr


@pytest.mark.parametrize("name", ["history.csv", "invalid.csv", "vocabulary.json", "metrics.json"])
def test_a_damaged_file_of_a_run_is_named(run, tmp_path, name):
    damaged = shutil.copytree(run, tmp_path / "run")
    (damaged / name).write_bytes(b"\xff\xfe")
    process = command("predict", damaged, "a text")
    assert process.returncode == 2 and f"{damaged} is damaged: {name} changed" in process.stderr
    config = json.loads((damaged / "config.json").read_text())
    del config["sha256"]  # as in runs of earlier versions
    (damaged / "config.json").write_text(json.dumps(config))
    process = command("predict", damaged, "a text")
    assert process.returncode == 2 and f"{damaged / name} is damaged" in process.stderr


def test_no_command_overwrites_what_it_reads(run, tmp_path):
    table = tmp_path / "data.csv"
    table.write_text("review,stars\ngood film,good\nbad book,bad\n")
    listed = tmp_path / "data.json"
    listed.write_text('[{"review": "good film", "stars": "good"}, {"review": "bad book", "stars": "bad"}]')
    columns = ("--text", "review", "--label", "stars")
    (tmp_path / "history.csv").write_text(table.read_text())
    for arguments in (
        ("predict", run, table, "--text", "review", "--out", table),
        ("predict", run, "a text", "--out", run / "history.csv"),
        ("inspect", table, *columns, "--exclude-list", table),
        ("inspect", listed, *columns, "--format", "jsonl", "--exclude", table, "--exclude-list", table),
        ("evaluate", run, listed, *columns, "--format", "jsonl", "--report", listed),
        ("evaluate", run, table, *columns, "--report", run / "config.json"),
        ("train", tmp_path / "history.csv", *columns, "--out", tmp_path),
    ):
        files = {path: path.read_bytes() for path in (*tmp_path.iterdir(), *run.iterdir()) if path.is_file()}
        process = command(*arguments)
        assert process.returncode == 2 and "would overwrite " in process.stderr, arguments
        assert {path: path.read_bytes() for path in (*tmp_path.iterdir(), *run.iterdir()) if path.is_file()} == files
