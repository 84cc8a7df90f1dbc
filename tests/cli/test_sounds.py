"""Sounds on the command line: a folder of recordings is recognised by its files."""

import json

import pytest

from tests.commands import command
from tests.small_networks import use_small_networks
from tests.sounds import clips_folder, tone, wav


@pytest.mark.slow
def test_a_folder_of_recordings_is_trained_on_and_predicted(tmp_path, monkeypatch):
    use_small_networks(monkeypatch)
    clips = clips_folder(tmp_path / "clips", count=8)
    form = ("--backbone", "efficientnet_lite0", "--weights", "random", "--seconds", "0.4", "--image-size", "32")
    form += ("--trim-silence", "50", "--spectrogram", "pcen")
    form += ("--overlap", "0.1")
    process = command("train", clips, *form, "--recipe", "linear_probe", "--epochs", "1", "--out", tmp_path / "run")
    assert process.returncode == 0, process.stderr
    assert process.stderr.startswith("train  12 sounds: high 6, low 6")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    expected = {"modality": "audio", "sample_rate": 16_000, "seconds": 0.4, "crop": "center"}
    assert config["input"] == expected | {"trim_silence": 50.0, "overlap": 0.1}
    predicted = command("predict", tmp_path / "run", clips / "low" / "1.wav", clips / "high", "--json")
    assert len(json.loads(predicted.stdout)["predictions"]) == 9, predicted.stderr
    long = tmp_path / "long.wav"
    long.write_bytes(wav(tone(seconds=1)))
    table = command("predict", tmp_path / "run", long, "--per-window", "--out", tmp_path / "windows.csv").stdout
    assert "windows.csv: 3 rows, 3 predictions" in table
    rows = (tmp_path / "windows.csv").read_text().splitlines()
    assert rows[0] == "example_id,start,stop,label,probability,high,low,error"
    assert rows[2].startswith(f'"{long}, 0.3 to 0.7 s",0.3,0.7,')
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    several = command("predict", tmp_path / "run", long, tmp_path / "bad.wav", "--per-window", "--overlap", "0")
    assert several.stdout.splitlines()[0].split() == ["time", "label", "probability"]
    assert "0.6 to 1 s" in several.stdout and "bad.wav" in several.stderr
    single = command("predict", tmp_path / "run", long, clips / "low" / "0.wav", "--per-window", "--json").stdout
    first = json.loads(single)["predictions"][0]
    assert (first["start"], first["stop"]) == (0, 0.4) and first["label"] in ("high", "low")


def test_images_have_no_length(tmp_path):
    from tests.images import class_folder

    class_folder(tmp_path / "photos", count=20)
    process = command("train", tmp_path / "photos", "--seconds", "2", "--out", tmp_path / "run")
    assert process.returncode != 0
    assert "`seconds` is the length of sounds; the data are images" in process.stderr
