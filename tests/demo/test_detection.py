"""The demo of object detection finds most objects, and shows them."""

import json

import pytest

from tests.commands import command
from tltk.demo import detection


@pytest.mark.slow
@pytest.mark.optimized
def test_the_demo_finds_the_objects(tmp_path, monkeypatch, replay_here):
    monkeypatch.setattr(detection, "EPOCHS", 18)
    process = command("demo", "--task", "detection", "--json", "--out", tmp_path / "demo")
    assert process.returncode == 0, process.stderr
    result = json.loads(process.stdout)
    assert result["test_ap50"] >= 0.7
    assert (tmp_path / "demo" / "run" / "report.html").is_file()
    assert len(list((tmp_path / "demo" / "drawings").glob("*.png"))) == 12
    assert (tmp_path / "demo" / "serving" / "1" / "saved_model.pb").is_file()


def test_an_unknown_task_or_backbone_is_an_error(tmp_path):
    for arguments, message in ((("--task", "detect"), "detection"), (("--task", "detection", "--backbone", "x"), "x")):
        process = command("demo", *arguments, "--out", tmp_path / "demo")
        assert process.returncode == 2 and message in process.stderr and not (tmp_path / "demo").exists()
