"""Sounds in memory and in folders."""

import numpy as np
import pytest

import tltk
from tests.images import encoded
from tests.sounds import clips_folder, tone, wav
from tltk.data.formats.media_files import IMAGES, SOUNDS, find_files
from tltk.specs import AudioSpec

SPEC = AudioSpec(sample_rate=8000, seconds=0.5)


def test_sounds_in_memory_are_checked_all_at_once():
    as_integers = (tone() * 32_767).astype("int16")
    source = tltk.from_arrays([as_integers, np.stack([tone(), tone()], 1)], ["a", "b"], sample_rate=8000)
    assert source.modality == "audio" and source.describe().startswith("2 sounds in memory, 2 classes")
    assert np.abs(source.examples[0] - source.examples[1]).max() < 1e-4
    with pytest.raises(tltk.errors.InvalidInput) as error:
        tltk.from_arrays([np.zeros((2, 900)), np.array([np.nan]), tone() * 30_000, np.zeros(0)], sample_rate=8000)
    assert all(f"`x`[{row}]" in str(error.value) for row in range(4))
    assert "put the channels last" in str(error.value) and "32768" in str(error.value)
    with pytest.raises(tltk.errors.InvalidType, match=r"`x`\[0\] of dtype <U2"):
        tltk.from_arrays(["no"], sample_rate=8000)


def test_a_folder_holds_what_most_of_its_files_are(tmp_path):
    folder = clips_folder(tmp_path / "clips", count=2)
    (folder / "low" / "cover.jpg").write_bytes(b"x")
    assert len(tltk.from_folder(folder)) == 4
    assert len(tltk.from_folder(folder, unlabelled=True)) == 4
    for number in range(7):
        (folder / "low" / f"{number}.png").write_bytes(b"x")
    assert tltk.from_folder(folder / "low", unlabelled=True).modality == "image"


def test_files_without_a_suffix_are_told_by_their_first_bytes(tmp_path):
    heads = {
        "audio": [wav(tone()), b"FORM\0\0\0\0AIFF", b"fLaC", b"OggS", b"ID3\x04", b"\xff\xfb\x90"],
        "image": [encoded("jpg"), b"RIFF\x10\0\0\0WEBPVP8 "],
        "other": [b"RIFF\x10\0\0\0AVI LIST", b"FORM\0\0\0\0ILBM", b"RIFF", b""],
    }
    for name, contents in heads.items():
        (tmp_path / name).mkdir()
        for number, content in enumerate(contents):
            (tmp_path / name / str(number)).write_bytes(content)
    sources = {name: tltk.from_folder(tmp_path / name, unlabelled=True) for name in ("audio", "image")}
    assert {name: (source.modality, len(source)) for name, source in sources.items()} == {
        "audio": ("audio", 6),
        "image": ("image", 2),
    }
    with pytest.raises(tltk.errors.InvalidInput, match="contains no images, but 4 no suffix"):
        tltk.from_folder(tmp_path / "other", unlabelled=True)
    assert [len(find_files(tmp_path, kind=kind).paths) for kind in (IMAGES, SOUNDS)] == [2, 6]
