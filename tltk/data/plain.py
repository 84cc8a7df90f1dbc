"""A plain tf.data.Dataset where a source could stand: what its elements must be, and how they become batches."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tltk.data.decode import resize
from tltk.specs import InputSpec

_IMAGE_RANK = 3


def as_batches(
    dataset: tf.data.Dataset, spec: InputSpec, *, batch_size: int, encode: Callable[[tf.Tensor], tf.Tensor] | None
) -> tf.data.Dataset:
    """Bring a dataset's elements to float32 batches of the size wanted; its order and cache stay its own.

    Args:
        dataset: pixels, (pixels, targets) or (pixels, targets, weights), batched or not.
        spec: size of the pictures.
        batch_size: used if it is not batched yet.
        encode: applied to the targets.

    Returns:
        Batches in the same structure.

    Raises:
        ValueError: if its elements are something else.
    """
    parts = _parts(dataset)
    if parts[0].shape.rank == _IMAGE_RANK:
        dataset = dataset.batch(batch_size)

    def bring(*element: Any) -> Any:
        images = tf.cast(element[0], tf.float32)
        if images.shape[1:] != spec.shape:
            images = tf.map_fn(lambda image: resize(image, spec), images)
        targets = tuple(encode(value) if encode is not None else value for value in element[1:2])
        rest = (*targets, *element[2:])
        return (images, *rest) if rest else images

    return dataset.map(bring, tf.data.AUTOTUNE, deterministic=True)


def count(dataset: tf.data.Dataset, spec: InputSpec, batch_size: int) -> tuple[int, int]:
    """Return batches and examples an epoch.

    Raises:
        ValueError: if the dataset does not know how many elements it has, or is endless.
    """
    parts = _parts(dataset)
    elements = int(dataset.cardinality())
    if elements == tf.data.INFINITE_CARDINALITY:
        raise ValueError("the dataset is endless (repeat()); pass one epoch of it.")
    if elements == tf.data.UNKNOWN_CARDINALITY:
        elements = sum(1 for _ in dataset)
    if parts[0].shape.rank == _IMAGE_RANK:
        return -(-elements // batch_size), elements
    return elements, elements * (parts[0].shape[0] or batch_size)


def _parts(dataset: tf.data.Dataset) -> tuple[tf.TensorSpec, ...]:
    spec = dataset.element_spec
    parts = spec if isinstance(spec, tuple) else (spec,)
    good = 1 <= len(parts) <= 3 and all(isinstance(part, tf.TensorSpec) for part in parts)
    if not good or parts[0].shape.rank not in (_IMAGE_RANK, _IMAGE_RANK + 1) or parts[0].shape[-1] != 3:
        raise ValueError(
            "a dataset's elements must be pixels [height, width, 3], batched or not, alone or as (pixels, targets) or "
            f"(pixels, targets, weights). Received: {spec}"
        )
    return parts
