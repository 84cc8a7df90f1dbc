"""The image demo reaches its accuracy and reports missing weights."""

import json
from functools import partial

import pytest

from tests.commands import command
from tltk.demo import walk
from tltk.demo.patches import make_patches


@pytest.mark.slow
@pytest.mark.optimized
def test_the_demo_reaches_its_accuracy(tmp_path, monkeypatch):
    monkeypatch.setattr(walk, "TRAINING_MODE_SLOWDOWN", 3 * walk.TRAINING_MODE_SLOWDOWN)  # a third of its epochs
    monkeypatch.setattr(walk, "make_patches", partial(make_patches, test=40))
    process = command("demo", "--json", "--out", tmp_path / "demo")
    assert process.returncode == 0, process.stderr
    result = json.loads(process.stdout)
    assert result["test_accuracy"] >= 0.86
    assert result["test_accuracy"] > result["probe_accuracy"]
    assert result["test_accuracy"] > result["scratch_accuracy"] + 0.2
    assert (tmp_path / "demo" / "run" / "report.html").is_file()
    assert (tmp_path / "demo" / "serving" / "1" / "saved_model.pb").is_file()
    assert result["served"]["also_imported"] == []
    assert "5/5" in process.stderr


def test_an_unknown_backbone_is_an_error(tmp_path):
    process = command("demo", "--backbone", "resnet5", "--out", tmp_path / "demo")
    assert process.returncode == 2
    assert "Did you mean 'resnet50'?" in process.stderr
    assert "1/5" not in process.stderr and not (tmp_path / "demo").exists()


def test_unreachable_weights_are_an_error_without_a_traceback(tmp_path):
    process = command("demo", "--backbone", "vgg19", "--out", tmp_path / "demo")
    assert process.returncode == 2
    assert "Traceback" not in process.stderr
