"""Readers of sounds, in files and in memory."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from tltk.data.formats.sounds import Waveforms, exact_part
from tltk.data.formats.tfds import StoredExamples
from tltk.foundation.errors import InvalidInput
from tltk.modalities.audio.decode import DECODER_VERSION, decode_file, fit_samples
from tltk.modalities.audio.wav import NO_SAMPLES, NOT_FINITE
from tltk.pipeline.batching import BatchPart, Order, budget_without_lengths
from tltk.pipeline.parallel import in_order
from tltk.pipeline.readers import PartialBatch, Reader
from tltk.pipeline.streams import Numbered, shuffled, stream_parts
from tltk.specs import AudioSpec

_AT_ONCE = 8  # sounds per task of a thread


@dataclass(frozen=True, eq=False)
class _SoundReader(ABC):
    """Base class of the readers: one element per sound or, with windows, several; all of one length.

    Args:
        examples: Sounds or windows to read; the subclasses document the type.
        spec: Rate, length and crop.
        example_ids: Index of the sound of each window, int64 [count]; None if every element is one sound.
    """

    examples: Any
    spec: AudioSpec
    example_ids: np.ndarray | None = None

    lengths = None
    is_decoded = False

    @property
    def count(self) -> int:
        """Number of sounds or windows."""
        return len(self.examples)

    @property
    def element_spec(self) -> tuple[tf.TensorSpec, ...]:
        """Shape and dtype of a batch: float32 [batch, samples]."""
        return (tf.TensorSpec([None, *self.spec.shape], tf.float32),)

    def subset(self, rows: np.ndarray) -> "_SoundReader":
        """Return a reader of the elements at `rows`, int64 [k]."""
        example_ids = None if self.example_ids is None else self.example_ids[rows]
        return replace(self, examples=self.examples[rows], example_ids=example_ids)

    def padded(self, length: int) -> "_SoundReader":
        """Return the reader itself, since all elements have the same length."""
        return self

    def partial_batches(self, order: Order) -> Iterator[PartialBatch]:
        """See `Reader`."""
        return in_order(self._read_part, order.parts(self.count, at_once=_AT_ONCE))

    @abstractmethod
    def fingerprint(self) -> str:
        """See `Reader`."""

    @abstractmethod
    def _read(self, row: int) -> tuple[np.ndarray | None, str]:
        """Return the input of a sound, float32 [samples], and ""; or None, and why it cannot be read."""

    def _read_part(self, part: BatchPart) -> PartialBatch:
        return self._joined(part.batch, [(row, *self._read(row)) for row in part.rows.tolist()], part.ends)

    def _joined(self, batch: int, sounds: Sequence[tuple[int, np.ndarray | None, str]], ends: bool) -> PartialBatch:
        """Build a partial batch of rows, their inputs, and why others cannot be read."""
        valid, waveforms, invalid = [], [], {}
        for row, waveform, reason in sounds:
            if waveform is None:
                invalid[row] = reason
            else:
                valid.append(row)
                waveforms.append(waveform)
        values = np.stack(waveforms) if waveforms else np.zeros((0, *self.spec.shape), np.float32)
        return PartialBatch(batch, np.array(valid, np.int64), (values,), invalid, ends)

    def _base_digest(self) -> Any:
        return hashlib.sha256(repr((type(self).__name__, DECODER_VERSION, self.spec, self.count)).encode())


class FileReader(_SoundReader):
    """Reads sound files; `examples` is an object array [n] of paths and clips."""

    def fingerprint(self) -> str:
        """Return the SHA-256 of the spec, and of the path, the part, the size and the time of each file."""
        digest = self._base_digest()
        for example in self.examples:
            stat = os.stat(example) if os.path.exists(example) else None  # noqa: PTH110, PTH116
            version = stat and (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
            digest.update(repr((os.fspath(example), exact_part(example), version)).encode())
        return digest.hexdigest()

    def _read(self, row: int) -> tuple[np.ndarray | None, str]:
        return decode_file(self.examples[row], self.spec)


class WaveformReader(_SoundReader):
    """Reads sounds in memory."""

    examples: Waveforms

    def fingerprint(self) -> str:
        """Return the SHA-256 of the spec, the rate and the samples."""
        digest = self._base_digest()
        digest.update(repr(self.examples.sample_rate).encode())
        for samples in self.examples.values:
            digest.update(repr(len(samples)).encode() + samples.tobytes())
        return digest.hexdigest()

    def _read(self, row: int) -> tuple[np.ndarray | None, str]:
        return fit_samples(self.examples[row], self.examples.sample_rate, self.spec), ""


class StreamReader(_SoundReader):
    """Reads a TensorFlow Datasets builder in its stored order, shuffled through a buffer."""

    examples: StoredExamples

    def partial_batches(self, order: Order) -> Iterator[PartialBatch]:
        """See `Reader`; batches before `order.first` are read but not resampled."""
        if not isinstance(order.batch_size, int):
            raise InvalidInput(budget_without_lengths(order.batch_size))
        stream: Iterator[Numbered] = ((int(rows[0]), compact(sounds[0])) for rows, sounds in self.examples.read())
        generator = order.generator()
        stream = stream if generator is None else shuffled(stream, generator)
        return in_order(self._read_numbered, stream_parts(stream, order, order.batch_size, at_once=_AT_ONCE))

    def fingerprint(self) -> str:
        """Return the SHA-256 of the spec, the folder of the builder's data, and the split and indices that are read."""
        digest, examples = self._base_digest(), self.examples
        parts = (str(examples.builder.data_path), examples.split, examples.input, examples.sample_rate)
        digest.update(repr(parts).encode() + examples.indices.tobytes())
        return digest.hexdigest()

    def _read(self, row: int) -> tuple[np.ndarray | None, str]:
        return self._fitted(stored_samples(self.examples, row))

    def _read_numbered(self, part: tuple[int, list[Numbered], bool]) -> PartialBatch:
        batch, numbered, ends = part
        return self._joined(batch, [(row, *self._fitted(sound)) for row, sound in numbered], ends)

    def _fitted(self, sound: np.ndarray) -> tuple[np.ndarray | None, str]:
        samples, reason = mono(sound)
        rate = self.examples.sample_rate
        return (None, reason) if samples is None or rate is None else (fit_samples(samples, rate, self.spec), "")


def compact(sound: np.ndarray) -> np.ndarray:
    """Return samples as TensorFlow Datasets stores them, those of 16 bits in two bytes instead of eight."""
    is_short = sound.dtype.kind in "iu" and sound.size and sound.min() >= -(2**15) and sound.max() < 2**15
    return np.ascontiguousarray(sound, np.int16) if is_short else np.ascontiguousarray(sound)


def mono(sound: np.ndarray) -> tuple[np.ndarray | None, str]:
    """Return the mean of the channels of a sound of TensorFlow Datasets.

    Args:
        sound: Samples [n] or [n, channels]: whole numbers of 16 bits, or floats in [-1, 1].

    Returns:
        float32 [n], and ""; or None, and why the sound cannot be used.
    """
    if not sound.size:
        return None, NO_SAMPLES
    scale = 1.0
    if sound.dtype.kind in "iu":
        scale = 2.0**15
        if np.abs(sound.astype(np.int64)).max() > scale:
            return None, f"samples beyond 16 bits, up to {np.abs(sound.astype(np.int64)).max():,}"
    samples = sound.astype(np.float32) / np.float32(scale)
    samples = samples if samples.ndim == 1 else samples.mean(1)
    return (samples, "") if np.isfinite(samples).all() else (None, NOT_FINITE)


def stored_samples(examples: StoredExamples, row: int) -> np.ndarray:
    """Return the samples of one sound of a builder, as they are stored; the split is read up to it."""
    return next(sounds[0] for _, sounds in examples[np.array([row])].read())


READERS: dict[str, Callable[..., Reader]] = {"files": FileReader, "arrays": WaveformReader, "stream": StreamReader}
