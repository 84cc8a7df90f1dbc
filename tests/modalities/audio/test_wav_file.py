"""Headers and parts of WAV files."""

import sys

import numpy as np
import pytest
import soundfile

import tltk
from tests.sounds import tone, wav
from tltk.data.formats.sounds import Clip
from tltk.modalities.audio.decode import read_whole
from tltk.modalities.audio.validate import invalid_files
from tltk.modalities.audio.wav import DAMAGED, WRONG_RATE
from tltk.modalities.audio.wav_file import _header, read_part


def test_metadata_and_samples_are_not_read(tmp_path):
    good, cover = wav(tone()), b"LIST" + (2_000_001).to_bytes(4, "little") + bytes(2_000_002)
    files = {
        "cover": (good[:12] + cover + good[12:], ""),
        "cut": (good[:12] + cover + good[12:-10], DAMAGED),
        "no samples": (good[:12] + cover + good[12:36], DAMAGED),
        "cut metadata": (good[:12] + cover[:1000], DAMAGED),
        "rate": (good[:24] + (5).to_bytes(4, "little") + good[28:], WRONG_RATE),
        "long format": (good[:16] + (100).to_bytes(4, "little") + good[20:36] + bytes(84) + good[36:], ""),
        **{f"at {size}": (good[:12] + b"LIST" + size.to_bytes(4, "little") + bytes(size) + good[12:], "") for size in
           range(4040, 4080, 2)},
    }  # fmt: skip
    for name, (data, _) in files.items():
        (tmp_path / name).write_bytes(data)
        with (tmp_path / name).open("rb") as file:
            assert len(_header(file)[0]) < 120
    paths = [tmp_path / name for name in files]
    assert invalid_files(paths) == [reason for _, reason in files.values()]
    assert [read_whole(path)[1] for path in paths] == [reason for _, reason in files.values()]


def test_parts_of_wav_files_need_no_soundfile(tmp_path, monkeypatch):
    ramp = np.linspace(-0.9, 0.9, 16_000)
    soundfile.write(tmp_path / "a.flac", ramp, 8000)
    soundfile.write(tmp_path / "a.wav", ramp, 8000, subtype="PCM_24")
    stereo = wav(np.stack([ramp, -ramp / 2], 1))
    (tmp_path / "s.wav").write_bytes(stereo[:12] + b"LIST" + (7).to_bytes(4, "little") + bytes(8) + stereo[12:])
    monkeypatch.setitem(sys.modules, "soundfile", None)
    clips = [Clip(str(tmp_path / "a.wav"), 0.25, 0.75), Clip(str(tmp_path / "s.wav"), 1.5)]
    (first, rate), (second, _) = (read_whole(clip)[0] for clip in clips)
    assert rate == 8000 and np.allclose(first, ramp[2000:6000], atol=1e-6)
    assert np.allclose(second, ramp[12_000:] / 4, atol=1e-4)
    assert read_part(Clip(str(tmp_path / "a.wav"), 2.5)) == (b"", "no samples from 2.5 s: the recording lasts 2.00 s")
    with pytest.raises(tltk.errors.MissingExtra, match=r"a\.flac, are read with soundfile"):
        tltk.windows(tltk.Source("audio", "files", np.array([str(tmp_path / "a.flac")], object)), seconds=0.5)
