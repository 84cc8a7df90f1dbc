"""Decoding of requests in a graph."""

import numpy as np
import tensorflow as tf

from tests.sounds import tone, wav
from tltk.modalities.audio.decode import decode_file, fit_samples
from tltk.modalities.audio.requests import read_requests, read_waveforms, waveform_requests
from tltk.modalities.audio.wav import read_wav
from tltk.specs import AudioSpec

SPEC = AudioSpec(sample_rate=8000, seconds=0.25)


def test_requests_are_decoded_as_files_and_invalid_ones_are_silent(tmp_path):
    good = wav(tone(rate=11_025), 11_025)
    (tmp_path / "a.wav").write_bytes(good)
    request = read_requests(tf.constant([b"", good, good[:-1]]), SPEC)
    assert request.valid.numpy().tolist() == [False, True, False]
    assert request.error.numpy().tolist() == [b"0 bytes", b"", b"truncated or damaged WAV"]
    np.testing.assert_allclose(request.inputs[1], decode_file(tmp_path / "a.wav", SPEC)[0], atol=1e-6)
    assert not request.inputs[0].numpy().any() and not request.inputs[2].numpy().any()
    assert int(request.context.count) == 3


def test_waveforms_are_resampled_as_arrays_are_and_invalid_ones_are_silent():
    samples = np.stack([tone(rate=11_025, seconds=0.4)] * 8)
    samples[3, 100], samples[4, 100], samples[5, 100] = np.nan, -np.inf, 9000
    rates = np.array([11_025, 8000, 10, 8000, 8000, 8000, 8000, 400_000], "int32")
    lengths = np.array([4410, 1000, 4410, 4410, 4410, 4410, 0, 4410], "int32")
    request = read_waveforms(*map(tf.constant, (samples, rates, lengths)), SPEC)
    assert request.valid.numpy().tolist() == [True, True] + [False] * 6
    messages = [message.decode() for message in request.error.numpy()]
    assert messages[2] == messages[7] == "a sample rate outside of 1000 to 384000 Hz"
    assert messages[3] == messages[4] == "NaN or infinite samples"
    assert messages[5:7] == ["samples above 16: divide 16-bit samples by 32768", "no samples"]
    assert request.inputs.shape == (8, *SPEC.shape) and not request.inputs.numpy()[2:].any()
    np.testing.assert_array_equal(request.inputs[0], fit_samples(samples[0], 11_025, SPEC))
    np.testing.assert_array_equal(request.inputs[1], fit_samples(samples[1, :1000], 8000, SPEC))
    lengths = tf.constant([-1, 4411], tf.int32)
    request = read_waveforms(tf.constant(samples[:2]), tf.constant(rates[:2]), lengths, SPEC)
    assert set(request.error.numpy()) == {b"a length outside of 0 to the number of samples"}


def test_sampled_requests_contain_valid_and_invalid_ones_and_are_sources():
    for kind in waveform_requests(SPEC):
        inputs = kind.sample()
        request = kind.read(*map(tf.constant, inputs))
        valid = np.flatnonzero(request.valid)
        assert 0 < len(valid) < len(inputs[0])
        assert [source.id_of(0) for source in kind.sources(inputs)] == [str(row) for row in valid]


def test_windows_of_samples_are_those_of_files():
    spec = AudioSpec(sample_rate=8000, seconds=0.25, overlap=0.1)
    files = [wav(tone(seconds=seconds, rate=11_025), 11_025) for seconds in (0.7, 0.2)]
    sounds = [read_wav(tf.constant(file)).samples.numpy() for file in files]
    samples = np.stack([np.pad(sound, (0, 7718 - len(sound))) for sound in sounds])
    lengths = tf.constant([len(sound) for sound in sounds])
    from_files = read_requests(tf.constant([*files, b""]), spec)
    request = read_waveforms(tf.constant(samples), tf.constant([11_025, 11_025]), lengths, spec)
    np.testing.assert_array_equal(request.inputs, from_files.inputs[:-1])
    assert request.context.example_ids.numpy().tolist() == from_files.context.example_ids.numpy().tolist()[:-1]
    assert int(request.context.count) == 2 and len(request.inputs) > 3
