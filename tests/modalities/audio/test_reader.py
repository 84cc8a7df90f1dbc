"""Readers of sounds."""

import numpy as np
import pytest
import soundfile

import tltk
from tests.sounds import clips_folder, tone, wav
from tltk.data.fingerprints import fingerprints
from tltk.data.formats.sounds import Clip
from tltk.modalities.audio.validate import invalid_files
from tltk.modalities.modality import modality_of
from tltk.pipeline.batching import Order
from tltk.pipeline.readers import join_batches
from tltk.specs import AudioSpec

SPEC = AudioSpec(sample_rate=8000, seconds=0.5)


def read_all(source, spec=SPEC, batch_size=100):
    """Return the inputs of all sounds of a source, and why the others cannot be read."""
    parts = list(modality_of(spec).reader(source, spec).partial_batches(Order(batch_size)))
    (_, rows, (values,)), *_ = join_batches(iter(parts))
    return rows, values, {row: reason for part in parts for row, reason in part.invalid.items()}


def test_short_sounds_are_padded_and_long_ones_cut():
    ramp = np.linspace(0.1, 0.9, 9, dtype="float32")
    source = tltk.from_arrays([ramp, ramp[:4], ramp[:5]], sample_rate=8000)
    center, start = (AudioSpec(8000, 5 / 8000, crop) for crop in ("center", "start"))
    assert np.allclose(read_all(source, center)[1], [ramp[2:7], [*ramp[:4], 0], ramp[:5]])
    assert np.allclose(read_all(source, start)[1], [ramp[:5], [*ramp[:4], 0], ramp[:5]])
    longer = AudioSpec(8000, 9 / 8000)
    assert np.allclose(read_all(source, longer)[1][1], [0, 0, *ramp[:4], 0, 0, 0])


def test_files_that_cannot_be_used_are_listed_before_and_during_training(tmp_path):
    folder = clips_folder(tmp_path / "clips", count=2)
    good = (folder / "low" / "0.wav").read_bytes()
    bad = {
        "empty.wav": (b"", "0 bytes"),
        "text.wav": (b"not a sound, whatever its name says", "not a sound file"),
        "cut.wav": (good[:-10], "truncated or damaged WAV"),
        "cover.wav": (good[:12] + b"LIST" + (9000).to_bytes(4, "little") + bytes(9000) + good[12:-10], "truncated"),
        "rate.wav": (good[:24] + (5).to_bytes(4, "little") + good[28:], "sample rate"),
    }
    for name, (data, _) in bad.items():
        (folder / "low" / name).write_bytes(data)
    (folder / "low" / "song.m4a").write_bytes(b"x")
    (folder / "low" / "notes.txt").write_text("x")
    source = tltk.from_folder(folder)
    assert source.modality == "audio" and source.labels.names == ("high", "low")
    assert repr(source) == "<Source of 9 audio files, 2 classes>"
    assert [example.reason for example in source.invalid] == [".m4a sounds cannot be read: convert it to WAV or FLAC"]
    valid, invalid = modality_of(SPEC).validate(source)
    assert [source.id_of(row) for row in range(len(valid))] != [] and len(valid) == 4
    reasons = {example.example_id.removeprefix("low/"): example.reason for example in invalid}
    assert reasons.keys() == bad.keys()
    assert all(reasons[name].startswith(reason) or reason in reasons[name] for name, (_, reason) in bad.items())
    # The decoder, which also meets files that were damaged after they were validated, agrees.
    rows, values, undecodable = read_all(source)
    assert values.shape == (4, 4000) and len(rows) == 4
    assert sorted(undecodable.values()) == sorted(reasons.values())
    assert invalid_files([tmp_path / "no.wav", tmp_path]) == ["missing", "a folder"]


def test_clips_are_parts_of_a_recording(tmp_path):
    ramp = np.linspace(-0.9, 0.9, 16_000, dtype="float32")
    soundfile.write(tmp_path / "long.wav", ramp, 8000, subtype="FLOAT")
    path = str(tmp_path / "long.wav")
    clips = np.array([Clip(path, 0.25, 0.75), Clip(path, 1.5), Clip(path, 2.5, 3.0)], object)
    source = tltk.Source("audio", "files", clips)
    _, values, undecodable = read_all(source)
    assert np.allclose(values, [ramp[2000:6000], ramp[12_000:]])
    assert undecodable == {2: "no samples from 2.5 s: the recording lasts 2.00 s"}
    assert [example.reason for example in modality_of(SPEC).validate(source)[1]] == list(undecodable.values())
    first, second, _ = fingerprints(source)
    assert first != second  # parts of a recording are no copies of each other
    copy = tmp_path / "copy.wav"
    copy.write_bytes((tmp_path / "long.wav").read_bytes())
    assert fingerprints(tltk.Source("audio", "files", np.array([Clip(str(copy), 0.25, 0.75)], object))) == [first]


def test_parts_that_begin_almost_alike_are_not_taken_for_each_other(tmp_path):
    (tmp_path / "day.wav").write_bytes(wav(tone()))
    clips = [Clip(str(tmp_path / "day.wav"), start) for start in (86400.01, 86400.04)]
    sources = [tltk.Source("audio", "files", np.array([clip], object)) for clip in clips]
    assert len({modality_of(SPEC).reader(source, SPEC).fingerprint() for source in sources}) == 2
    assert len({fingerprints(source)[0] for source in sources}) == 2


def test_tables_name_parts_of_recordings(tmp_path):
    soundfile.write(tmp_path / "day.wav", tone(seconds=2), 8000)
    rows = ["path,from,to,bird", "day,0.5,1,crow", "day.wav,,0.5,owl", "day.wav,1.5,1,owl", "day.wav,-1,,owl"]
    (tmp_path / "birds.csv").write_text("\n".join(rows))
    options = {"label": "bird", "modality": "audio", "start": "from", "stop": "to"}
    source = tltk.from_csv(tmp_path / "birds.csv", **options)
    assert [(clip.start, clip.stop) for clip in source.examples] == [(0.5, 1.0), (0.0, 0.5)]
    assert [example.example_id for example in source.invalid] == ["birds.csv, row 4", "birds.csv, row 5"]
    assert "stop after its start. Received: from='1.5', to='1'" in source.invalid[0].reason
    rows = [f'{{"path": "day.wav", "bird": "{bird}", "from": 0.5}}' for bird in ("crow", "owl")]
    (tmp_path / "birds.jsonl").write_text("\n".join(rows))
    clips = tltk.from_jsonl(tmp_path / "birds.jsonl", **(options | {"stop": None})).examples
    assert clips[1] == Clip(str(tmp_path / "day.wav"), 0.5)
    assert read_all(source)[1].shape == (2, 4000)
    with pytest.raises(ValueError, match="`start` and `stop` are for sounds: pass modality='audio'"):
        tltk.from_csv(tmp_path / "birds.csv", label="bird", start="from")
