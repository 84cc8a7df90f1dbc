"""The demo of spoken words, with tones instead of words."""

import json

import pytest

from tests.demo.speaking import WORDS, stand_in
from tltk.demo import words


@pytest.mark.slow
def test_the_demo_tells_words_apart_and_serves_its_predictions(monkeypatch, tmp_path, replay_here):
    stand_in(monkeypatch)
    monkeypatch.setattr(words, "EPOCHS", 4)
    lines: list[str] = []
    result = words.run_audio_demo(tmp_path, words=WORDS, voices=(4, 4), say=lines.append)
    assert len(lines) == 4 and "12 of 4 other voices" in lines[0]
    assert result.rows()[0][0] == "cepstra, no network"
    assert result.to_json()["test_accuracy"] >= 0.75
    assert result.answer["label"] in WORDS and result.answer["clip"].startswith("test/")
    assert (result.run / "report.html").is_file() and (result.saved_model / "saved_model.pb").is_file()
    assert json.loads(json.dumps(result.to_json(), default=str))["clips"] == str(tmp_path / "clips")
