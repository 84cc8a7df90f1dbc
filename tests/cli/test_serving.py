"""`tltk export` and `tltk verify` in a shell."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import tltk
from tests.cli.test_main import tltk as shell
from tests.conftest import squares, squares_model
from tltk.serving.formats import FORMATS


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    tltk.fit(squares_model(), squares(), recipe=tltk.linear_probe(epochs=1), out=folder / "run")
    done = shell("export", folder / "run", folder / "serving", "--json")
    return folder, json.loads(done.stdout)


def test_an_export_is_written_and_said(served):
    folder, said = served
    assert said["saved_model"] == str(folder / "serving" / "1")
    assert max(said["differences"].values()) <= 1e-5


def test_it_is_verified_as_one_json_object(served):
    folder, _ = served
    said = json.loads(shell("verify", folder / "serving", "--json").stdout)
    assert set(said) == {"saved_model", "differences", "bytes", "load_seconds", "latency_ms"}
    assert said["differences"]["serving_default"] <= 1e-5
    assert set(said["latency_ms"]) == {"1", "32"}


def test_it_is_verified_as_a_table_and_what_is_wrong_is_one_line(served):
    folder, _ = served
    shown = shell("verify", folder / "serving").stdout
    assert "serving_default" in shown and "p50 ms" in shown
    failed = shell("verify", folder / "run")
    assert failed.returncode
    assert failed.stdout == ""
    assert "holds no exported model" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1


def test_it_is_verified_through_the_c_interface(served):
    folder, _ = served
    said = json.loads(shell("verify", folder / "serving", "--c-interface", "--json").stdout)
    assert max(said["differences"].values()) <= 1e-5


def test_what_differs_is_told_without_a_traceback_and_as_json(served, tmp_path):
    folder, _ = served
    shutil.copytree(folder / "serving" / "1", tmp_path / "1")
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"none")
    for arguments in ((), ("--json",)):
        done = shell("verify", tmp_path, *arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr and "could not be loaded or called" in done.stderr
        assert "could not be loaded" in json.loads(done.stdout)["error"] if arguments else done.stdout == ""


def test_one_format_and_all_of_them_in_a_table(served, tmp_path):
    folder, _ = served
    for name, each in zip(("red", "green", "blue"), np.split(np.argsort(squares(12).targets.values), 3), strict=True):
        for row in each:
            (tmp_path / "squares" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(squares(12).examples[row]).save(tmp_path / "squares" / name / f"{row}.png")
    one = json.loads(shell("export", folder / "run", tmp_path / "onnx", "--format", "onnx", "--json").stdout)
    assert one["saved_model"] == str(tmp_path / "onnx" / "1")
    sources = ("--data", tmp_path / "squares", "--calibration", tmp_path / "squares")
    done = shell("export", folder / "run", tmp_path / "all", "--format", "all", *sources, "--json")
    rows = json.loads(done.stdout)["formats"]
    assert [row["format"] for row in rows] == ["model.predict", *FORMATS]
    assert all(set(row["milliseconds"]) == {"1", "32"} for row in rows)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--format", "onx"), "Did you mean 'onnx'"),
        (("--format", "all"), "`--format all` needs --data and --calibration"),
        (("--data", "nowhere"), "`--data` goes with --format all. Received: --format saved_model"),
        (("--format", "litert_int8"), "`calibration` goes with format='litert_int8'"),
        (("--format", "litert_int8", "--calibration", "nowhere"), "nowhere"),
        (("--format", "onnx", "--warmup"), "`warmup` is of a SavedModel"),
    ],
)
def test_options_that_do_not_go_together_are_told(served, tmp_path, arguments, told):
    folder, _ = served
    done = shell("export", folder / "run", tmp_path / "x", *arguments)
    assert done.returncode == 2
    assert told in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "x").exists()
