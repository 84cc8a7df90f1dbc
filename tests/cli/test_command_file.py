import json
from pathlib import Path

import pytest

from tltk.cli import command_file
from tltk.errors import InvalidInput, NotFound


def test_options_are_kept_with_the_checkpoints_and_then_with_the_run(tmp_path):
    folder = tmp_path / "runs" / "a"
    with command_file.recorded(folder, {"data": "photos", "out": folder, "epochs": 3}):
        (folder / "config.json").touch()
        stored = command_file.read(folder)
    assert stored["options"] == {"data": "photos", "epochs": 3}
    assert command_file.read(folder) == stored and not (folder / "checkpoints").exists()


def test_a_training_that_fails_leaves_no_folder_unless_it_has_a_checkpoint(tmp_path):
    folder = tmp_path / "runs" / "a"
    with pytest.raises(KeyboardInterrupt), command_file.recorded(folder, {}):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), command_file.recorded(folder, {}):
        (folder / "checkpoints" / "checkpoint-1.npz").touch()
        raise KeyboardInterrupt
    assert command_file.read(folder)["options"] == {}


def test_options_are_kept_with_a_run_whose_training_was_interrupted(tmp_path):
    with pytest.raises(KeyboardInterrupt), command_file.recorded(tmp_path, {"epochs": 3}):
        (tmp_path / "config.json").touch()
        raise KeyboardInterrupt
    assert command_file.read(tmp_path)["options"] == {"epochs": 3} and not (tmp_path / "checkpoints").exists()
    with pytest.raises(KeyboardInterrupt), command_file.recorded(tmp_path, {"epochs": 4}):
        (tmp_path / "checkpoints" / "checkpoint-1.npz").touch()
        raise KeyboardInterrupt
    assert command_file.read(tmp_path)["options"] == {"epochs": 4}
    assert command_file.read(tmp_path, of_run=True)["options"] == {"epochs": 3}  # the run is still the older one


def test_older_checkpoints_keep_their_options(tmp_path):
    checkpoints = tmp_path / "checkpoints"
    with pytest.raises(KeyboardInterrupt), command_file.recorded(tmp_path, {"epochs": 3}):
        (checkpoints / "checkpoint-1.npz").touch()
        raise KeyboardInterrupt
    with pytest.raises(InvalidInput), command_file.recorded(tmp_path, {"epochs": 4}):
        raise InvalidInput("fails at once")
    assert command_file.read(tmp_path)["options"] == {"epochs": 3}
    with pytest.raises(KeyboardInterrupt), command_file.recorded(tmp_path, {"epochs": 4}):
        (checkpoints / "checkpoint-2.npz").touch()
        raise KeyboardInterrupt
    assert command_file.read(tmp_path)["options"] == {"epochs": 4}

    (checkpoints / "command.json").unlink()  # checkpoints of a script
    with pytest.raises(InvalidInput), command_file.recorded(tmp_path, {"epochs": 5}):
        raise InvalidInput("fails at once")
    assert not (checkpoints / "command.json").exists()


def test_folders_without_options_are_explained(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(NotFound, match=r"phots does not exist.*Did you mean .*photos"):
        command_file.read(tmp_path / "phots")
    with pytest.raises(NotFound, match="is not the folder of a run that `tltk train` has begun"):
        command_file.read(tmp_path / "photos")
    (tmp_path / "photos" / "config.json").touch()
    with pytest.raises(NotFound, match="resume=True"):
        command_file.read(tmp_path / "photos")
    (tmp_path / "photos" / "command.json").write_text(json.dumps({"options": []}))
    with pytest.raises(InvalidInput, match=r"command\.json is damaged"):
        command_file.read(tmp_path / "photos")


def test_other_options_need_force(tmp_path):
    stored = {"options": {"epochs": 3, "batch_size": "32"}, "working_folder": str(tmp_path)}
    assert command_file.resumed_options(stored, {"epochs": 3}, force=False) == stored["options"]
    with pytest.raises(InvalidInput, match=r"--batch-size.*--force"):
        command_file.resumed_options(stored, {"batch_size": "16"}, force=False)
    assert command_file.resumed_options(stored, {"epochs": 4}, force=True) == {"epochs": 4, "batch_size": "32"}


def test_equal_paths_are_no_other_options(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").touch()  # of a preset
    options = {"data": "photos", "exclude": "e.txt", "backbone": "tiny", "weights": "random", "cache": "features"}
    stored = {"options": options, "working_folder": str(tmp_path)}
    monkeypatch.chdir(tmp_path)
    same = {**options, "data": Path("photos"), "exclude": Path("./e.txt")}
    assert command_file.resumed_options(stored, same, force=False) == options
    monkeypatch.chdir(tmp_path / "elsewhere")
    same = {"data": tmp_path / "photos", "exclude": Path("../e.txt"), "backbone": "../tiny", "weights": "random"}
    assert command_file.resumed_options(stored, same, force=False) == options
    with pytest.raises(InvalidInput, match="differ from them: DATA, --cache"):
        command_file.resumed_options(stored, {"data": Path("photos"), "cache": "features"}, force=False)
    changed = command_file.resumed_options(stored, {"data": Path("photos"), "weights": "pretrained"}, force=True)
    assert changed == {**options, "data": str(tmp_path / "elsewhere" / "photos"), "weights": "pretrained"}


def test_a_working_folder_that_was_moved_is_named(tmp_path):
    stored = {"options": {}, "working_folder": str(tmp_path / "moved")}
    message = r"ran in .*moved, which does not exist.*with --force"
    with pytest.raises(NotFound, match=message), command_file.in_working_folder(stored, fix="Try with --force."):
        pytest.fail("the folder does not exist")
