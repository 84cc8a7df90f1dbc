"""The parser of WAV files in the graph, against libsndfile."""

import io

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from tests.sounds import tone, wav
from tltk.modalities.audio import wav as parser


@pytest.fixture(scope="module")
def read():
    return tf.function(parser.read_wav, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)


def encoded(samples, rate=22_050, **options):
    data = io.BytesIO()
    soundfile.write(data, samples, rate, format=options.pop("container", "WAV"), **options)
    return data.getvalue()


def reason(read, data):
    return read(data).error.numpy().decode()


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_samples_are_those_of_libsndfile(read, subtype):
    for channels, container in ((1, "WAV"), (2, "WAVEX"), (8, "WAV")):
        samples = np.random.default_rng(channels).uniform(-1, 1, (501, channels))
        data = encoded(samples, subtype=subtype, container=container)
        sound = read(data)
        expected, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
        assert (sound.error, int(sound.sample_rate)) == (b"", 22_050)
        np.testing.assert_allclose(sound.samples, expected.mean(1), atol=1e-7)


def test_metadata_before_and_after_the_samples_is_skipped(read):
    plain = wav(tone())
    picture = b"LIST" + (7).to_bytes(4, "little") + b"INFOabc" + b"\0"  # of odd length, and padded
    data = plain[:12] + picture + plain[12:] + picture
    assert reason(read, data) == ""
    assert np.array_equal(read(data).samples, read(plain).samples)


def test_the_length_of_a_stream_is_that_of_the_file(read):
    data = bytearray(wav(tone()))
    data[40:44] = b"\xff" * 4
    assert np.array_equal(read(bytes(data)).samples, read(wav(tone())).samples)


def test_files_that_cannot_be_read_say_why(read):
    data = wav(tone())

    def changed(position, value, count=2):
        return data[:position] + value.to_bytes(count, "little") + data[position + count :]

    assert reason(read, b"") == parser.EMPTY
    assert reason(read, b"RIFF and so on") == parser.NOT_WAV
    assert reason(read, data[:30]) == parser.DAMAGED
    assert reason(read, data[:-2]) == parser.DAMAGED  # the header promises more
    assert reason(read, changed(20, 6)) == parser.UNSUPPORTED  # A-law
    assert reason(read, changed(22, 9)) == parser.TOO_MANY_CHANNELS
    assert reason(read, changed(32, 4)) == parser.CONTRADICTORY
    assert reason(read, changed(24, 7, 4)) == parser.WRONG_RATE
    assert reason(read, wav([])) == parser.NO_SAMPLES
    assert reason(read, encoded([0.5, np.nan], subtype="FLOAT")) == parser.NOT_FINITE


def test_no_damaged_file_fails_the_graph(read):
    generator = np.random.default_rng(0)
    data = np.frombuffer(wav(tone()), np.uint8)
    seen = set()
    for _ in range(200):
        damaged = data.copy()
        damaged[generator.integers(0, 60, 3)] = generator.integers(0, 256, 3)
        cut = damaged[: generator.integers(0, 2 * len(data))].tobytes()
        sound = read(cut)
        assert np.isfinite(sound.samples).all()
        seen.add(sound.error.numpy())
    assert len(seen) >= 5
