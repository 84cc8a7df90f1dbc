"""The demo of spoken words, with a stand-in for espeak-ng: a tone for each word, in another pitch for each voice."""

import json
import shutil
import subprocess

import pytest

from tests.commands import command
from tests.sounds import tone, wav
from tltk.demo import speech
from tltk.demo.words import run_audio_demo
from tltk.errors import FileError, NotFound

WORDS = ("yes", "no", "up")


@pytest.fixture
def speaker(monkeypatch):
    """espeak-ng with eight voices, which is never started."""
    voices = speech.Espeak("espeak-ng", {}, tuple(f"voice{number}" for number in range(8)))
    monkeypatch.setattr(speech, "espeak", lambda folder: voices)

    def speak(speaker, order):
        pitch = 300 * 2.5 ** WORDS.index(order.word) * (1 + 0.02 * int(order.voice[-1]))
        return wav(tone(pitch=pitch, seconds=60 / order.speed, rate=8000, seed=order.pitch), 8000)

    monkeypatch.setattr(speech, "speak", speak)
    return voices


def test_no_voice_is_heard_in_both_parts(speaker, tmp_path):
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


@pytest.mark.slow
def test_the_demo_tells_words_apart_and_serves_its_predictions(speaker, tmp_path, replay_here):
    lines: list[str] = []
    result = run_audio_demo(tmp_path, words=WORDS, voices=(4, 4), say=lines.append)
    assert len(lines) == 4 and "12 of 4 other voices" in lines[0]
    assert result.rows()[0][0] == "cepstra, no network"
    assert result.to_json()["test_accuracy"] >= 0.75
    assert result.answer["label"] in WORDS and result.answer["clip"].startswith("test/")
    assert (result.run / "report.html").is_file() and (result.saved_model / "saved_model.pb").is_file()
    assert json.loads(json.dumps(result.to_json(), default=str))["clips"] == str(tmp_path / "clips")


def test_without_espeak_and_apt_the_way_out_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(NotFound, match=r"brew install espeak-ng.*tltk train FOLDER"):
        speech.espeak(tmp_path)
    process = command("demo", "--task", "audio", "--backbone", "efficientnet_lite", "--out", tmp_path / "demo")
    assert process.returncode == 2 and "Did you mean 'efficientnet_lite0'" in process.stderr
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name == "apt-get" else None)

    def fail(command, **_):
        raise subprocess.CalledProcessError(100, command, stderr="E: no network")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(FileError, match="apt-get install -s failed: E: no network"):
        speech.espeak(tmp_path)
