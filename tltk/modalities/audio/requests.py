"""Decoding of requests, in a graph, so that an invalid one does not affect the others."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from tltk.data.formats.sounds import Waveforms
from tltk.data.source import Source
from tltk.modalities.audio.decode import fitted
from tltk.modalities.audio.wav import NO_SAMPLES, NOT_FINITE, TOO_LOUD, WRONG_RATE, Sound, read_wav
from tltk.modalities.context import Context
from tltk.modalities.requests import Request, TensorRequests
from tltk.specs import AudioSpec
from tltk.specs.audio import LOUDEST, MAX_RATE, MIN_RATE

WAVEFORM, PADDED_WAVEFORM = "predict_waveform", "predict_padded_waveform"
WRONG_LENGTH = "a length outside of 0 to the number of samples"
_WRONG_RATE = WRONG_RATE.removeprefix("WAV with ")
_SAMPLED = 4  # valid requests of samples in a certificate


def read_requests(audio_bytes: tf.Tensor, spec: AudioSpec) -> Request:
    """Decode a batch of WAV files with the decoder of training.

    Args:
        audio_bytes: Strings [batch], the bytes of WAV files of any sample rate and length.
        spec: Rate, length and crop.

    Returns:
        The request, with waveforms float32 [batch, samples] as `inputs`; zeros for invalid requests. If the spec has
        an overlap, the windows of all requests, one after the other.
    """
    return _read(read_wav, audio_bytes, spec)


def read_waveforms(samples: tf.Tensor, sample_rate: tf.Tensor, lengths: tf.Tensor, spec: AudioSpec) -> Request:
    """Resample a batch of waveforms, and cut or pad them, as in training.

    Args:
        samples: Mono, float32 [batch, n] in [-1, 1], of any length n.
        sample_rate: int32 [batch], in Hz.
        lengths: int32 [batch], how many samples of each row belong to the sound; the others are padding.
        spec: Rate, length and crop.

    Returns:
        The request, with waveforms float32 [batch, samples of the spec] as `inputs`; zeros for invalid requests. If the
        spec has an overlap, the windows of all requests, one after the other.
    """
    return _read(_checked, (samples, sample_rate, lengths), spec)


def _checked(row: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> Sound:
    """Check samples, float32 [n], their rate and their length, int32 []."""
    padded, rate, length = row
    samples = padded[: tf.maximum(length, 0)]
    problems = (
        ((length < 0) | (length > tf.size(padded)), WRONG_LENGTH),
        (length == 0, NO_SAMPLES),
        ((rate < MIN_RATE) | (rate > MAX_RATE), _WRONG_RATE),
        (~tf.reduce_all(tf.math.is_finite(samples)), NOT_FINITE),
        (tf.reduce_any(tf.abs(samples) > LOUDEST), TOO_LOUD),
    )
    error = tf.constant("")
    for is_wrong, reason in reversed(problems):
        error = tf.where(is_wrong, reason, error)
    is_valid = tf.equal(error, "")
    return Sound(tf.cond(is_valid, lambda: samples, lambda: tf.zeros([1])), tf.where(is_valid, rate, MIN_RATE), error)


def _read(read: Callable[[Any], Sound], requests: Any, spec: AudioSpec) -> Request:
    """Read each request as a sound, and fit it, or its windows, into the input of the model."""
    return (_fitted_sounds if spec.overlap is None else _windows)(read, requests, spec)


def _fitted_sounds(read: Callable[[Any], Sound], requests: Any, spec: AudioSpec) -> Request:
    def decode(request: Any) -> tuple[tf.Tensor, tf.Tensor]:
        sound = read(request)
        return fitted(sound.samples, sound.sample_rate, spec), sound.error

    output = (tf.TensorSpec(spec.shape, tf.float32), tf.TensorSpec([], tf.string))
    waveforms, errors = tf.map_fn(decode, requests, fn_output_signature=output)
    valid = tf.equal(errors, "")
    waveforms = tf.where(valid[:, None], tf.ensure_shape(waveforms, [None, *spec.shape]), 0.0)
    return Request(waveforms, valid, errors, Context(tf.size(errors, tf.int64)))


def _windows(read: Callable[[Any], Sound], requests: Any, spec: AudioSpec) -> Request:
    """Read requests as windows, the same as those of `tltk.modalities.audio.windows`."""

    def decode(request: Any) -> tuple[tf.Tensor, tf.Tensor]:
        sound = read(request)
        length, step = _steps(sound.sample_rate, spec)
        last = tf.maximum(tf.size(sound.samples) - length, 0)
        starts = tf.minimum(tf.range(1 - (-last // step)) * step, last)

        def window(start: tf.Tensor) -> tf.Tensor:
            return fitted(sound.samples[start : start + length], sound.sample_rate, spec)

        cut = tf.map_fn(window, starts, fn_output_signature=tf.TensorSpec(spec.shape, tf.float32))
        return cut, sound.error

    windows = tf.RaggedTensorSpec([None, *spec.shape], tf.float32, ragged_rank=0)
    output = (windows, tf.TensorSpec([], tf.string))
    ragged, errors = tf.map_fn(decode, requests, fn_output_signature=output)
    waveforms = tf.ensure_shape(ragged.values, [None, *spec.shape])
    context = Context(tf.size(errors, tf.int64), ragged.value_rowids())
    return Request(waveforms, tf.equal(errors, ""), errors, context)


def _steps(sample_rate: tf.Tensor, spec: AudioSpec) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the samples of a window, and from one window to the next, int32 [] each: `window_steps` in a graph."""
    rate = tf.cast(sample_rate, tf.float64)
    seconds = (spec.seconds, spec.seconds - (spec.overlap or 0.0))
    length, step = (tf.maximum(tf.cast(tf.round(value * rate), tf.int32), 1) for value in seconds)
    return length, step


def waveform_requests(spec: AudioSpec) -> tuple[TensorRequests, ...]:
    """Return the requests of waveforms of one length, and of those that are padded to one length.

    Args:
        spec: Rate, length and crop of the model.
    """
    samples = tf.TensorSpec([None, None], tf.float32, "samples")
    sample_rate, lengths = (tf.TensorSpec(None, tf.int32, name) for name in ("sample_rate", "lengths"))

    def read_whole(samples: tf.Tensor, sample_rate: tf.Tensor) -> Request:
        lengths = tf.fill(tf.shape(samples)[:1], tf.shape(samples)[1])
        return read_waveforms(samples, sample_rate, lengths, spec)

    return (
        TensorRequests(
            WAVEFORM, (samples, sample_rate), read_whole, partial(_sample, spec, with_lengths=False), _sources
        ),
        TensorRequests(
            PADDED_WAVEFORM,
            (samples, sample_rate, lengths),
            partial(read_waveforms, spec=spec),
            partial(_sample, spec, with_lengths=True),
            _sources,
        ),
    )


def _sample(spec: AudioSpec, *, with_lengths: bool) -> tuple[np.ndarray, ...]:
    """Generate waveforms of several rates and, with lengths, of several lengths; the last ones cannot be read."""
    generator = np.random.default_rng(0)
    count, size = _SAMPLED + 2, round(1.2 * spec.samples) + 1
    steps = np.arange(size) * generator.uniform(0.05, 0.5, (count, 1))
    samples = (0.4 * np.sin(steps) + generator.normal(0, 0.02, (count, size))).astype(np.float32)
    rates = np.resize(np.array([spec.sample_rate, 22_050, 44_100], np.int32), count)
    samples[-2, 0], rates[-1] = np.nan, 1
    lengths = np.linspace(size, size // 2, count).astype(np.int32)
    lengths[-1] = 0
    return (samples, rates, lengths) if with_lengths else (samples, rates)


def _sources(inputs: Sequence[np.ndarray]) -> list[Source]:
    """Return a source for each waveform that can be read, since each has its own rate."""
    samples, rates, *lengths = inputs
    sources = []
    for row, rate in enumerate(rates.tolist()):
        sound = samples[row, : lengths[0][row]] if lengths else samples[row]
        if sound.size and np.isfinite(sound).all() and MIN_RATE <= rate <= MAX_RATE:
            values = np.empty(1, object)
            values[0] = sound
            sources.append(Source("audio", "arrays", Waveforms(values, rate), ids=np.array([str(row)], object)))
    return sources
