import json

import pytest

from tests.cli.test_main import tltk


@pytest.mark.slow
def test_the_demo_meets_its_numbers(tmp_path):
    done = tltk("demo", "--json", "--out", tmp_path / "demo", timeout=580)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["test_accuracy"] >= 0.86
    assert result["test_accuracy"] > result["probe_accuracy"]
    assert result["test_accuracy"] > result["scratch_accuracy"] + 0.2
    assert (tmp_path / "demo" / "run" / "report.html").is_file()
    assert (tmp_path / "demo" / "serving" / "1" / "saved_model.pb").is_file()
    assert result["served"]["also_imported"] == []
    assert "5/5" in done.stderr


def test_an_unknown_backbone_is_told_before_anything_is_cut(tmp_path):
    done = tltk("demo", "--backbone", "resnet5", "--out", tmp_path / "demo")
    assert done.returncode == 2
    assert "Did you mean 'resnet50'?" in done.stderr


def test_unreachable_weights_are_told_with_the_ways_out(tmp_path):
    done = tltk("demo", "--backbone", "vgg19", "--out", tmp_path / "demo")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
