"""The command `tltk train`."""

import json
import re
import subprocess
import sys
import time
from collections import Counter

import pytest

from tests.commands import command
from tests.conftest import listening

FAST = ("--backbone", "mobilenet_v2", "--weights", "random", "--image-size", "32", "--recipe", "linear_probe")


def test_ctrl_c_ends_training_with_exit_code_130_and_leaves_a_run(photos, tmp_path):
    arguments = [sys.executable, "-m", "tltk", "train", str(photos), *FAST, "--epochs", "500"]
    # Background jobs of a shell ignore Ctrl-C, and their children inherit that.
    with listening():
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("runs/*/unfinished-*/history.csv")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.2)
    process.send_signal(2)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert re.search(r"The training did not end: runs/\S+ holds the best weights so far and the history of \d+", stderr)
    assert "Interrupted" in stderr
    assert json.loads((tmp_path / "runs" / "latest" / "config.json").read_text())["interrupted"] is True
    names = [path.name for path in (tmp_path / "runs").iterdir()]
    assert sorted(names) == [(tmp_path / "runs" / "latest").readlink().name, "latest"]


def test_a_run_is_not_replaced_unless_it_is_asked_for(reviews, tmp_path, monkeypatch):
    for name in ("config.json", "model.keras", "report.html"):
        (tmp_path / name).write_text("older")
    refused = command("train", *reviews, "--out", tmp_path)
    assert refused.returncode == 2
    assert f"{tmp_path} holds a run" in refused.stderr and "--overwrite" in refused.stderr
    assert command("train", *reviews, "--test", "0", "--out", tmp_path, "--overwrite").returncode == 0
    assert json.loads((tmp_path / "config.json").read_text())["interrupted"] is False
    assert not (tmp_path / "report.html").exists()  # that of the older run

    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr("tltk.training.phases.train_phase", interrupt)
    process = command("train", *reviews, "--out", tmp_path, "--overwrite")
    assert process.returncode == 130
    assert f"no epoch was finished: {tmp_path} still holds the previous run" in process.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_ctrl_c_before_the_first_epoch_leaves_nothing(reviews, tmp_path, monkeypatch):
    monkeypatch.setattr("tltk.training.phases.train_phase", interrupt)
    process = command("train", *reviews, cwd=tmp_path)
    assert process.returncode == 130
    assert "Nothing was saved, since no epoch was finished.\nInterrupted." in process.stderr
    assert list(tmp_path.iterdir()) == []


def interrupt(*_, **__):
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def trained(reviews, tmp_path_factory):
    """A run of 38 reviews, two of them invalid, and what its training printed."""
    folder = tmp_path_factory.mktemp("trained")
    table = folder / "reviews.csv"
    table.write_text(reviews[0].read_text() + '\n"the end",\n"the book",\n')
    form = ("--sequence-length", "12", "--truncation", "start", "--patience", "5", "--warmup", "0.2")
    more = (
        "--class-weight",
        "good=2,bad=1",
        "--max-invalid",
        "0.2",
        "--batch-size",
        "8",
        "--accumulate",
        "2",
        "--epochs",
        "2",
    )
    return folder / "run", command("train", table, *reviews[1:], *form, *more, "--out", folder / "run")


def test_training_says_what_it_did(trained):
    folder, process = trained
    assert process.returncode == 0, process.stderr
    before, after = process.stderr, process.stdout
    assert re.search(r"^train  26 texts: bad 13, good 13\nval    5 texts: bad \d, good \d\ntest   5 texts: ", before)
    assert "linear_probe: 2 epochs in all (probe 2)" in before
    assert re.search(r"features of 26 texts \(\d+ numbers each\): ", before)
    assert before.count("left out: ") == 1
    assert "left out: 2 examples\n  2: `stars` must not be empty (reviews.csv, row 38; reviews.csv, row 39)" in before
    assert re.search(r"\d+% correct on 5 texts \(95 %: \d+% to \d+%\); always answering '(good|bad)': 60%", after)
    assert re.search(r"phase +epochs +best epoch +result +seconds\nprobe +2 +[12] +kept", after)
    assert f"left out in all: 2 examples, listed in {folder}/invalid.csv" in after
    assert (folder / "invalid.csv").read_text().count("reviews.csv") == 2


def test_options_of_python_are_options_of_the_shell(trained):
    folder, _ = trained
    config = json.loads((folder / "config.json").read_text())
    assert (config["input"]["sequence_length"], config["input"]["truncation"]) == (12, "start")
    (phase,) = config["recipe"]["phases"]
    assert (phase["patience"], phase["warmup"]) == (5, 0.2)
    assert phase["optimizer"]["gradient_accumulation_steps"] == 2
    assert config["class_weight"] == {"bad": 1.0, "good": 2.0}


def test_the_split_is_stored_and_evaluation_warns_of_training_examples(trained):
    folder, _ = trained
    parts = Counter(line.split(",")[0] for line in (folder / "split.csv").read_text().splitlines()[1:])
    assert parts == {"train": 26, "val": 5, "test": 5}
    columns = ("--text", "review", "--label", "stars")
    process = command("evaluate", folder, folder.parent / "reviews.csv", *columns)
    assert "36 of the 36 examples were trained on (reviews.csv, row 2, " in process.stderr
    assert "note: 36 of the 36 examples were trained on" in process.stdout
    (folder.parent / "good.csv").write_text("review,stars\nan unknown text,good\n")
    process = command("evaluate", folder, folder.parent / "good.csv", *columns)
    assert "trained on" not in process.stdout
    assert "note: no example of 'bad': balanced_accuracy and macro_f1 are not defined" in process.stdout
    assert "balanced_accuracy " not in process.stdout.replace("balanced_accuracy and", "")
    assert "on 1 texts" in process.stdout


def test_a_json_result_has_the_parts_and_the_headline(reviews, tmp_path):
    process = command("train", *reviews, "--test", "0.2", "--val", "0", "--out", tmp_path / "run", "--json")
    result = json.loads(process.stdout)
    assert result["parts"]["val"] == {"examples": 0, "classes": {"bad": 0, "good": 0}}
    assert result["parts"]["test"]["examples"] == 7
    assert " correct on 7 texts (95 %: " in result["headline"]
    assert any("were trained on" in note for note in result["notes"])  # the table has every text six times
    assert "is still that of guessing" in process.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sequence-length", "0"), "Invalid value for '--sequence-length'"),
        (("--input", "photo"), "pass one of them. Received: --input photo and --text review"),
        (("--truncation", "left"), "`truncation` must be one of"),
        (("--patience", "0"), "Invalid value for '--patience': Input should be greater than or equal to 1"),
        (("--warmup", "-1"), "`warmup` must be at least 0"),
        (("--accumulate", "0"), "Invalid value for '--accumulate': Input should be greater than or equal to 1"),
        (("--class-weight", "x"), "`--class-weight` must be balanced"),
        (("--class-weight", "god=2"), "'god'"),
        (("--max-invalid", "2"), "Invalid value for '--max-invalid': Input should be less than or equal to 1"),
        (("--probe-epochs", "3"), "`--probe-epochs` requires --recipe fine_tune or few_shot"),
        (("--threshold", "0.4"), "`--threshold` requires --label-type multilabel"),
    ],
)
def test_wrong_options_are_refused_and_leave_no_folder(reviews, tmp_path, arguments, message):
    process = command("train", *reviews, *arguments, cwd=tmp_path)
    assert process.returncode == 2
    assert message in process.stderr
    assert list(tmp_path.iterdir()) == []
