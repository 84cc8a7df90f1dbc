"""Decoding of sound files."""

import sys

import numpy as np
import pytest
import soundfile

import tltk
from tests.sounds import tone, wav
from tltk.modalities.audio import decode
from tltk.modalities.audio.decode import decode_file
from tltk.modalities.audio.validate import invalid_files
from tltk.specs import AudioSpec

SPEC = AudioSpec(sample_rate=8000, seconds=0.5)


def test_every_format_of_a_sound_gives_the_same_input(tmp_path):
    samples = tone(rate=11_025)
    for suffix in ("wav", "flac", "ogg", "mp3"):
        soundfile.write(tmp_path / f"a.{suffix}", samples, 11_025)
    (tmp_path / "named_wrongly.wav").write_bytes((tmp_path / "a.flac").read_bytes())
    expected, reason = decode_file(tmp_path / "a.wav", SPEC)
    assert reason == ""
    for name, tolerance in (("a.flac", 1e-4), ("named_wrongly.wav", 1e-4), ("a.ogg", 0.05), ("a.mp3", 0.05)):
        waveform, reason = decode_file(tmp_path / name, SPEC)
        assert reason == ""
        assert np.abs(waveform - expected).mean() < tolerance, name


def test_other_formats_need_soundfile(tmp_path, monkeypatch):
    (tmp_path / "a.flac").write_bytes(b"fLaC")
    (tmp_path / "a.wav").write_bytes(wav(tone()))
    monkeypatch.setitem(sys.modules, "soundfile", None)
    assert invalid_files([tmp_path / "a.wav"]) == [""]
    with pytest.raises(tltk.errors.MissingExtra, match=r"a\.flac, are read with soundfile: pip install tltk\[audio\]"):
        invalid_files([tmp_path / "a.flac"])


def test_a_file_that_cannot_be_opened_or_is_deleted_meanwhile_is_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "unreadable_reason", lambda path: "")  # it was still there
    for read in (lambda path: decode.decode_file(path, SPEC), decode.read_whole):
        assert read(tmp_path / "gone.wav") == (None, "No such file or directory")
