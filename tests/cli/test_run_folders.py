"""The folder of a new run, and the link to the latest one."""

import re
from pathlib import Path

import pytest

from tltk.cli import run_folders


def test_a_folder_with_a_run_is_refused_without_overwrite(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    assert run_folders.choose(tmp_path, overwrite=False) == tmp_path
    for name in ("config.json", "model.keras"):
        (tmp_path / name).write_text("x")
    with pytest.raises(ValueError, match=rf"{re.escape(str(tmp_path))} holds a run.*--out.*--overwrite"):
        run_folders.choose(tmp_path, overwrite=False)
    assert run_folders.choose(tmp_path, overwrite=True) == tmp_path


def test_the_latest_run_is_a_link_to_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = []
    for _ in range(3):
        folder = run_folders.choose(None, overwrite=False)
        folder.mkdir(parents=True)
        run_folders.link_latest(folder)
        folders.append(folder)
        assert str(Path("runs/latest").readlink()) == folder.name  # relative, so that `runs` can be moved
    assert len(set(folders)) == 3
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d-\d{6}(-\d+)?", folder.name) for folder in folders)


def test_a_folder_called_latest_stays_and_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "latest").mkdir(parents=True)
    (tmp_path / "runs" / "a").mkdir()
    run_folders.link_latest(run_folders.RUNS / "a")
    assert "runs/latest is not a link to runs/a: " in capsys.readouterr().err
    assert not (tmp_path / "runs" / "latest").is_symlink()
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["a", "latest"]


def test_data_with_the_name_of_a_file_of_the_run_is_not_replaced(tmp_path):
    (tmp_path / "split.csv").write_text("text,label")
    with pytest.raises(ValueError, match=r"`--out` would overwrite the input .*split\.csv\. Received: "):
        run_folders.check_inputs(tmp_path, "photos", str(tmp_path / "split.csv"))  # a string, as `tltk rerun` has it
    run_folders.check_inputs(tmp_path, tmp_path, None, tmp_path / "mine.csv", tmp_path / "photos" / "split.csv")
