"""Conversion of a user's `tf.data.Dataset` of images to batches in the input format of a model."""

import math
from typing import Any

import tensorflow as tf

from tltk.foundation.errors import InvalidInput
from tltk.modalities.image.channels import check_channels, convert_channels
from tltk.modalities.image.decode import resize
from tltk.pipeline.loader import without_autograph
from tltk.pipeline.user_dataset import UserDataset, count, first_batch_size, flat, parts_of
from tltk.specs import ImageSpec
from tltk.specs.image import PIXEL_RANGE

_STANDARDIZED_RANGE = 16.0  # images minus their mean, divided by their deviation, span about 5
_OVERSHOOT = 0.25  # of a bicubic resize at hard edges, as a fraction of the range


def from_dataset(dataset: tf.data.Dataset, spec: ImageSpec, *, batch_size: int) -> UserDataset:
    """Check a user's dataset and convert it to batches of float32 images [b, height, width, channels].

    Args:
        dataset: Dataset of images [h, w, c] or of batches of them, alone or with targets and sample weights.
        spec: Channels, size, resize mode and interpolation.
        batch_size: Examples per batch, used if the dataset is not batched.

    Returns:
        The dataset with its numbers of batches and examples per epoch. If the user's dataset is batched, its examples
        are estimated as batches × size of the first batch. A dataset of unknown length is read once to count it.

    Raises:
        InvalidInput: If the dataset yields something else, is infinite or is empty.
    """
    images = _check_element(dataset.element_spec, spec.channels)[0]
    elements = dataset.map(without_autograph(lambda *element: flat(element)))
    length = count(dataset)
    if images.shape.rank == 3:
        resized = elements.map(
            without_autograph(lambda image, *rest: (_resize_image(image, spec), *rest)),
            num_parallel_calls=2,
            deterministic=True,
        )
        return UserDataset(resized.batch(batch_size), math.ceil(length / batch_size), length)
    resized = elements.map(without_autograph(lambda images, *rest: (_resize_batch(images, spec), *rest)))
    return UserDataset(resized, length, length * first_batch_size(elements))


def pixel_problem(low: float, high: float, *, is_first: bool, value_range: tuple[float, float] = PIXEL_RANGE) -> str:
    """Return what is wrong with the pixels of a batch of a user's dataset; "" if nothing is.

    Args:
        low: Lowest value; NaN if a value is not finite.
        high: Highest value.
        is_first: Whether the batch is one of the first: a later batch may well be dark.
        value_range: Range that the model expects; only for (0, 255), scaled images can be noticed.

    Examples:
        >>> pixel_problem(0.0, 1.0, is_first=True)[:53]
        'pixels lie between 0 and 1, but the model expects [0,'
    """
    if not math.isfinite(low + high):
        return "pixels are NaN or infinite."
    lowest, highest = value_range
    received = f"pixels lie between {low:g} and {high:g}, but the model expects [{lowest:g}, {highest:g}]"
    is_scaled = 0 < high <= 1 or (low < 0 and high - low <= _STANDARDIZED_RANGE)
    if is_first and is_scaled and value_range == PIXEL_RANGE:
        return (
            f"{received} and scales them itself. Remove your Rescaling, Normalization or preprocess_input, or map "
            "pixels back: dataset.map(lambda image, label: (image * 255.0, label))."
        )
    tolerance = _OVERSHOOT * (highest - lowest)
    if low < lowest - tolerance or high > highest + tolerance:
        return f"{received}. Rescale them in dataset.map, or build the model for them: tltk.backbone(value_range=…)."
    return ""


def _check_element(element_spec: Any, channels: int) -> tuple:
    """Return the parts of an element: images, targets, weights; raise ValueError unless tltk can train on them."""
    parts = parts_of(element_spec)
    if not 1 <= len(parts) <= 3 or not all(isinstance(part, tf.TensorSpec) for part in parts):
        raise InvalidInput(
            "`data` must yield (images), (images, targets) or (images, targets, weights), each a dense tensor. "
            f"Received: {element_spec}"
        )
    images = parts[0]
    batched = images.shape.rank == 4
    problem = ""
    if images.dtype == tf.string:
        problem = "images must be pixels, not text or bytes: map tltk.modalities.image.decode.decode_image over them"
    elif not (images.dtype.is_floating or images.dtype.is_integer):
        problem = "images must be integers or floats in [0, 255]"
    elif images.shape.rank not in (3, 4):
        problem = "images must have shape [height, width, channels] or, in batches, [batch, height, width, channels]"
    elif len(parts) > 1 and (parts[1].shape.rank is None or (batched and parts[1].shape.rank == 0)):
        problem = "targets must have a known rank and, in batches, one value or row for each image"
    if problem:
        raise InvalidInput(f"`data`: {problem}. Received: {element_spec}")
    check_channels(images.shape[-1], channels)
    return parts


def _resize_image(image: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    image = convert_channels(tf.cast(image, tf.float32), spec.channels, high=spec.value_range[1])
    return image if image.shape == spec.shape else resize(image, spec)


def _resize_batch(images: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    images = convert_channels(tf.cast(images, tf.float32), spec.channels, high=spec.value_range[1])
    if images.shape[1:] == spec.shape:
        return images
    return tf.map_fn(
        lambda image: resize(image, spec), images, fn_output_signature=tf.TensorSpec(spec.shape, tf.float32)
    )
