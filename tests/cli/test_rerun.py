"""The commands `tltk train --resume` and `tltk rerun`."""

import json
import shutil
import signal

import pytest

from tests.commands import command
from tltk.training.checkpoints import WriteCheckpoints
from tltk.training.stop_request import TrainingStopped


@pytest.fixture(scope="module")
def stopped(reviews, tmp_path_factory):
    """A training that SIGTERM has ended in its second epoch, with a checkpoint; and what it printed."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    original, calls = WriteCheckpoints.on_train_batch_end, []

    def on_train_batch_end(self, batch, logs=None):
        original(self, batch, logs)
        calls.append(batch)
        if len(calls) == 5:
            raise TrainingStopped(signal.SIGTERM)

    options = ("--recipe", "linear_probe", "--epochs", "4", "--batch-size", "8", "--checkpoint", "1 step")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WriteCheckpoints, "on_train_batch_end", on_train_batch_end)
        process = command("train", *reviews, *options, "--out", folder)
    return folder, process


def test_a_stopped_training_says_how_to_go_on(stopped):
    folder, process = stopped
    assert process.returncode == 143, process.stderr
    assert f"--resume {folder}" in process.stderr and (folder / "checkpoints" / "command.json").exists()


def test_it_is_not_replaced_and_goes_on_with_its_options_only(stopped, reviews):
    folder, _ = stopped
    refused = command("train", *reviews, "--out", folder)
    assert refused.returncode == 2 and "--overwrite" in refused.stderr
    refused = command("train", "--resume", folder, "--epochs", "9")
    assert refused.returncode == 2 and "--epochs" in refused.stderr and "--force" in refused.stderr
    refused = command("rerun", folder)
    assert refused.returncode == 2 and "its training was interrupted" in refused.stderr
    assert f"--resume {folder}" in refused.stderr


def test_it_goes_on_elsewhere_only_with_its_data(stopped, reviews, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(stopped[0], folder)
    path = folder / "checkpoints" / "command.json"
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({**stored, "working_folder": str(tmp_path / "moved")}))
    refused = command("train", "--resume", folder)
    assert refused.returncode == 2 and "moved, which does not exist" in refused.stderr
    assert "with --force and DATA" in refused.stderr
    shutil.copy(reviews[0], tmp_path / "reviews.csv")
    process = command("train", "reviews.csv", "--resume", folder, "--force", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    stored = json.loads((folder / "command.json").read_text())
    assert stored["options"]["data"] == str(tmp_path / "reviews.csv")


def test_it_goes_on_and_can_be_done_again(stopped, reviews):
    folder, _ = stopped
    process = command("train", reviews[0], "--resume", folder, "--json")
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout)["phases"][0]["epochs"] == 4
    assert not (folder / "checkpoints").exists() and (folder / "command.json").exists()

    stored = json.loads((folder / "command.json").read_text())
    del stored["options"]["truncation"]  # as if the option did not exist then
    (folder / "command.json").write_text(json.dumps(stored))
    process = command("rerun", folder, "--json")
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout) == {"run": str(folder), "equal": True, "differences": []}

    (folder / "history.csv").write_text((folder / "history.csv").read_text().replace("probe,1,", "probe,1,1"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "sha256": None, "hardware": {"cores": 99}}))
    process = command("rerun", folder)
    assert process.returncode == 1
    assert "the numbers differ" in process.stdout and "history.csv differs" in process.stdout
    assert "hardware.cores: 99 before" in process.stdout


def test_wrong_folders_are_explained(tmp_path):
    for arguments in (("train", "--resume", tmp_path), ("rerun", tmp_path)):
        process = command(*arguments)
        assert process.returncode == 2 and "is not the folder of a run" in process.stderr
    process = command("train")
    assert process.returncode == 2 and "DATA is missing" in process.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--force",), "`--force` is only used with --resume"),
        (("--resume", "run", "--out", "other", "--overwrite"), "`--out` is not used with --resume"),
        (("--resume", "run", "--overwrite"), "`--overwrite` is not used with --resume"),
    ],
)
def test_options_that_would_do_nothing_are_refused(tmp_path, options, message):
    process = command("train", "photos", *options, cwd=tmp_path)
    assert process.returncode == 2 and message in process.stderr
