"""Validation of sound files."""

from tests.sounds import tone, wav
from tltk.modalities.audio.decode import read_whole
from tltk.modalities.audio.validate import invalid_files
from tltk.specs import AudioSpec

SPEC = AudioSpec(sample_rate=8000, seconds=0.5)


def test_a_wav_with_a_long_header_is_valid(tmp_path):
    good = wav(tone())
    (tmp_path / "a.wav").write_bytes(good[:12] + b"LIST" + (9000).to_bytes(4, "little") + bytes(9000) + good[12:])
    assert invalid_files([tmp_path / "a.wav"]) == [""]
    assert len(read_whole(tmp_path / "a.wav")[0][0]) == 4000
