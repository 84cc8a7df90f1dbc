"""Decoding of requests, in a graph, so that an invalid one does not affect the others."""

import tensorflow as tf

from tltk.modalities.audio.decode import fitted, wav_decoder
from tltk.modalities.audio.wav import read_wav
from tltk.modalities.context import Context
from tltk.modalities.requests import Request
from tltk.specs import AudioSpec


def read_requests(audio_bytes: tf.Tensor, spec: AudioSpec) -> Request:
    """Decode a batch of WAV files with the decoder of training.

    Args:
        audio_bytes: Strings [batch], the bytes of WAV files of any sample rate and length.
        spec: Rate, length and crop.

    Returns:
        The request, with waveforms float32 [batch, samples] as `inputs`; zeros for invalid requests. If the spec has
        an overlap, the windows of all requests, one after the other.
    """
    if spec.overlap is not None:
        return _read_windows(audio_bytes, spec)
    output = (tf.TensorSpec(spec.shape, tf.float32), tf.TensorSpec([], tf.string))
    waveforms, errors = tf.map_fn(wav_decoder(spec), audio_bytes, fn_output_signature=output)
    valid = tf.equal(errors, "")
    waveforms = tf.where(valid[:, None], tf.ensure_shape(waveforms, [None, *spec.shape]), 0.0)
    return Request(waveforms, valid, errors, Context(tf.size(audio_bytes, tf.int64)))


def _read_windows(audio_bytes: tf.Tensor, spec: AudioSpec) -> Request:
    """Decode a batch of WAV files as windows, the same as those of `tltk.modalities.audio.windows`."""

    def decode(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        sound = read_wav(data)
        length, step = _steps(sound.sample_rate, spec)
        last = tf.maximum(tf.size(sound.samples) - length, 0)
        starts = tf.minimum(tf.range(1 - (-last // step)) * step, last)

        def window(start: tf.Tensor) -> tf.Tensor:
            return fitted(sound.samples[start : start + length], sound.sample_rate, spec)

        cut = tf.map_fn(window, starts, fn_output_signature=tf.TensorSpec(spec.shape, tf.float32))
        return cut, sound.error

    windows = tf.RaggedTensorSpec([None, *spec.shape], tf.float32, ragged_rank=0)
    output = (windows, tf.TensorSpec([], tf.string))
    ragged, errors = tf.map_fn(decode, audio_bytes, fn_output_signature=output)
    waveforms = tf.ensure_shape(ragged.values, [None, *spec.shape])
    context = Context(tf.size(audio_bytes, tf.int64), ragged.value_rowids())
    return Request(waveforms, tf.equal(errors, ""), errors, context)


def _steps(sample_rate: tf.Tensor, spec: AudioSpec) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the samples of a window, and from one window to the next, int32 [] each: `window_steps` in a graph."""
    rate = tf.cast(sample_rate, tf.float64)
    seconds = (spec.seconds, spec.seconds - (spec.overlap or 0.0))
    length, step = (tf.maximum(tf.cast(tf.round(value * rate), tf.int32), 1) for value in seconds)
    return length, step
