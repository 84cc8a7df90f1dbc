"""Decoding of requests, in a graph, so that an invalid one does not affect the others."""

import tensorflow as tf

from tltk.modalities.audio.decode import wav_decoder
from tltk.modalities.context import Context
from tltk.modalities.requests import Request
from tltk.specs import AudioSpec


def read_requests(audio_bytes: tf.Tensor, spec: AudioSpec) -> Request:
    """Decode a batch of WAV files with the decoder of training.

    Args:
        audio_bytes: Strings [batch], the bytes of WAV files of any sample rate and length.
        spec: Rate, length and crop.

    Returns:
        The request, with waveforms float32 [batch, samples] as `inputs`; zeros for invalid requests.
    """
    output = (tf.TensorSpec(spec.shape, tf.float32), tf.TensorSpec([], tf.string))
    waveforms, errors = tf.map_fn(wav_decoder(spec), audio_bytes, fn_output_signature=output)
    valid = tf.equal(errors, "")
    waveforms = tf.where(valid[:, None], tf.ensure_shape(waveforms, [None, *spec.shape]), 0.0)
    return Request(waveforms, valid, errors, Context(tf.size(audio_bytes, tf.int64)))
