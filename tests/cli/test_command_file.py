import json

import pytest

from tltk.cli import command_file
from tltk.errors import InvalidInput, NotFound


def test_options_are_kept_with_the_checkpoints_and_then_with_the_run(tmp_path):
    folder = tmp_path / "runs" / "a"
    with command_file.recorded(folder, {"data": "photos", "out": folder, "epochs": 3}):
        (folder / "model.keras").touch()
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


def test_other_options_need_force():
    stored = {"options": {"epochs": 3, "batch_size": "32"}}
    assert command_file.resumed_options(stored, {"epochs": 3}, force=False) == stored["options"]
    with pytest.raises(InvalidInput, match=r"--batch-size.*--force"):
        command_file.resumed_options(stored, {"batch_size": "16"}, force=False)
    assert command_file.resumed_options(stored, {"epochs": 4}, force=True) == {"epochs": 4, "batch_size": "32"}
