"""The command `tltk inspect`, and `--exclude` of the others."""

import json
import shutil

import pytest

from tests.commands import command
from tltk.data.exclude import read_ids


@pytest.fixture
def faulty(photos, tmp_path):
    """The photos with one copy in another class and one empty file."""
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    shutil.copy(folder / "red" / "0.png", folder / "blue" / "copy.png")
    (folder / "red" / "empty.jpg").touch()
    return folder


def test_findings_are_printed_and_the_exclude_list_is_written(faulty, tmp_path):
    process = command("inspect", faulty, "--exclude-list", "exclude.txt", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert "38 images, 3 classes: 2 errors" in process.stdout
    assert "red/empty.jpg (0 bytes)" in process.stdout
    assert "exclude list: exclude.txt" in process.stdout
    assert set(read_ids(tmp_path / "exclude.txt")) == {"red/empty.jpg", "red/0.png", "blue/copy.png"}
    again = command("inspect", faulty, "--exclude", "exclude.txt", "--json", cwd=tmp_path)
    result = json.loads(again.stdout)
    assert result["summary"] == "35 images, 3 classes"
    assert [item["name"] for item in result["findings"] if item["severity"] == "error"] == []
    assert len(result["groups"]) == 35


def test_a_test_folder_is_compared_and_findings_can_be_chosen(photos, tmp_path):
    process = command(
        "inspect",
        photos,
        "--test",
        photos,
        "--json",
        "--exclude-list",
        "e.txt",
        "--findings",
        "near leaks",
        cwd=tmp_path,
    )
    result = json.loads(process.stdout)
    leaks = next(item for item in result["findings"] if item["name"] == "leaks")
    assert leaks["count"] == 36
    assert len(result["exclude"]) == 36
    assert read_ids(tmp_path / "e.txt") == []


def test_texts_with_a_backbone(reviews, preset):
    table, text, column, label, labels = reviews[:5]
    process = command("inspect", table, text, column, label, labels, "--backbone", preset, "--json")
    result = json.loads(process.stdout)
    assert result["summary"] == "36 texts, 2 classes"
    assert next(item for item in result["findings"] if item["name"] == "exact_duplicates")["count"] == 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--findings", "leeks"), "Did you mean 'leaks'"),
        (("--run", "runs/x", "--backbone", "resnet50"), "leave --backbone out"),
        (("--exclude", "nowhere.txt"), "nowhere.txt does not exist"),
        (("--label-type", "class"), "label_type"),
        (("--image-size", "64"), "`--image-size` is only used with --backbone"),
        (("--findings", "leaks"), "`--findings` is only used with --exclude-list"),
    ],
)
def test_wrong_options_are_refused(photos, tmp_path, arguments, message):
    process = command("inspect", photos, *arguments, cwd=tmp_path)
    assert process.returncode == 2
    assert message in process.stderr
