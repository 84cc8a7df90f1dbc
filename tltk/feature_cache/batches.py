"""Batches of stored features, in the very order in which the elements themselves would come."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.data.targets import Targets
from tltk.modalities.batches import example_names
from tltk.pipeline import store
from tltk.pipeline.batching import Size
from tltk.pipeline.finish import Encode
from tltk.pipeline.loader import Batch, Loader
from tltk.pipeline.readers import Reader
from tltk.pipeline.stored import StoredReader


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
) -> Loader:
    """Make batches of what was computed.

    Args:
        records: from `compute`; of several copies, epoch e reads copy e modulo their number.
        reader: of the elements as they were, whose lengths decide which stand together.
        source: names the examples.
        prefix: what computed the records; says which dtypes the suffix takes.
        targets: of the elements.
        batch_size: elements a batch, or a budget of tokens.
        encode: raw targets of a batch → what the loss takes.
        seed: of a new order each epoch; None keeps the order of the reader.

    Returns:
        The batches; the boundary's tensor, or a tuple of its tensors, takes the place of the inputs.
    """
    stored = StoredReader(records, reader.count, reader.example_ids, reader.lengths)
    dtypes = tuple(tensor.dtype for tensor in prefix.outputs)
    varies = tuple(len(tensor.shape) > 1 and tensor.shape[1] is None for tensor in prefix.outputs)
    finish = _Finish(dtypes, varies, reader.lengths, encode)
    return Loader(stored, example_names(source, reader), targets, batch_size, seed, finish)


@dataclass(frozen=True, eq=False)
class _Finish:
    """The last steps for stored features: padding cut off, dtypes of the suffix, encoded targets."""

    dtypes: tuple[str, ...]
    varies: tuple[bool, ...]
    lengths: np.ndarray | None
    encode: Encode | None

    def __call__(self, batch: Batch) -> tuple[Any, tuple]:
        stored, rest = batch.values, batch.rest
        if self.lengths is not None:
            longest = tf.reduce_max(tf.gather(self.lengths, batch.rows))
            stored = tuple(
                value[:, :longest] if varies else value for value, varies in zip(stored, self.varies, strict=True)
            )
        if rest and self.encode is not None:
            rest = (self.encode(rest[0]), *rest[1:])
        features = tuple(tf.cast(value, dtype) for value, dtype in zip(stored, self.dtypes, strict=True))
        return features if len(features) > 1 else features[0], rest
