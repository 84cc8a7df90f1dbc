"""Conversion of a user's `tf.data.Dataset` of waveforms to batches in the input format of a model."""

import math

import tensorflow as tf

from tltk.foundation.errors import InvalidInput
from tltk.pipeline.loader import without_autograph
from tltk.pipeline.user_dataset import UserDataset, count, first_batch_size, flat, parts_of
from tltk.specs import AudioSpec


def from_dataset(dataset: tf.data.Dataset, spec: AudioSpec, *, batch_size: int) -> UserDataset:
    """Check a user's dataset of waveforms, and batch it if necessary.

    Args:
        dataset: Dataset of waveforms [samples] or of batches of them, float32 in [-1, 1] at the rate and in the length
            of the model, alone or with targets and sample weights.
        spec: Rate and length.
        batch_size: Examples per batch, used if the dataset is not batched.

    Returns:
        The dataset with its numbers of batches and examples per epoch.

    Raises:
        InvalidInput: If the dataset yields something else, is infinite or is empty.
    """
    parts = parts_of(dataset.element_spec)
    are_tensors = 1 <= len(parts) <= 3 and all(isinstance(part, tf.TensorSpec) for part in parts)
    if not are_tensors or not _is_waveform(parts[0], spec):
        raise InvalidInput(
            f"`data` must yield waveforms [{spec.samples}], or batches of them, floats in [-1, 1] at "
            f"{spec.sample_rate} Hz, alone or with targets and weights. Received: {dataset.element_spec}. Files and "
            "other rates and lengths are read by tltk.from_folder and tltk.from_arrays(x, sample_rate=…)."
        )
    elements = dataset.map(without_autograph(lambda *element: _cast(*flat(element))))
    length = count(dataset)
    if parts[0].shape.rank == 1:
        return UserDataset(elements.batch(batch_size), math.ceil(length / batch_size), length)
    return UserDataset(elements, length, length * first_batch_size(elements))


def _is_waveform(waveforms: tf.TensorSpec, spec: AudioSpec) -> bool:
    return waveforms.dtype.is_floating and waveforms.shape.rank in (1, 2) and waveforms.shape[-1] == spec.samples


def _cast(waveforms: tf.Tensor, *rest: tf.Tensor) -> tuple[tf.Tensor, ...]:
    return (tf.cast(waveforms, tf.float32), *rest)
