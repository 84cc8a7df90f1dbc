"""`Source.to_dataset`: a source as a plain `tf.data.Dataset`, for `keras.Model.fit` or a training loop of your own."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import tensorflow as tf

from tltk.data.invalid import Invalid, listing
from tltk.data.source import Source
from tltk.modalities.batches import Augment, batches
from tltk.modalities.modality import drop_invalid
from tltk.models.transfer_model import TransferModel
from tltk.pipeline.loader import Loader
from tltk.tasks.sources import require_labels

log = logging.getLogger("tltk")


class _LoggedInvalid(Invalid):
    """Invalid examples, logged as they occur, since nothing else reports them for a plain dataset."""

    def add(self, example_id: str, reason: str, *, is_annotation: bool = False) -> None:
        if example_id not in {example.example_id for example in self}:
            log.warning("%s was left out: %s", example_id, reason)
        super().add(example_id, reason, is_annotation=is_annotation)


def to_dataset(
    source: Source,
    model: Any,
    *,
    batch_size: int | str = 32,
    shuffle: bool = False,
    augment: Augment = (),
    seed: int = 0,
    cache: str | Path = "off",
    max_invalid_fraction: float = 0.1,
) -> tf.data.Dataset:
    """See `Source.to_dataset`."""
    options: dict[str, Any] = {"batch_size": batch_size, "shuffle": shuffle, "augment": augment, "seed": seed}
    spec = model
    if isinstance(model, TransferModel):
        spec = model.input_spec
        options |= {"encode": model.task.encode, "read_targets": model.task.element_targets}
        if source.targets is not None:
            require_labels(model.task, source, "source")
    valid, invalid = drop_invalid(source, max_invalid_fraction=max_invalid_fraction)
    if invalid:
        log.warning("invalid examples left out: %d (%s)", len(invalid), listing(invalid, limit=5))
    loader = cast(Loader, batches(valid, spec, cache=cache, **options))
    return _new_epoch_each_time(replace(loader, invalid=_LoggedInvalid()))


def _new_epoch_each_time(loader: Loader) -> tf.data.Dataset:
    """Return a dataset whose first iteration is epoch 0, the second one epoch 1 and so on."""
    with tf.device("CPU:0"):  # where the input pipeline reads it
        iterations = tf.Variable(-1, dtype=tf.int64, trainable=False)
    dataset = loader.dataset(lambda: iterations.assign_add(1))
    if not isinstance(loader.batch_size, int):
        return dataset
    # A batch without a readable image would be missing, which is an error of TensorFlow then.
    counted = dataset.apply(tf.data.experimental.assert_cardinality(loader.steps_per_epoch))
    counted.loader = loader
    return counted
