"""Batches of stored features, with the same elements and order as batches of the examples."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from tltk.data.sample_weight import element_weights
from tltk.data.source import Source
from tltk.data.targets import Targets
from tltk.feature_cache.user_dataset import DatasetFeatures
from tltk.modalities.batches import example_names
from tltk.pipeline import store
from tltk.pipeline.batching import Size
from tltk.pipeline.decoded_store import StoredReader
from tltk.pipeline.finish import Encode
from tltk.pipeline.loader import Batch, Loader
from tltk.pipeline.readers import Reader

MoveCopy: TypeAlias = Callable[[Any, Any, Any], Any]


def feature_batches(
    records: store.Records,
    reader: Reader,
    source: Source,
    prefix: keras.Model,
    *,
    targets: Targets | None = None,
    batch_size: Size = 32,
    encode: Encode | None = None,
    seed: int | None = None,
    move_copy: MoveCopy | None = None,
) -> Loader:
    """Make batches of stored features.

    Args:
        records: From `compute`. With several copies of each element, epoch e reads copy e modulo their number.
        reader: Reader of the elements; their lengths determine which are batched together.
        source: Source of the examples, which gives their names.
        prefix: The model that computed the features; its output dtypes are the input dtypes of the suffix.
        targets: Targets of the elements.
        batch_size: Elements per batch, or a budget of tokens.
        encode: Raw targets of a batch → targets of the loss.
        seed: Seed of a new order in every epoch; None keeps the order of the reader.
        move_copy: Moves boxes and masks as the images of fixed copies were moved: (targets, rows, epoch) → targets;
            None if features are those of the elements themselves.

    Returns:
        A loader whose inputs are the outputs of the prefix: a tensor, or a tuple if it has several.
    """
    stored = StoredReader(records, reader.count, reader.example_ids, reader.lengths)
    dtypes = tuple(tensor.dtype for tensor in prefix.outputs)
    has_length = tuple(len(tensor.shape) > 1 and tensor.shape[1] is None for tensor in prefix.outputs)
    finish = _Finish(dtypes, has_length, reader.lengths, encode, move_copy)
    return Loader(
        stored,
        example_names(source, reader),
        targets,
        batch_size,
        seed,
        finish,
        sample_weight=element_weights(source.sample_weight, reader.example_ids),
    )


def dataset_feature_batches(features: DatasetFeatures, prefix: keras.Model, *, encode: Encode | None = None) -> Loader:
    """Make batches of the stored features of a user's dataset, the same as its own batches in every epoch.

    Args:
        features: From `compute_dataset`.
        prefix: The model that computed the features.
        encode: Raw targets of a batch → targets of the loss.

    Returns:
        A loader, see `feature_batches`.
    """
    stored = StoredReader(features.records, features.records.count)
    finish = _Finish(tuple(tensor.dtype for tensor in prefix.outputs), (), None, encode)
    return Loader(
        stored,
        "example {}".format,
        features.targets,
        features.batch_size,
        None,
        finish,
        sample_weight=features.sample_weight,
    )


@dataclass(frozen=True, eq=False)
class _Finish:
    """The last step of the pipeline: remove padding, cast features to the dtypes of the suffix, encode targets.

    Boxes and masks, in a dict, are moved first if the features are those of augmented copies.
    """

    dtypes: tuple[str, ...]
    has_length: tuple[bool, ...]  # whether axis 1 of a tensor is the length of the element
    lengths: np.ndarray | None
    encode: Encode | None
    move_copy: MoveCopy | None = None

    def __call__(self, batch: Batch) -> tuple[Any, tuple]:
        features, targets_and_weights = batch.values, batch.targets_and_weights
        if self.lengths is not None:
            longest = tf.reduce_max(tf.gather(self.lengths, batch.rows))
            features = tuple(
                feature[:, :longest] if has_length else feature
                for feature, has_length in zip(features, self.has_length, strict=True)
            )
        if targets_and_weights and self.move_copy is not None and isinstance(targets_and_weights[0], dict):
            moved = self.move_copy(targets_and_weights[0], batch.rows, batch.epoch)
            targets_and_weights = (moved, *targets_and_weights[1:])
        if targets_and_weights and self.encode is not None:
            targets_and_weights = (self.encode(targets_and_weights[0]), *targets_and_weights[1:])
        features = tuple(tf.cast(feature, dtype) for feature, dtype in zip(features, self.dtypes, strict=True))
        return features if len(features) > 1 else features[0], targets_and_weights
