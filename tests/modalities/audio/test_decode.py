"""Decoding of sound files."""

import sys

import numpy as np
import pytest
import soundfile

import tltk
from tests.sounds import tone, wav
from tltk.data.formats.sounds import Clip
from tltk.modalities.audio import decode
from tltk.modalities.audio.decode import decode_file
from tltk.modalities.audio.validate import invalid_files
from tltk.modalities.audio.wav import TOO_LOUD
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


def with_declared_samples(flac, count):
    """Return a FLAC file that declares another number of samples; 0 is an unknown one."""
    content = bytearray(flac.read_bytes())
    content[21:26] = (content[21] & 0xF0 | count >> 32).to_bytes(1, "big") + (count & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(content)


def test_a_streamed_file_without_its_length_is_read_to_its_end(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(seconds=2), 8000)
    (tmp_path / "streamed.flac").write_bytes(with_declared_samples(tmp_path / "a.flac", 0))
    (expected, _), (samples, reason) = (decode.read_whole(tmp_path / name) for name in ("a.flac", "streamed.flac"))
    assert reason == "" and samples[1] == 8000
    np.testing.assert_array_equal(samples[0], expected[0])
    assert decode.frames_of(tmp_path / "streamed.flac") == (16_000, 8000, "")


def test_a_header_that_declares_billions_of_samples_is_damaged(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(), 8000)
    (tmp_path / "b.flac").write_bytes(with_declared_samples(tmp_path / "a.flac", 2**36 - 1))
    (reason,) = invalid_files([tmp_path / "b.flac"])
    assert "damaged: its header declares 68,719,476,735 samples" in reason
    assert decode.read_whole(tmp_path / "b.flac") == (None, reason)


def test_the_ending_raw_says_nothing_about_the_format(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(), 8000)
    (tmp_path / "a.flac").rename(tmp_path / "sound.raw")
    (tmp_path / "text.raw").write_text("no sound at all, just some text")
    assert invalid_files([tmp_path / "sound.raw", tmp_path / "text.raw"]) == ["", decode.NOT_A_SOUND]
    assert decode_file(tmp_path / "text.raw", SPEC) == (None, decode.NOT_A_SOUND)
    assert decode_file(tmp_path / "sound.raw", SPEC)[1] == ""


def test_parts_of_an_mp3_file_are_those_of_the_whole(tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.1, 5 * 22_050)
    soundfile.write(tmp_path / "a.mp3", 0.3 * tone(seconds=5, rate=22_050)[: len(noise)] + noise, 22_050)
    (whole, _), _ = decode.read_whole(tmp_path / "a.mp3")
    for start in np.linspace(0.05, 4.5, 30):
        (part, _), reason = decode.read_whole(Clip(str(tmp_path / "a.mp3"), float(start), float(start) + 0.3))
        first = round(start * 22_050)
        assert reason == ""
        np.testing.assert_allclose(part, whole[first : first + len(part)], atol=1e-4)


@pytest.mark.parametrize("value", [20.0, 1e20])
def test_samples_that_are_far_too_loud_are_listed_whatever_reads_them(tmp_path, value):
    samples = np.full(4000, value, np.float32) * np.sin(np.arange(4000)).astype("float32")
    soundfile.write(tmp_path / "loud.wav", samples, 8000, subtype="FLOAT")
    for spec in (SPEC, AudioSpec(sample_rate=8000, seconds=0.5, trim_silence=40)):
        assert decode_file(tmp_path / "loud.wav", spec) == (None, TOO_LOUD)
    assert decode.read_with_soundfile(tmp_path / "loud.wav") == (None, TOO_LOUD)
