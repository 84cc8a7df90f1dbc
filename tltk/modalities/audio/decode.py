"""Decoding of sounds: from the bytes or the path of a file to the input of a model."""

import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tltk.data.formats.sounds import Clip
from tltk.foundation.errors import MissingExtra
from tltk.modalities.audio.resample import resample, resampled_length
from tltk.modalities.audio.trim import trim
from tltk.modalities.audio.wav import EMPTY, NO_SAMPLES, NOT_FINITE, TOO_LOUD, WRONG_RATE, read_wav
from tltk.modalities.audio.wav_file import frame_range, no_samples_reason, read_header, read_part
from tltk.specs import AudioSpec
from tltk.specs.audio import LOUDEST, MAX_RATE, MIN_RATE

DECODER_VERSION = 2  # change it whenever the same file is decoded to other samples
NOT_A_SOUND = "not a sound file that can be read, such as WAV, FLAC, OGG or MP3"
MAX_FILE_BYTES = 2**30
_UNKNOWN = 2**63 - 1  # samples of a file whose header does not tell them, as libsndfile says
_BLOCK = 2**20  # samples that are read at once
_MOST_PER_BYTE = 10_000  # samples; silence in FLAC has some hundreds
_MP3_RESERVOIR = 16 * 1152  # samples before a part: a frame of MP3 needs bits of up to nine earlier ones
Samples = tuple[np.ndarray, int]


def fitted(samples: tf.Tensor, sample_rate: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """Trim a sound if the spec says so, resample it, and cut or pad it to the length of an input.

    Silence is found at the rate of the sound itself, before it is resampled.

    Args:
        samples: Mono, float32 [n].
        sample_rate: int32 [], in Hz.
        spec: Rate, length, crop and silence.

    Returns:
        float32 [samples of the spec].
    """
    if spec.trim_silence is not None:
        samples = trim(samples, spec.trim_silence)
    surplus = resampled_length(tf.size(samples, tf.int64), sample_rate, spec.sample_rate) - spec.samples
    # Rounded towards zero: one sample of silence more at the end, or one more cut off at the end.
    first = tf.zeros([], tf.int64) if spec.crop == "start" else tf.sign(surplus) * (tf.abs(surplus) // 2)
    return resample(samples, sample_rate, spec.sample_rate, first, spec.samples)


def wav_decoder(spec: AudioSpec) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Return the function (bytes of a WAV file, string []) → (input of a model, why it cannot be read)."""

    def decode(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        sound = read_wav(data)
        return fitted(sound.samples, sound.sample_rate, spec), sound.error

    return decode


@lru_cache(maxsize=32)
def _graphs(spec: AudioSpec) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Trace the decoder of WAV files and `fitted`, each once."""
    text = tf.TensorSpec([], tf.string)
    sound = [tf.TensorSpec([None], tf.float32), tf.TensorSpec([], tf.int32)]

    def on_cpu(run: Callable[..., Any]) -> Callable[..., Any]:
        def apply(*inputs: tf.Tensor) -> Any:
            with tf.device("CPU:0"):
                return run(*inputs)

        return apply

    decode = tf.function(on_cpu(wav_decoder(spec)), input_signature=[text], autograph=False)
    fit = tf.function(on_cpu(lambda samples, rate: fitted(samples, rate, spec)), input_signature=sound, autograph=False)
    return decode.get_concrete_function(), fit.get_concrete_function()


def fit_samples(samples: np.ndarray, sample_rate: int, spec: AudioSpec) -> np.ndarray:
    """Return the input of a model for a sound in memory, float32 [samples of the spec]."""
    return _graphs(spec)[1](tf.constant(samples), tf.constant(sample_rate)).numpy()


def decode_file(example: str | Path | Clip, spec: AudioSpec) -> tuple[np.ndarray | None, str]:
    """Read a file, or a part of one, as the input of a model.

    Args:
        example: Path or clip.
        spec: Rate, length and crop.

    Returns:
        float32 [samples of the spec], and ""; or None, and why it cannot be read.

    Raises:
        MissingExtra: If it is no WAV file, and soundfile is not installed.
    """
    data, reason = _wav_bytes(example)
    if reason:
        return None, reason
    if data is None:
        sound, reason = read_with_soundfile(example)
        return (None, reason) if sound is None else (fit_samples(*sound, spec), "")
    waveform, error = _graphs(spec)[0](tf.constant(data))
    reason = error.numpy().decode()
    return (None, reason) if reason else (waveform.numpy(), "")


def read_whole(example: str | Path | Clip) -> tuple[Samples | None, str]:
    """Read all samples of a file, or of a part of one, at their own rate.

    Returns:
        Mono samples float32 [n] and their rate, and ""; or None, and why they cannot be read.
    """
    data, reason = _wav_bytes(example)
    if reason:
        return None, reason
    if data is None:
        return read_with_soundfile(example)
    sound = read_wav(tf.constant(data))
    reason = sound.error.numpy().decode()
    return (None, reason) if reason else ((sound.samples.numpy(), int(sound.sample_rate)), "")


def _wav_bytes(example: str | Path | Clip) -> tuple[bytes | None, str]:
    """Return the bytes of a WAV file, or of a part of one; None for another format; and why it cannot be read."""
    reason = unreadable_reason(example)
    if reason:
        return None, reason
    try:
        if not is_wav(example):
            return None, ""
        return read_part(example) if isinstance(example, Clip) else (Path(example).read_bytes(), "")
    except OSError as error:  # no permission, or deleted by now
        return None, error.strerror or str(error)


def unreadable_reason(path: Any) -> str:
    """Return why a file cannot be opened, is empty or too large; "" otherwise."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a clip is no Path
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return error.strerror or str(error)
    if not stat.S_ISREG(status.st_mode):
        return "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or device, not a file"
    if status.st_size > MAX_FILE_BYTES and not isinstance(path, Clip):
        return f"{status.st_size / 1e6:,.0f} MB (limit {MAX_FILE_BYTES / 1e6:,.0f}); read parts of it, by their times"
    return "" if status.st_size else EMPTY


def is_wav(path: Any) -> bool:
    """Tell whether a file begins like a WAV file, whatever its name."""
    with open(path, "rb") as file:  # noqa: PTH123
        header = file.read(12)
    return header[:4] == b"RIFF" and header[8:] == b"WAVE"


def soundfile_module(path: Any) -> Any:
    """Import soundfile.

    Raises:
        MissingExtra: If it is not installed.
    """
    try:
        import soundfile
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"sounds other than WAV, such as {path}, are read with soundfile: pip install tltk[audio]", name="soundfile"
        ) from error
    return soundfile


def read_with_soundfile(example: str | Path | Clip) -> tuple[Samples | None, str]:
    """Read a file with libsndfile, which knows WAV, FLAC, OGG, MP3, AIFF and others.

    Args:
        example: Path or clip.

    Returns:
        Mono samples float32 [n] and their rate, and ""; or None, and why it cannot be read.
    """
    soundfile = soundfile_module(example)
    try:
        with _opened(soundfile, example) as file:
            reason = _header_reason(file, example)
            if reason:
                return None, reason
            is_known = file.frames < _UNKNOWN
            first, last = frame_range(example, file.frames, file.samplerate)
            earlier = min(first, _MP3_RESERVOIR) if file.format == "MP3" else 0
            file.seek(first - earlier)
            samples = _read_up_to(file, last - first + earlier)[earlier:]
            rate = file.samplerate
    except soundfile.LibsndfileError as error:
        return None, _soundfile_reason(error)
    if not len(samples):
        return None, NO_SAMPLES
    if is_known and len(samples) < last - first:
        return None, f"truncated: {len(samples):,} of {last - first:,} samples"
    mono = samples.mean(1)
    if not np.isfinite(mono).all():
        return None, NOT_FINITE
    return (None, TOO_LOUD) if np.abs(mono).max() > LOUDEST else ((mono, rate), "")


def frames_of(example: str | Path | Clip) -> tuple[int, int, str]:
    """Read the length of a file, or of a part of one, from its header.

    Returns:
        Number of samples, their rate, and ""; or 0, 0, and why the header cannot be read.

    Raises:
        MissingExtra: If it is no WAV file, and soundfile is not installed.
    """
    frames, rate, reason = 0, 0, unreadable_reason(example)
    try:
        if not reason and is_wav(example):
            wav = read_header(example)
            clip = example if isinstance(example, Clip) else None
            reason = wav.error or (no_samples_reason(clip, wav.frames, wav.sample_rate) if clip else "")
            frames, rate = wav.frames, wav.sample_rate
        elif not reason:
            frames, rate, reason = _soundfile_header(example)
    except OSError as error:  # no permission, or deleted by now
        reason = error.strerror or str(error)
    if reason:
        return 0, 0, reason
    first, last = frame_range(example, frames, rate)
    return last - first, rate, ""


def _soundfile_header(example: str | Path | Clip) -> tuple[int, int, str]:
    soundfile = soundfile_module(example)
    try:
        with _opened(soundfile, example) as file:
            frames = file.frames
            if frames >= _UNKNOWN:
                frames = len(_read_up_to(file, _UNKNOWN))
            return frames, file.samplerate, _header_reason(file, example)
    except soundfile.LibsndfileError as error:
        return 0, 0, _soundfile_reason(error)


@contextmanager
def _opened(soundfile: Any, example: Any) -> Iterator[Any]:
    """Open a file with libsndfile, which tells its format from the first bytes."""
    path = os.fspath(example)
    is_raw = path.lower().endswith(".raw")  # soundfile would take any bytes under this name for samples
    with soundfile.SoundFile(io.BytesIO(Path(path).read_bytes()) if is_raw else path) as file:
        yield file


def _read_up_to(file: Any, count: int) -> np.ndarray:
    """Read at most `count` samples, float32 [n, channels], block by block: a damaged header may declare billions."""
    if file.frames >= _UNKNOWN:
        file.seekable = lambda: False  # soundfile seeks after every read, which fails at the end of such a file
    blocks = [file.read(min(count, _BLOCK), dtype="float32", always_2d=True)]
    while len(blocks[-1]) == _BLOCK and len(blocks) * _BLOCK < count:
        blocks.append(file.read(min(count - len(blocks) * _BLOCK, _BLOCK), dtype="float32", always_2d=True))
    return np.concatenate(blocks)


def _header_reason(file: Any, example: Any) -> str:
    size = os.stat(example).st_size  # noqa: PTH116 - a clip is no Path
    if size * _MOST_PER_BYTE < file.frames < _UNKNOWN:
        return f"damaged: its header declares {file.frames:,} samples, and it has {size:,} bytes"
    if not MIN_RATE <= file.samplerate <= MAX_RATE:
        return WRONG_RATE.removeprefix("WAV with ")
    if isinstance(example, Clip):
        return no_samples_reason(example, file.frames, file.samplerate)
    return "" if file.frames > 0 else NO_SAMPLES


def _soundfile_reason(error: Any) -> str:
    text = str(error.error_string).strip().rstrip(".")
    return NOT_A_SOUND if "ormat not recogni" in text else f"damaged: {text}"
