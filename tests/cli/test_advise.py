"""The command `tltk advise`."""

import json

from tests.commands import command
from tests.texts import LABELS, TEXTS


def test_texts_are_compared_and_an_unlabelled_target(reviews, preset, tmp_path):
    table, *columns = reviews[:5]
    target = tmp_path / "new.csv"
    target.write_text("\n".join(["review", *(f'"{text}"' for text in TEXTS * 3)]))
    process = command("advise", table, *columns, "--backbone", preset, "--target", target)
    assert process.returncode == 0, process.stderr
    assert "TF-IDF" in process.stdout
    assert "recommended: " in process.stdout
    assert "shift: no shift found" in process.stdout
    assert "has no column 'stars'" in process.stderr


def test_json_is_one_object(reviews, preset, tmp_path):
    table, *columns = reviews[:5]
    target = tmp_path / "new.csv"
    rows = [f'"{text}",{"new" if label == "bad" else label}' for text, label in zip(TEXTS, LABELS, strict=True)] * 2
    target.write_text("\n".join(["review,stars", *rows]))
    process = command(
        "advise", table, *columns, "--backbone", preset, "--target", target, "--measures", "--budget", "off", "--json"
    )
    result = json.loads(process.stdout)
    assert result["recommended"] in {choice["name"] for choice in result["choices"]}
    assert result["shift"]["new_classes"] == ["new"]
    assert result["choices"][0]["h_score"] is not None


def test_what_is_wrong_is_told(photos, tmp_path):
    process = command("advise", tmp_path / "nowhere")
    assert process.returncode == 2
    assert "nowhere does not exist" in process.stderr
    process = command("advise", photos, "--backbone", "resnet5")
    assert process.returncode == 2
    assert "Did you mean 'resnet50'" in process.stderr
    process = command("advise", photos, "--budget", "soon")
    assert "`--budget` must be a time" in process.stderr and "or off" in process.stderr
