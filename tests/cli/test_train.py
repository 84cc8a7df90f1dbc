"""The command `tltk train`."""

import json
import re
import subprocess
import sys
import time

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
    monkeypatch.setattr("tltk.training.fit.train_phase", interrupt)
    process = command("train", *reviews, "--out", tmp_path, "--overwrite")
    assert process.returncode == 130
    assert f"no epoch was finished: {tmp_path} still holds the run before it" in process.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_ctrl_c_before_the_first_epoch_leaves_nothing(reviews, tmp_path, monkeypatch):
    monkeypatch.setattr("tltk.training.fit.train_phase", interrupt)
    process = command("train", *reviews, cwd=tmp_path)
    assert process.returncode == 130
    assert "Nothing was saved, since no epoch was finished.\nInterrupted." in process.stderr
    assert list(tmp_path.iterdir()) == []


def interrupt(*_, **__):
    raise KeyboardInterrupt
