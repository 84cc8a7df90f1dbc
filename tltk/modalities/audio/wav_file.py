"""WAV files on the disk: their headers, and parts of them, without reading the rest."""

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import tensorflow as tf

from tltk.data.formats.sounds import Clip
from tltk.modalities.audio.wav import MAX_CHUNKS, wav_layout

_FORMAT_BYTES = 64  # of the chunk that tells the encoding: it has 16 to 40
_LARGEST_SIZE = 2**32 - 1  # that a header can declare; the parser then reads up to the end


class WavFile(NamedTuple):
    """What the header of a WAV file says.

    Attributes:
        header: The header up to the samples, without metadata.
        start: Position of the first sample in the file, in bytes.
        frame_bytes: Bytes of one sample of all channels.
        frames: Samples of each channel.
        sample_rate: Samples per second.
        error: Why it cannot be read; "" if it can.
    """

    header: bytes
    start: int
    frame_bytes: int
    frames: int
    sample_rate: int
    error: str


def read_header(path: str | Path | Clip) -> WavFile:
    """Read the header of a WAV file.

    Args:
        path: Path of a file that begins like a WAV file.
    """
    with open(path, "rb") as file:  # noqa: PTH123 - a clip is no Path
        header, left_out = _header(file)
        size = file.seek(0, os.SEEK_END)
    length = max(size - left_out, len(header))
    start, frame_bytes, frames, rate, error = _layout()(tf.constant(header), tf.constant(length, tf.int64))
    numbers = int(start) + left_out, int(frame_bytes), int(frames), int(rate)
    return WavFile(header, *numbers, error.numpy().decode())


def read_part(clip: Clip) -> tuple[bytes, str]:
    """Return a part of a WAV file as a WAV file.

    Args:
        clip: Path and times of the part.

    Returns:
        The bytes of the part, behind a header of their own, and ""; or b"", and why it cannot be read.
    """
    wav = read_header(clip)
    reason = wav.error or no_samples_reason(clip, wav.frames, wav.sample_rate)
    if reason:
        return b"", reason
    first, last = frame_range(clip, wav.frames, wav.sample_rate)
    with Path(clip.path).open("rb") as file:
        file.seek(wav.start + first * wav.frame_bytes)
        data = file.read((last - first) * wav.frame_bytes)
    return wav.header[:-4] + min(len(data), _LARGEST_SIZE).to_bytes(4, "little") + data, ""


def frame_range(example: Any, frames: int, sample_rate: int) -> tuple[int, int]:
    """Return the first sample of a file or clip, and the end (exclusive).

    Args:
        example: Path or clip.
        frames: Samples of the whole file.
        sample_rate: Their rate in Hz.
    """
    if not isinstance(example, Clip):
        return 0, frames
    last = frames if example.stop is None else round(example.stop * sample_rate)
    return min(round(example.start * sample_rate), frames), min(last, frames)


def no_samples_reason(clip: Clip, frames: int, sample_rate: int) -> str:
    """Return that a clip begins behind the end of its recording, or is shorter than a sample; "" otherwise."""
    first, last = frame_range(clip, frames, sample_rate)
    lasts = f"the recording lasts {frames / sample_rate:.2f} s"
    return "" if last > first else f"no samples from {clip.start:g} s: {lasts}"


def _header(file: BinaryIO) -> tuple[bytes, int]:
    """Read a WAV file up to its samples, without metadata such as a picture of the cover.

    Returns:
        The header without metadata, and how many bytes of the file are left out.
    """
    header, left_out = file.read(12), 0
    for _ in range(MAX_CHUNKS):
        chunk = file.read(8)
        if len(chunk) < 8 or chunk[:4] == b"data":
            return header + chunk, left_out
        length = int.from_bytes(chunk[4:], "little")
        length += length % 2
        kept = min(length, _FORMAT_BYTES) if chunk[:4] == b"fmt " else 0
        if kept:
            header += chunk[:4] + kept.to_bytes(4, "little") + file.read(kept)
        left_out += length - kept + (0 if kept else 8)
        file.seek(length - kept, os.SEEK_CUR)
    return header, left_out


@lru_cache(maxsize=1)
def _layout() -> Callable[..., Any]:
    signature = [tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64)]
    return tf.function(wav_layout, input_signature=signature, autograph=False).get_concrete_function()
