"""Readers of sounds, in files and in memory."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from tltk.data.formats.sounds import Waveforms, exact_part
from tltk.modalities.audio.decode import DECODER_VERSION, decode_file, fit_samples
from tltk.pipeline.batching import BatchPart, Order
from tltk.pipeline.parallel import in_order
from tltk.pipeline.readers import PartialBatch, Reader
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
        valid, waveforms, invalid = [], [], {}
        for row in part.rows.tolist():
            waveform, reason = self._read(row)
            if waveform is None:
                invalid[row] = reason
            else:
                valid.append(row)
                waveforms.append(waveform)
        values = np.stack(waveforms) if waveforms else np.zeros((0, *self.spec.shape), np.float32)
        return PartialBatch(part.batch, np.array(valid, np.int64), (values,), invalid, part.ends)

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


READERS: dict[str, Callable[..., Reader]] = {"files": FileReader, "arrays": WaveformReader}
