"""Decoding of requests in a graph."""

import numpy as np
import tensorflow as tf

from tests.sounds import tone, wav
from tltk.modalities.audio.decode import decode_file
from tltk.modalities.audio.requests import read_requests
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
