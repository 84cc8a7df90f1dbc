"""A user's own `tf.data.Dataset` of images: check what it yields, and bring it to batches of the right size."""

import math
from typing import Any

import tensorflow as tf

from tltk.modalities.image.decode import resize
from tltk.modalities.modality import UserDataset
from tltk.pipeline.loader import without_autograph
from tltk.pipeline.user_dataset import count, flat, parts_of
from tltk.specs import ImageSpec

_FORMS = "(images), (images, targets) or (images, targets, weights)"


def adopt(data: tf.data.Dataset, spec: ImageSpec, *, batch_size: int) -> UserDataset:
    """Check a dataset and make it yield tuples of batches with images float32 [b, h, w, 3].

    Args:
        data: yields images [h, w, c] or batches of them, alone or with targets and weights.
        spec: what the images are brought to.
        batch_size: of the batches, if the dataset is not batched.

    Returns:
        The dataset, its batches an epoch, and its examples; for a dataset that comes batched, batches times the
        first batch's size. A dataset that does not know its length is read once to count.

    Raises:
        ValueError: saying what it yields and what was expected.
    """
    parts = _parts(data.element_spec)
    images = parts[0]
    batched = images.shape.rank == 4
    plain = data.map(without_autograph(lambda *element: flat(element)))
    examples = count(data)
    if not batched:
        plain = plain.map(
            without_autograph(lambda image, *rest: (_fit(image, spec), *rest)), num_parallel_calls=2, deterministic=True
        )
        return UserDataset(plain.batch(batch_size), math.ceil(examples / batch_size), examples)
    first = next(iter(plain.take(1)), None)
    size = 0 if first is None else int(tf.shape(first[0])[0])
    fitted = plain.map(without_autograph(lambda images, *rest: (_fit_batch(images, spec), *rest)))
    return UserDataset(fitted, examples, examples * size)


def _parts(element: Any) -> tuple:
    parts = parts_of(element)
    if not 1 <= len(parts) <= 3 or not all(isinstance(part, tf.TensorSpec) for part in parts):
        raise ValueError(f"`data` must yield {_FORMS} of plain tensors. It yields: {element}")
    images = parts[0]
    batched = images.shape.rank == 4
    problem = ""
    if images.dtype == tf.string:
        problem = "images must be pixels, not text or bytes: map tltk.modalities.image.decode.decode_image over them"
    elif not (images.dtype.is_floating or images.dtype.is_integer):
        problem = "images must be numbers in 0 … 255"
    elif images.shape.rank not in (3, 4):
        problem = "images must be [height, width, channels] or batches [b, height, width, channels]"
    elif images.shape[-1] not in (1, 3):
        problem = "images must have 1 or 3 channels, last"
    elif len(parts) > 1 and (parts[1].shape.rank is None or (batched and parts[1].shape.rank == 0)):
        problem = "targets must have a known rank, and one value or row for each image of a batch"
    if problem:
        raise ValueError(f"`data`: {problem}. It yields: {element}")
    return parts


def _colour(images: tf.Tensor) -> tf.Tensor:
    images = tf.cast(images, tf.float32)
    return tf.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images


def _fit(image: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    image = _colour(image)
    return image if image.shape == spec.shape else resize(image, spec)


def _fit_batch(images: tf.Tensor, spec: ImageSpec) -> tf.Tensor:
    images = _colour(images)
    if images.shape[1:] == spec.shape:
        return images
    return tf.map_fn(
        lambda image: resize(image, spec), images, fn_output_signature=tf.TensorSpec(spec.shape, tf.float32)
    )
