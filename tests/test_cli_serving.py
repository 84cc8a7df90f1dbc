"""`tltk export` and `tltk verify` in a shell."""

import json

import pytest

import tltk
from tests.conftest import squares, squares_model
from tests.test_cli import tltk as shell


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
    assert "holds no SavedModel" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1
