"""Spoken words for the demo, without espeak-ng."""

import shutil
import subprocess

import pytest

from tests.commands import command
from tests.demo.speaking import WORDS, stand_in
from tltk.demo import speech
from tltk.errors import FileError, NotFound


def test_no_voice_is_heard_in_both_parts(monkeypatch, tmp_path):
    speaker = stand_in(monkeypatch)
    folder = speech.make_clips(tmp_path, speaker, words=WORDS, train=3, test=4)
    names = {part: [path.relative_to(folder) for path in (folder / part).rglob("*.wav")] for part in ("train", "test")}
    assert [len(files) for files in names.values()] == [27, 12]
    train, test = ({speech.voice_of(str(name)) for name in files} for files in names.values())
    assert len(train) == 3 and len(test) == 4 and not train & test
    contents = {path: path.read_bytes() for path in folder.rglob("*.wav")}
    (folder / "train" / "no" / "other-0.wav").write_bytes(b"of an earlier call")
    speech.make_clips(tmp_path, speaker, words=WORDS, train=3, test=4)
    assert {path: path.read_bytes() for path in folder.rglob("*.wav")} == contents
    with pytest.raises(FileError, match="has 8 voices, and 9 are needed"):
        speech.make_clips(tmp_path, speaker, words=WORDS, train=3, test=6)


def test_without_espeak_and_apt_the_way_out_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(NotFound, match=r"brew install espeak-ng.*tltk train FOLDER"):
        speech.espeak(tmp_path)
    process = command("demo", "--task", "audio", "--backbone", "efficientnet_lite00", "--out", tmp_path / "demo")
    assert process.returncode == 2 and "Did you mean 'efficientnet_lite0'" in process.stderr
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name == "apt-get" else None)

    def fail(command, **_):
        raise subprocess.CalledProcessError(100, command, stderr="E: no network")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(FileError, match="apt-get install -s failed: E: no network"):
        speech.espeak(tmp_path)
