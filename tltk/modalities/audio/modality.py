"""Sounds: the modality of `AudioSpec`."""

import io
import math
import wave
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tltk.data.formats.arrays import from_arrays
from tltk.data.formats.folder import from_files
from tltk.data.formats.media_files import SOUNDS
from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.modalities.audio.augment import speed, time_shift
from tltk.modalities.audio.dataset import from_dataset
from tltk.modalities.audio.decode import read_whole
from tltk.modalities.audio.pictures import sound_picture
from tltk.modalities.audio.reader import READERS, mono, stored_samples
from tltk.modalities.audio.requests import read_requests, waveform_requests
from tltk.modalities.audio.validate import invalid_files
from tltk.modalities.audio.windows import window_times, windows, windows_of
from tltk.modalities.augmentation import Augmentation, check_augmentations
from tltk.modalities.context import Context
from tltk.modalities.modality import Modality, register_modality
from tltk.modalities.requests import Request, TensorRequests
from tltk.pipeline.batching import Size, examples_per_batch
from tltk.pipeline.readers import Reader
from tltk.pipeline.user_dataset import UserDataset
from tltk.specs import AudioSpec, InvalidExample
from tltk.specs.audio import LOUDEST

_CHANNELS = 8  # of a recording, at most


class AudioModality(Modality):
    """Modality of sounds, in files or in memory."""

    name: ClassVar[str] = "audio"
    spec_type: ClassVar[type] = AudioSpec
    default_backbone: ClassVar[str] = "log_mel_efficientnet_lite0"
    learning_rate: ClassVar[float] = 1e-3  # spectrograms are unlike photographs: 3e-4 was 4 points worse on 180 words
    has_pictures: ClassVar[bool] = True
    shows_attention: ClassVar[bool] = True

    def validate(self, source: Source) -> tuple[Source, tuple[InvalidExample, ...]]:
        """Check sound files by their headers; sounds in memory were checked when the source was created."""
        if source.storage != "files":
            return source, ()
        reasons = invalid_files(source.examples)
        invalid = tuple(InvalidExample(source.id_of(row), reason) for row, reason in enumerate(reasons) if reason)
        return (source.subset(np.array([not reason for reason in reasons])) if invalid else source), invalid

    def reader(self, source: Source, spec: AudioSpec) -> Reader:
        """Return the reader of files or of sounds in memory, or of their windows."""
        if spec.overlap is None:
            return READERS[source.storage](source.examples, spec)
        cut = windows_of(source, spec.seconds, spec.overlap, with_invalid=True)
        return READERS[source.storage](cut.examples, spec, cut.rows)

    def context(self, source: Source, reader: Reader, examples: np.ndarray, elements: np.ndarray) -> Context:
        """Build the context, which tells the sound of each window."""
        count = tf.constant(len(examples), tf.int64)
        if reader.example_ids is None:
            return Context(count)
        return Context(count, tf.constant(reader.example_ids[elements] - examples[0], tf.int64))

    def without_windows(self, spec: AudioSpec, source: Source | None = None) -> AudioSpec:
        """Cut long sounds instead of reading them in windows."""
        return replace(spec, overlap=None)

    def with_overlap(self, spec: AudioSpec, overlap: float) -> AudioSpec:
        """Read long sounds in windows that share this many seconds."""
        return replace(spec, overlap=overlap)

    def windows(self, source: Source, spec: AudioSpec) -> Source:
        """Return the windows of all recordings as examples."""
        return windows(source, seconds=spec.seconds, overlap=spec.overlap or 0.0)

    def times(self, source: Source) -> np.ndarray | None:
        """Return the times of parts of recordings."""
        return window_times(source)

    def from_dataset(self, dataset: tf.data.Dataset, spec: AudioSpec, *, batch_size: Size) -> UserDataset:
        """Batch the waveforms of a user's dataset, which have the rate and the length of the model."""
        return from_dataset(dataset, spec, batch_size=examples_per_batch(batch_size, 1))

    def input_problem(self, spec: AudioSpec, low: float, high: float, *, is_first: bool) -> str:
        """Require finite samples, and notice integers that were not scaled."""
        if not math.isfinite(low + high):
            return "samples are NaN or infinite."
        loudest = max(-low, high)
        return f"samples reach {loudest:g}; divide 16-bit samples by 32768." if loudest > LOUDEST else ""

    def source(self, inputs: Any, spec: AudioSpec) -> Source:
        """Convert paths, folders, or waveforms [n, samples] at the rate of the model; also a single one."""
        paths = inputs if isinstance(inputs, list | tuple) else [inputs]
        if paths and all(isinstance(path, str | Path) for path in paths):
            return from_files(inputs, SOUNDS)
        is_single = not isinstance(inputs, list | tuple) and np.ndim(inputs) == 1
        if isinstance(inputs, np.ndarray) and inputs.ndim == 2 and inputs.shape[1] <= _CHANNELS < inputs.shape[0]:
            raise InvalidInput(
                f"the samples have shape {list(inputs.shape)}: sounds of {inputs.shape[1]} samples. If it is one "
                "recording [samples, channels], pass the mean of its channels, `x.mean(1)`."
            )
        return from_arrays(np.asarray(inputs)[None] if is_single else inputs, sample_rate=spec.sample_rate)

    def example_input(self, source: Source, index: int) -> np.ndarray:
        """Return the samples of one sound at its own rate, mono, float32 [n]."""
        return _samples_and_rate(source, index)[0]

    def picture(self, source: Source, index: int) -> np.ndarray:
        """Return the waveform and the mel spectrogram of one sound."""
        return sound_picture(*_samples_and_rate(source, index))

    def attention_picture(
        self, inputs: np.ndarray, spec: AudioSpec, attention: np.ndarray | None, note: str
    ) -> np.ndarray:
        """Return waveform and spectrogram, and below them the spectrogram where the prediction depends on it."""
        return sound_picture(inputs, spec.sample_rate, attention=attention, note=note)

    def default_augmentation(self) -> tuple[Augmentation, ...]:
        """Return small shifts in time and changes of speed."""
        return time_shift(), speed()

    def check_augmentation(self, augmentations: Sequence[Any], spec: AudioSpec) -> None:
        """Raise unless all are `Augmentation` objects that apply to sounds of this rate."""
        check_augmentations(augmentations, self.name)
        problems = check.Problems()
        for augmentation in augmentations:
            rate = dict(augmentation.values).get("sample_rate", spec.sample_rate)
            if rate != spec.sample_rate:
                problems.add(
                    f"`augment`: {augmentation.name} is for sounds at {rate} Hz, and the model takes "
                    f"{spec.sample_rate} Hz. Pass {augmentation.name}(sample_rate={spec.sample_rate}, …)"
                )
        problems.raise_if_any()

    def spec_from_shape(self, shape: tuple[int | None, ...], dtype: str) -> AudioSpec | None:
        """Return None: the shape of a waveform does not tell its rate."""
        return None

    def spec_of_length(self, seconds: float | None, *, is_native: bool) -> AudioSpec | None:
        """Return a spec if a length is given, or the backbone takes images."""
        return None if seconds is None and is_native else AudioSpec(seconds=1.0 if seconds is None else seconds)

    def request_names(self, spec: AudioSpec) -> tuple[str, ...]:
        """Return the name of the only input, the bytes of WAV files."""
        return ("audio_bytes",)

    def request_reader(self, spec: AudioSpec) -> tuple[Callable[..., Request], list[Any]]:
        """Return a function that decodes requests exactly as in training; it needs no lookup tables."""
        return lambda audio_bytes: read_requests(audio_bytes, spec), []

    def sample_requests(self, spec: AudioSpec, *, count: int, seed: int) -> list[tuple[bytes, ...]]:
        """Generate WAV files of several rates and lengths, and two requests that cannot be decoded."""
        generator = np.random.default_rng(seed)
        files = [_chirp(spec, generator, index) for index in range(count)]
        return [(data,) for data in (*files, b"not a sound", files[-1][:100])]

    def tensor_requests(self, spec: AudioSpec) -> tuple[TensorRequests, ...]:
        """Return the requests of samples with their rate, of one length and of several."""
        return waveform_requests(spec)

    def from_requests(self, requests: Sequence[tuple[bytes, ...]], spec: AudioSpec, folder: Path) -> Source:
        """Write each sound to a file; those that are no WAV are left out, since files of other formats are read too."""
        names = [str(index) for index, (data,) in enumerate(requests) if data[:4] == b"RIFF"]
        paths = np.array([str(folder / name) for name in names], object)
        for path, name in zip(paths, names, strict=True):
            Path(path).write_bytes(requests[int(name)][0])
        return Source(self.name, "files", paths, ids=np.array(names, object))

    def to_config(self, spec: AudioSpec, folder: Path) -> dict[str, Any]:
        """Return the fields of the spec."""
        return asdict(spec)

    def from_config(self, config: dict[str, Any], folder: Path) -> AudioSpec:
        """Rebuild a spec from its fields."""
        return AudioSpec(**config)

    def describe_input(self, spec: AudioSpec) -> dict[str, Any]:
        """Describe the network's input, including its rate."""
        return {**super().describe_input(spec), **asdict(spec), "range": [-1, 1], "channels": "one: the mean"}


def _samples_and_rate(source: Source, index: int) -> tuple[np.ndarray, int]:
    if source.storage == "arrays":
        return source.examples[index], source.examples.sample_rate
    if source.storage == "stream":
        samples, reason = mono(stored_samples(source.examples, index))
        sound = None if samples is None else (samples, source.examples.sample_rate)
    else:
        sound, reason = read_whole(source.examples[index])
    if sound is None:
        raise InvalidInput(f"{source.id_of(index)} cannot be decoded: {reason}")
    return sound


def _chirp(spec: AudioSpec, generator: np.random.Generator, index: int) -> bytes:
    """Return a WAV file of a tone that rises, with noise: mono or stereo, of the rate of the model or another one."""
    rate, channels = (spec.sample_rate, 22_050, 44_100)[index % 3], 1 + index % 2
    times = np.arange(round(rate * spec.seconds * (0.5, 1.2)[index % 2]) + 1) / rate
    tone = np.sin(2 * np.pi * times * (200 + generator.uniform(100, 600) * times))
    sound = (tone * 0.4)[:, None] + generator.normal(0, 0.02, (len(times), channels))
    if index % 4 == 3:
        sound[: len(sound) // 4] = 0  # silence, which the model may trim
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return data.getvalue()


register_modality(AudioModality())
