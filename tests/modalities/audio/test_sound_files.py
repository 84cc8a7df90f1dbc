"""Files of noise and impulse responses, which augmentations add."""

import os
from pathlib import Path

import numpy as np
import pytest

import tltk
from tests.sounds import tone, wav
from tltk.modalities.audio.sound_files import file_names, file_states, pick, read_sounds, sound_paths


@pytest.fixture
def folder(tmp_path):
    for name, seconds in (("b.wav", 0.1), ("deep/a.wav", 0.2)):
        (tmp_path / "noise" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "noise" / name).write_bytes(wav(tone(seconds=seconds)))
    return tmp_path / "noise"


def test_files_and_folders_are_read_at_the_rate_of_the_model(folder):
    sounds = read_sounds([str(folder / "deep" / "a.wav"), str(folder)], 16_000)
    assert sounds.lengths.numpy().tolist() == [3200, 1600, 3200]
    assert sounds.starts.numpy().tolist() == [0, 3200, 4800]
    samples = sounds.samples.numpy()
    np.testing.assert_array_equal(samples[:3200], samples[4800:])
    np.testing.assert_allclose(samples[:3200:2], tone(seconds=0.2), atol=0.02)
    starts, lengths = pick(sounds, np.float32([0, 0.34, 0.99]))
    assert starts[:, 0].numpy().tolist() == [0, 3200, 4800] and lengths[:, 0].numpy().tolist() == [3200, 1600, 3200]


def test_everything_that_is_wrong_is_listed_by_name(folder):
    (folder / "b.wav").write_bytes(wav(tone())[:-100])
    (folder.parent / "empty").mkdir()
    files = [folder / "b.wav", folder / "gone.wav", folder.parent / "empty"]
    with pytest.raises(tltk.errors.InvalidInput) as error:
        sound_paths([str(path) for path in files])
    for line in ("b.wav: truncated or damaged WAV", "gone.wav: missing", "empty contains no sounds"):
        assert line in str(error.value)
    (folder / "b.wav").write_bytes(wav(np.zeros(100)))
    with pytest.raises(tltk.errors.InvalidInput, match=r"b\.wav: silent"):
        read_sounds([str(folder / "b.wav")], 8000)


def test_paths_are_stored_as_text():
    assert file_names("a") == file_names(Path("a")) == file_names(["a"]) == ("a",)
    with pytest.raises(tltk.errors.InvalidType, match="`files` must be paths of sounds"):
        file_names([3])
    with pytest.raises(tltk.errors.InvalidInput, match="at least one sound"):
        file_names([])


def test_other_files_have_another_state(folder):
    before = file_states([str(folder)])
    assert before == file_states([str(folder)]) and len(before) == 2
    os.utime(folder / "b.wav", ns=(0, 0))
    assert file_states([str(folder)]) != before


def test_sounds_must_fit_into_memory(folder, monkeypatch):
    monkeypatch.setattr("tltk.modalities.audio.sound_files.MAX_SAMPLES", 2000)
    with pytest.raises(tltk.errors.InvalidInput, match=r"must not last more than .* minutes together. .*a\.wav"):
        read_sounds([str(folder)], 8000)
