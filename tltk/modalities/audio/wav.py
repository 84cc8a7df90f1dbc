"""A parser of WAV files made of TensorFlow operations, so that a SavedModel reads what training reads.

`tf.audio.decode_wav` knows 16 bits only, and an invalid file fails its whole graph; this one returns an error instead.
The format: Multimedia Programming Interface and Data Specifications 1.0 (Microsoft and IBM 1991), and
WAVEFORMATEXTENSIBLE.
"""

from typing import NamedTuple

import tensorflow as tf

from tltk.specs.audio import LOUDEST, MAX_RATE, MIN_RATE

EMPTY, NOT_WAV = "0 bytes", "not a WAV file"
NO_SAMPLES = "no samples"
DAMAGED = "truncated or damaged WAV"
CONTRADICTORY = "damaged WAV: its header contradicts itself"
UNSUPPORTED = "WAV of an unsupported encoding: PCM of 8, 16, 24 or 32 bits and float of 32 or 64 bits are supported"
TOO_MANY_CHANNELS = "WAV with more than 8 channels"
WRONG_RATE = f"WAV with a sample rate outside of {MIN_RATE} to {MAX_RATE} Hz"
NOT_FINITE = "NaN or infinite samples"
TOO_LOUD = f"samples above {LOUDEST:g}: divide 16-bit samples by 32768"
MAX_CHANNELS = 8
MAX_CHUNKS = 256  # of metadata before the samples
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_ENCODINGS = ((_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32), (_FLOAT, 64))
_STREAMED = 0x7FFF_F000  # programs that write to a pipe declare this size, or a larger one


class Sound(NamedTuple):
    """A sound in a graph.

    Attributes:
        samples: Mono, float32 [n] in [-1, 1]; one zero if it cannot be read.
        sample_rate: int32 [], in Hz.
        error: string [], why it cannot be read; "" if it can.
    """

    samples: tf.Tensor
    sample_rate: tf.Tensor
    error: tf.Tensor


class _Header(NamedTuple):
    encoding: tf.Tensor  # index in _ENCODINGS; their number if it is another one
    channels: tf.Tensor
    sample_rate: tf.Tensor
    frame_bytes: tf.Tensor
    start: tf.Tensor  # first byte of the samples
    bytes: tf.Tensor  # of whole frames
    error: tf.Tensor


def read_wav(data: tf.Tensor) -> Sound:
    """Read a WAV file; an invalid one gives an error, and never fails the graph.

    Args:
        data: string [], the bytes of the file: PCM of 8, 16, 24 or 32 bits, float of 32 or 64 bits, 1 to 8 channels.

    Returns:
        The mean of the channels, the sample rate, and what is wrong. Integers are divided by their range: 16 bits by
        32,768.

    Examples:
        >>> read_wav(tf.constant(b"RIFF")).error.numpy()
        b'not a WAV file'
    """
    header = _read_header(data, _length(data))
    is_valid = tf.equal(header.error, "")
    samples = tf.cond(is_valid, lambda: _samples(data, header), lambda: tf.zeros([1]))
    is_finite = tf.reduce_all(tf.math.is_finite(samples))
    is_loud = tf.reduce_any(tf.abs(samples) > LOUDEST)
    error = tf.where(is_valid & is_loud, TOO_LOUD, header.error)
    error = tf.where(is_valid & ~is_finite, NOT_FINITE, error)
    samples = tf.cond(is_finite & ~is_loud, lambda: samples, lambda: tf.zeros([1]))
    rate = tf.where(tf.equal(error, ""), tf.cast(header.sample_rate, tf.int32), MIN_RATE)
    return Sound(samples, rate, error)


def wav_layout(head: tf.Tensor, length: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Read a WAV file's header, without its samples.

    Args:
        head: string [], the beginning of the file.
        length: int64 [], bytes of the whole file. If `head` ends before the samples begin, the file counts as damaged.

    Returns:
        Position of the first sample, bytes of a frame, frames and sample rate, int64 [] each; and what is wrong,
        string [], "" if nothing is.
    """
    header = _read_header(head, length)
    frames = header.bytes // header.frame_bytes
    return header.start, header.frame_bytes, frames, header.sample_rate, header.error


def _number(data: tf.Tensor, position: tf.Tensor, count: int) -> tf.Tensor:
    """Return `count` bytes as an unsigned number, int64 []; bytes behind the end are zeros."""
    text = tf.strings.substr(data, tf.clip_by_value(position, 0, _length(data)), count)
    values = tf.cast(tf.io.decode_raw(text, tf.uint8, fixed_length=count), tf.int64)
    return tf.reduce_sum(values * tf.constant([256**index for index in range(count)], tf.int64))


def _name(data: tf.Tensor, position: tf.Tensor | int) -> tf.Tensor:
    return tf.strings.substr(data, tf.minimum(tf.cast(position, tf.int64), _length(data)), 4)


def _length(data: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.strings.length(data), tf.int64)


def _find_chunks(data: tf.Tensor, length: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the positions of the format and of the samples, behind the names of their chunks; -1 without one."""

    def is_searching(position: tf.Tensor, form: tf.Tensor, samples: tf.Tensor) -> tf.Tensor:
        return (samples < 0) & (position + 8 <= length)

    def step(position: tf.Tensor, form: tf.Tensor, samples: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        name, size = _name(data, position), _number(data, position + 4, 4)
        form = tf.where(tf.equal(name, "fmt "), position + 4, form)
        samples = tf.where(tf.equal(name, "data"), position + 4, samples)
        return position + 8 + size + size % 2, form, samples

    start = tf.constant(12, tf.int64), tf.constant(-1, tf.int64), tf.constant(-1, tf.int64)
    _, form, samples = tf.while_loop(is_searching, step, start, maximum_iterations=MAX_CHUNKS)
    return form, samples


def _read_header(data: tf.Tensor, length: tf.Tensor) -> _Header:
    form, position = _find_chunks(data, length)
    tag, channels, sample_rate = _number(data, form + 4, 2), _number(data, form + 6, 2), _number(data, form + 8, 4)
    frame_bytes, bits = _number(data, form + 16, 2), _number(data, form + 18, 2)
    tag = tf.where(tag == _EXTENSIBLE, _number(data, form + 28, 2), tag)
    encodings = tf.constant(_ENCODINGS, tf.int64)
    is_encoding = (encodings[:, 0] == tag) & (encodings[:, 1] == bits)
    encoding = tf.where(tf.reduce_any(is_encoding), tf.argmax(is_encoding, output_type=tf.int32), len(_ENCODINGS))
    start, declared = position + 4, _number(data, position, 4)
    available = length - start
    size = tf.where(declared >= _STREAMED, available, declared)
    problems = (
        (length == 0, EMPTY),
        ((_name(data, 0) != "RIFF") | (_name(data, 8) != "WAVE"), NOT_WAV),
        ((form < 0) | (position < 0), DAMAGED),
        (encoding == len(_ENCODINGS), UNSUPPORTED),
        (channels > MAX_CHANNELS, TOO_MANY_CHANNELS),
        ((channels == 0) | (frame_bytes != channels * bits // 8), CONTRADICTORY),
        ((sample_rate < MIN_RATE) | (sample_rate > MAX_RATE), WRONG_RATE),
        (size > available, DAMAGED),
        (size < frame_bytes, NO_SAMPLES),
    )
    error = tf.constant("")
    for is_wrong, reason in reversed(problems):
        error = tf.where(is_wrong, reason, error)
    frame_bytes = tf.maximum(frame_bytes, 1)
    return _Header(encoding, channels, sample_rate, frame_bytes, start, size - size % frame_bytes, error)


def _samples(data: tf.Tensor, header: _Header) -> tf.Tensor:
    """Decode the samples of a file with a valid header, float32 [frames]."""
    raw = tf.strings.substr(data, header.start, header.bytes)

    def integers(dtype: tf.DType) -> tf.Tensor:
        return tf.cast(tf.io.decode_raw(raw, dtype), tf.float32) / float(-dtype.min)

    def three_bytes() -> tf.Tensor:
        parts = tf.reshape(tf.cast(tf.io.decode_raw(raw, tf.uint8), tf.int32), [-1, 3])
        unsigned = parts[:, 0] + 256 * parts[:, 1] + 65_536 * parts[:, 2]
        return tf.cast(unsigned - tf.where(unsigned >= 2**23, 2**24, 0), tf.float32) / 2.0**23

    decoders = (
        lambda: (tf.cast(tf.io.decode_raw(raw, tf.uint8), tf.float32) - 128) / 128,
        lambda: integers(tf.int16),
        three_bytes,
        lambda: integers(tf.int32),
        lambda: tf.io.decode_raw(raw, tf.float32),
        lambda: tf.cast(tf.io.decode_raw(raw, tf.float64), tf.float32),
    )
    values = tf.switch_case(header.encoding, decoders)
    return tf.reduce_mean(tf.reshape(values, tf.stack([-1, tf.cast(header.channels, tf.int32)])), 1)
