"""Features of the elements of a user's `tf.data.Dataset`, computed in one pass over it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tltk.data.targets import Targets
from tltk.feature_cache.compute import check_range
from tltk.foundation import progress
from tltk.pipeline import store
from tltk.pipeline.loader import without_autograph
from tltk.pipeline.user_dataset import UserDataset, parts_of

NOUN = "features of the frozen layers"


@dataclass(frozen=True, eq=False)
class DatasetFeatures:
    """Stored features of a dataset, in its order.

    Args:
        records: One record per example.
        targets: Raw targets of the examples; None if the dataset has none.
        batch_size: Examples of each batch of the dataset, except for a smaller last one.
        sample_weight: Weights of the examples, float32 [n]; None if the dataset has none.
    """

    records: store.Records
    targets: Targets | None
    batch_size: int
    sample_weight: np.ndarray | None = None


class UnevenBatchesError(Exception):
    """The batches of a dataset have different sizes."""


def compute_dataset(
    prefix: keras.Model, user: UserDataset, layout: store.Layout, *, folder: Path | None
) -> DatasetFeatures:
    """Compute the features of every example of a dataset, and keep its targets and weights.

    Args:
        prefix: Inputs [batch, …] → features; run in inference mode.
        user: Dataset whose order is fixed, see `why_order_varies`.
        layout: Layout of a record, see `layout_of`.
        folder: Temporary folder to store features in; None stores them in memory.

    Returns:
        The features.

    Raises:
        UnevenBatchesError: If batches other than the last one differ in size.
        OutOfMemory: If the features do not fit into memory.
        FileError: If they do not fit on the disk, or it cannot be written.
    """
    targets_and_weights: list[list[np.ndarray]] = []
    sizes: list[int] = []

    def fill(missing: np.ndarray, write: store.Write) -> None:
        for features, *rest in feature_pieces(prefix, user, layout.dtypes, title=f"computing {NOUN}"):
            start, size = sum(sizes), len(features[0])
            sizes.append(size)
            if any(earlier != sizes[0] for earlier in sizes[:-1]) or size > sizes[0]:
                raise UnevenBatchesError
            targets_and_weights.append(rest)
            write(np.arange(start, start + size), features, {})

    if folder is None:
        records = store.in_memory(layout, user.example_count, fill, noun=NOUN)
    else:
        records = store.on_disk(folder / "dataset", layout, user.example_count, fill, noun=NOUN)
    # `user.example_count` is an upper bound if the last batch is smaller.
    records = replace(records, count=sum(sizes))
    columns = list(map(np.concatenate, zip(*targets_and_weights, strict=True)))
    targets = Targets(columns[0]) if columns else None
    return DatasetFeatures(records, targets, sizes[0], columns[1] if len(columns) > 1 else None)


def feature_pieces(
    prefix: keras.Model, user: UserDataset, dtypes: tuple[str, ...], *, title: str
) -> Iterator[tuple[Any, ...]]:
    """Yield (features [b, …], targets, weights) of each batch of a dataset, as far as it has targets and weights."""
    features_of = _traced(prefix, user, dtypes)
    with progress.bar(title, user.steps_per_epoch) as advance, user.explained():
        for batch in user.dataset:
            inputs, *rest = parts_of(batch)
            features = tuple(output.numpy() for output in features_of(inputs))
            check_range(features)
            yield features, *(part.numpy() for part in rest)
            advance()


def _traced(prefix: keras.Model, user: UserDataset, dtypes: tuple[str, ...]) -> Callable[..., tuple[tf.Tensor, ...]]:
    input_dtype = prefix.inputs[0].dtype

    @without_autograph
    def run(inputs: tf.Tensor) -> tuple[tf.Tensor, ...]:
        outputs: Any = keras.tree.flatten(prefix(tf.cast(inputs, input_dtype), training=False))
        return tuple(tf.cast(output, dtype) for output, dtype in zip(outputs, dtypes, strict=True))

    spec = parts_of(user.dataset.element_spec)[0]
    return tf.function(
        run, input_signature=[tf.TensorSpec([None, *spec.shape[1:]], spec.dtype)]
    ).get_concrete_function()
