"""Validation of sound files."""

from tests.sounds import tone, wav
from tltk.modalities.audio.decode import read_whole
from tltk.modalities.audio.validate import invalid_files
from tltk.modalities.audio.wav import DAMAGED, WRONG_RATE
from tltk.modalities.audio.wav_file import _header
from tltk.specs import AudioSpec

SPEC = AudioSpec(sample_rate=8000, seconds=0.5)


def test_a_wav_with_a_long_header_is_valid(tmp_path):
    good = wav(tone())
    (tmp_path / "a.wav").write_bytes(good[:12] + b"LIST" + (9000).to_bytes(4, "little") + bytes(9000) + good[12:])
    assert invalid_files([tmp_path / "a.wav"]) == [""]
    assert len(read_whole(tmp_path / "a.wav")[0][0]) == 4000


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
