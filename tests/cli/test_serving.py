"""The commands `tltk export` and `tltk verify`."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import tltk
from tests.commands import command, shell
from tests.conftest import replaying_here, squares, squares_model
from tltk.cli import serving
from tltk.serving.comparison import FormatComparison


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    tltk.fit(squares_model(), squares(), recipe=tltk.linear_probe(epochs=1), out=folder / "run")
    process = shell("export", folder / "run", folder / "serving", "--json")
    return folder, json.loads(process.stdout)


def test_an_export_is_written_and_printed(exported):
    folder, result = exported
    assert result["saved_model"] == str(folder / "serving" / "1")
    assert max(result["largest_differences"].values()) <= 1e-5


def test_verify_prints_one_json_object(exported):
    folder, _ = exported
    result = json.loads(shell("verify", folder / "serving", "--json").stdout)
    assert set(result) == {"saved_model", "largest_differences", "size_bytes", "load_seconds", "latency_ms", "answers"}
    assert result["largest_differences"]["serving_default"] <= 1e-5
    assert set(result["latency_ms"]) == {"1", "32"}


def test_verify_prints_a_table_and_an_error_is_one_line(exported):
    folder, _ = exported
    with replaying_here():
        table = command("verify", folder / "serving").stdout
    assert "serving_default" in table and "p50 ms" in table
    failed = command("verify", folder / "run")
    assert failed.returncode
    assert failed.stdout == ""
    assert "contains no exported model" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1


def test_verify_can_use_the_c_interface(exported):
    folder, _ = exported
    result = json.loads(command("verify", folder / "serving", "--c-interface", "--json").stdout)
    assert max(result["largest_differences"].values()) <= 1e-5


def test_an_error_of_verify_has_no_traceback_and_is_printed_as_json(exported, tmp_path):
    folder, _ = exported
    shutil.copytree(folder / "serving" / "1", tmp_path / "1")
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"garbage")
    for arguments in ((), ("--json",)):
        process = command("verify", tmp_path, *arguments)
        assert process.returncode == 2
        assert "Traceback" not in process.stderr and "could not be loaded or called" in process.stderr
        assert "could not be loaded" in json.loads(process.stdout)["error"] if arguments else process.stdout == ""


def test_a_format_is_measured_in_a_process_of_its_own():
    assert serving._in_own_process(os.getpid) != os.getpid()


def test_one_format_is_exported_and_all_formats_are_compared(exported, tmp_path, monkeypatch):
    calls = []

    def in_this_process(function, *arguments):  # the import of TensorFlow takes seconds in each process
        calls.append(pickle.loads(pickle.dumps((function, arguments))))
        return pickle.loads(pickle.dumps(function(*arguments)))

    monkeypatch.setattr(serving, "_in_own_process", in_this_process)
    monkeypatch.setattr("tltk.serving.FORMATS", ("onnx", "litert_int8"))
    folder, _ = exported
    rows_by_class = np.split(np.argsort(squares(12).targets.values), 3)
    for name, rows in zip(("red", "green", "blue"), rows_by_class, strict=True):
        for row in rows:
            (tmp_path / "squares" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(squares(12).examples[row]).save(tmp_path / "squares" / name / f"{row}.png")
    onnx = json.loads(command("export", folder / "run", tmp_path / "onnx", "--format", "onnx", "--json").stdout)
    assert onnx["saved_model"] == str(tmp_path / "onnx" / "1")
    assert (onnx["answers"]["examples"], onnx["answers"]["changed"]) == (24, 0)
    sources = ("--data", tmp_path / "squares", "--calibration", tmp_path / "squares")
    process = command("export", folder / "run", tmp_path / "all", "--format", "all", *sources, "--json")
    rows = json.loads(process.stdout)["formats"]
    assert [row["format"] for row in rows] == ["model.predict", "onnx", "litert_int8"]
    assert len(calls) == len(rows)
    assert all(set(row["latency_ms"]) == {"1", "32"} for row in rows if not row["refused"])
    assert rows[1]["changed"] == 0


def test_annotations_of_masks_are_read_for_calibration(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.eye(8, dtype="uint8")).save(tmp_path / name / "0.png")
    task = tltk.semantic_segmentation(["background", "line"]).for_input(tltk.ImageSpec(8, 8))
    model = SimpleNamespace(task=task, input_spec=tltk.ImageSpec(8, 8))
    columns = {"label": "label", "input_column": "path", "text": None, "masks": tmp_path / "masks"}
    examples = serving._source(model, tmp_path / "images", columns)
    assert examples.labels == task.labels and examples.targets.read(np.array([0]))[0]["masks"].max() == 1


def test_the_process_that_compares_formats_imports_no_tensorflow(tmp_path):
    code = """
import sys
from tltk.cli import main, serving
serving._in_own_process = lambda function, *arguments: dict(
    format=arguments[-1], path=None, size_bytes=1, metric="accuracy", score=1.0, largest_difference=0.0,
    latency_ms={}, changed=0.0, refused="")
sys.argv = ["tltk", "export", "run", "folder", "--format", "all", "--data", "test", "--calibration", "train"]
try:
    main.main()
finally:
    print(sorted({"tensorflow", "keras"} & set(sys.modules)))
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "litert_int8" in process.stdout and process.stdout.rstrip().endswith("[]"), process.stderr


def test_the_table_of_formats_says_why_one_was_refused(capsys):
    kept = FormatComparison("litert", Path("litert/1"), 5_000_000, "accuracy", 0.9, 1e-6, {"1": 2.0, "32": 8.0})
    refused = FormatComparison("litert_int8", None, None, "accuracy", None, None, {}, None, "30 answers changed")
    serving._show_comparison([kept, refused], title="photos/test")
    printed = capsys.readouterr().out
    assert "0.0%" in printed and "refused" in printed and "litert_int8: 30 answers changed" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "onx"), "Did you mean 'onnx'"),
        (("--format", "all"), "`--format all` requires --data and --calibration"),
        (("--masks", "masks"), "`--masks`: for the examples of --calibration, which is missing"),
        (("--data", "nowhere"), "`--data` requires --format all. Received: --format saved_model"),
        (("--format", "litert_int8"), 'format="litert_int8" requires `calibration`'),
        (("--format", "litert_int8", "--calibration", "nowhere"), "nowhere"),
        (("--format", "onnx", "--warmup"), '`warmup=True` requires format="saved_model"'),
    ],
)
def test_options_that_exclude_each_other_are_an_error(exported, tmp_path, arguments, message):
    folder, _ = exported
    process = command("export", folder / "run", tmp_path / "x", *arguments)
    assert process.returncode == 2
    assert message in process.stderr and "Traceback" not in process.stderr
    assert not (tmp_path / "x").exists()
