"""Batches of a source, or of a user's own dataset, as a model is fed with them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.data.targets import Targets
from tltk.foundation import checks as check
from tltk.modalities.image.augment import Augmentation, Copies, build_copies, chain
from tltk.modalities.modality import modality_of
from tltk.pipeline.batching import Budget, Size, parse_batch_size
from tltk.pipeline.finish import Change, Encode, Finish
from tltk.pipeline.loader import DatasetLoader, Loader
from tltk.pipeline.readers import BatchReader, element_targets
from tltk.pipeline.stored import decoded

Augment = Augmentation | Sequence[Augmentation] | Copies


def batches(
    data: Source | tf.data.Dataset,
    spec: Any,
    *,
    batch_size: int | str | Budget = 32,
    encode: Encode | None = None,
    shuffle: bool = False,
    augment: Augment = (),
    seed: int = 0,
    cache: str | Path = "off",
    shard: tuple[int, int] = (0, 1),
) -> Loader | DatasetLoader:
    """Make the batches that a model is trained on or asked about.

    What a batch holds is a function of (data, options, seed, epoch, number), whatever the number of threads. A file
    that cannot be decoded is left out of its batch and noted in `invalid`.

    Args:
        data: a source, or a `tf.data.Dataset` of (x), (x, y) or (x, y, weights), batched or not, which keeps its own
            order, batches and cache.
        spec: what the backbone takes.
        batch_size: examples a batch; the last one of an epoch may be smaller. For texts also a budget such as
            "2048 tokens", padding included: many short texts, few long ones.
        encode: raw targets of a batch → what the loss takes; before mixup and cutmix.
        shuffle: a new order each epoch; a TFDS builder is shuffled through a buffer of 64 MB of encoded images.
        augment: of images, from `tltk.augment`, applied to each batch in this order; or `tltk.augment.copies(…)`.
        seed: of the order and of the augmentation.
        cache: "off" decodes each epoch and keeps nothing, "memory" keeps decoded examples, a folder keeps them there.
        shard: (index, count): of each batch, every `count`-th row from `index` on.

    Returns:
        The batches: `.dataset(epoch)` for `model.fit`, and of a source `.batches(epoch)` as NumPy arrays.

    Raises:
        TypeError: if `data` is neither a source nor a dataset.
        ValueError: if there is nothing to read, it is not what the backbone takes, or an option is out of range.
        MemoryError: if cache="memory" would not fit; an OSError if a cache folder would not.

    Example:
        >>> from tltk import from_arrays
        >>> from tltk.specs import ImageSpec
        >>> gray = from_arrays(np.zeros((5, 8, 8), "uint8"), [0, 1, 0, 1, 1])
        >>> [images.shape for images, targets in batches(gray, ImageSpec(4, 4), batch_size=3).dataset()]
        [TensorShape([3, 4, 4, 3]), TensorShape([2, 4, 4, 3])]
    """
    check.kind_of("data", data, (Source, tf.data.Dataset), hint="Pass tltk.from_folder(...) or a tf.data.Dataset.")
    modality = modality_of(spec)
    chosen = (augment,) if isinstance(augment, Augmentation) else augment
    size = _check_options(batch_size, seed, cache, chosen)
    if isinstance(data, tf.data.Dataset):
        return dataset_batches(data, spec, batch_size=size, encode=encode, augment=chosen, seed=seed, cache=cache)
    modality.check(data, spec, "data")
    if not len(data):
        raise ValueError("`data` holds no examples.")
    reader = decoded(modality.reader(data, spec), where=cache)
    return source_batches(
        reader,
        data,
        element_targets(data.targets, reader),
        spec,
        batch_size=size,
        encode=encode,
        augment=chosen,
        seed=seed,
        shuffle=shuffle,
        shard=shard,
    )


def source_batches(
    reader: BatchReader,
    source: Source,
    targets: Targets | None,
    spec: Any,
    *,
    batch_size: Size,
    encode: Encode | None = None,
    shuffle: bool = False,
    augment: Sequence[Augmentation] | Copies = (),
    seed: int = 0,
    shard: tuple[int, int] = (0, 1),
) -> Loader:
    """Make batches of what a reader gives; see `batches`.

    Args:
        reader: of the elements of `source`.
        source: names the examples.
        targets: of the elements, see `element_targets`.
        spec: what the backbone takes.
        batch_size: elements a batch, or a budget.
        encode: see `batches`.
        shuffle: see `batches`.
        augment: see `batches`.
        seed: see `batches`.
        shard: see `batches`.
    """
    modality_of(spec).check_augmentation(augment.augmentations if isinstance(augment, Copies) else augment)
    if isinstance(batch_size, Budget) and reader.lengths is None:
        raise ValueError(
            f"a budget of tokens needs examples that have a length; `batch_size` of {source.modality}s is a number. "
            f"Received: '{batch_size.tokens} tokens'"
        )
    return Loader(
        reader,
        example_names(source, reader),
        targets,
        batch_size,
        seed if shuffle else None,
        Finish(spec.dtype, encode, augmenting(augment, seed)),
        shard,
    )


def dataset_batches(
    data: tf.data.Dataset,
    spec: Any,
    *,
    batch_size: Size,
    encode: Encode | None = None,
    augment: Sequence[Augmentation] | Copies = (),
    seed: int = 0,
    cache: str | Path = "off",
) -> DatasetLoader:
    """Make batches of a user's own dataset; see `batches`."""
    if isinstance(augment, Copies):
        raise ValueError("fixed copies need a Source: a tf.data.Dataset has no example ids.")
    if cache != "off":
        raise ValueError("`cache` needs a Source; a tf.data.Dataset caches by itself: data.cache().")
    modality = modality_of(spec)
    modality.check_augmentation(augment)
    own = modality.from_dataset(data, spec, batch_size=batch_size)
    return DatasetLoader(own.dataset, own.steps, own.examples, Finish(spec.dtype, encode, augmenting(augment, seed)))


def example_names(source: Source, reader: BatchReader) -> Any:
    """Return a function of the number of an element that names its example."""
    owners = reader.example_ids
    return source.id_of if owners is None else lambda row: source.id_of(int(owners[row]))


def augmenting(augment: Sequence[Augmentation] | Copies, seed: int) -> Change | None:
    """Build (inputs, targets, epoch, number of the batch, rows) → (inputs, targets); None without augmentation."""
    if isinstance(augment, Copies):
        copy, count = build_copies(augment, seed), augment.count
        return lambda images, targets, epoch, number, rows: copy(images, targets, rows, epoch % count)
    if not augment:
        return None
    change = chain(tuple(augment))

    def fresh(images: Any, targets: Any, epoch: Any, number: Any, rows: Any) -> tuple[Any, Any]:
        folded = tf.random.experimental.stateless_fold_in(tf.constant([seed, 0], tf.int64), epoch)
        return change(images, targets, tf.random.experimental.stateless_fold_in(folded, number))

    return fresh


def _check_options(batch_size: Any, seed: int, cache: str | Path, augment: Any) -> Size:
    for augmentation in augment.augmentations if isinstance(augment, Copies) else augment:
        check.kind_of("augment", augmentation, Augmentation, hint="Pass the likes of tltk.augment.flip().")
    problems = check.Problems()
    size: Size = 1
    try:
        size = parse_batch_size(batch_size)
    except ValueError as error:
        problems.add(str(error))
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**31:
        problems.add(f"`seed` must be a whole number in [0, 2**31). Received: {seed!r}")
    if isinstance(cache, str) and cache not in ("off", "memory") and not cache.strip():
        problems.add('`cache` must be "off", "memory" or a folder. Received an empty string')
    problems.raise_if_any()
    return size
