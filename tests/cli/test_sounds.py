"""Sounds on the command line: a folder of recordings is recognised by its files."""

import json

import pytest

from tests.commands import command
from tests.sounds import clips_folder


@pytest.mark.slow
def test_a_folder_of_recordings_is_trained_on_and_predicted(tmp_path):
    clips = clips_folder(tmp_path / "clips", count=8)
    form = ("--backbone", "efficientnet_lite0", "--weights", "random", "--seconds", "0.4", "--image-size", "32")
    form += ("--trim-silence", "50", "--spectrogram", "pcen")
    process = command("train", clips, *form, "--recipe", "linear_probe", "--epochs", "1", "--out", tmp_path / "run")
    assert process.returncode == 0, process.stderr
    assert process.stderr.startswith("train  12 sounds: high 6, low 6")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["input"] == {
        "modality": "audio",
        "sample_rate": 16_000,
        "seconds": 0.4,
        "crop": "center",
        "trim_silence": 50.0,
    }
    predicted = command("predict", tmp_path / "run", clips / "low" / "1.wav", clips / "high", "--json")
    assert len(json.loads(predicted.stdout)["predictions"]) == 9, predicted.stderr


def test_images_have_no_length(tmp_path):
    from tests.images import class_folder

    class_folder(tmp_path / "photos", count=20)
    process = command("train", tmp_path / "photos", "--seconds", "2", "--out", tmp_path / "run")
    assert process.returncode != 0
    assert "`seconds` is the length of sounds; the data are images" in process.stderr
