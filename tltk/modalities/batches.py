"""Batches of a source, or of a user's own dataset, in the input format of a model."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tensorflow as tf

from tltk.data.sample_weight import element_weights
from tltk.data.source import Source
from tltk.data.targets import Targets
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.modalities.image.augment import Augmentation, Copies, as_augmentations, build_copies, chain, mixes
from tltk.modalities.modality import modality_of
from tltk.pipeline.batching import Budget, Size, budget_without_lengths, parse_batch_size, shard_problem
from tltk.pipeline.dataset_errors import reading
from tltk.pipeline.decoded_store import decoded
from tltk.pipeline.finish import AugmentBatch, Encode, Finish
from tltk.pipeline.loader import DatasetLoader, Loader
from tltk.pipeline.readers import BatchReader, Reader, element_targets
from tltk.pipeline.user_dataset import BatchCheck, TargetReader, UserDataset, checked

NO_COPIES = "fixed copies need a Source: a tf.data.Dataset has no example ids."
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
    read_targets: Callable[[Targets | None, Reader], Targets | None] = element_targets,
) -> Loader | DatasetLoader:
    """Build the batches for training or prediction.

    The content of a batch depends on (data, options, seed, epoch, batch number) only, not on the number of threads. A
    file that cannot be decoded is left out of its batch and listed in `invalid`.

    Args:
        data: A source, or a `tf.data.Dataset` of (x), (x, y) or (x, y, weights), batched or not, which keeps its own
            order, batches and cache.
        spec: Input format of the backbone.
        batch_size: Examples per batch; the last batch of an epoch may be smaller. For texts also a budget such as
            "2048 tokens", padding included: many short texts or few long ones.
        encode: Function from a batch of raw targets to the input of the loss; applied before mixup and cutmix.
        shuffle: Whether each epoch has a new order; a TFDS builder is shuffled through a buffer of 64 MB of encoded
            images.
        augment: Augmentations of images from `tltk.augment`, applied to each batch in order, or
            `tltk.augment.copies(…)`.
        seed: Seed of the order and of the augmentations.
        cache: "off" decodes every example in each epoch; "memory" keeps decoded examples in memory, a path in a folder.
        shard: (index, count): keep every `count`-th row of each batch, starting at `index`.
        read_targets: Function from the targets of a source and its reader to the targets of the elements, such as
            `task.element_targets`.

    Returns:
        The batches: `.dataset(epoch)` for `model.fit` and, for a source, `.batches(epoch)` as NumPy arrays.

    Raises:
        InvalidType: If `data` is neither a source nor a dataset.
        InvalidInput: If `data` is empty or not in the input format of the backbone, or an option is out of range.
        OutOfMemory: If the examples do not fit into memory with cache="memory".
        FileError: If the examples do not fit on the disk of the cache folder.

    Examples:
        >>> import numpy as np
        >>> from tltk import from_arrays
        >>> from tltk.specs import ImageSpec
        >>> gray = from_arrays(np.zeros((5, 8, 8), "uint8"), [0, 1, 0, 1, 1])
        >>> [images.shape for images, targets in batches(gray, ImageSpec(4, 4), batch_size=3).dataset()]
        [TensorShape([3, 4, 4, 3]), TensorShape([2, 4, 4, 3])]
    """
    check.instance_of("data", data, (Source, tf.data.Dataset), hint="Pass tltk.from_folder(...) or a tf.data.Dataset.")
    modality = modality_of(spec)
    augmentations = augment if isinstance(augment, Copies) else as_augmentations(augment)
    size = _check_options(batch_size, seed, cache, shard)
    if isinstance(data, tf.data.Dataset):
        if cache != "off":
            raise InvalidInput("`cache` needs a Source. For a tf.data.Dataset, use its own cache: data.cache().")
        user = read_dataset(data, spec, batch_size=size)
        return dataset_batches(user, spec, encode=encode, augment=augmentations, seed=seed)
    modality.check(data, spec, "data")
    if not len(data):
        raise InvalidInput("`data` holds no examples.")
    decoding_reader = modality.reader(data, spec)
    return source_batches(
        decoded(decoding_reader, storage=cache),
        data,
        read_targets(data.targets, decoding_reader),
        spec,
        batch_size=size,
        encode=encode,
        augment=augmentations,
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
    """Build batches of the elements of a reader; see `batches`.

    Args:
        reader: Reader of the elements of `source`.
        source: Source of the examples, for their ids.
        targets: Targets of the elements, see `element_targets`.
        spec: Input format of the backbone.
        batch_size: Elements per batch, or a budget.
        encode: See `batches`.
        shuffle: See `batches`.
        augment: See `batches`.
        seed: See `batches`.
        shard: See `batches`.

    Raises:
        InvalidInput: If an augmentation cannot be applied, or `batch_size` is a budget and elements have no length.
    """
    modality_of(spec).check_augmentation(augment.augmentations if isinstance(augment, Copies) else augment, spec)
    if isinstance(batch_size, Budget) and reader.lengths is None:
        raise InvalidInput(budget_without_lengths(batch_size))
    return Loader(
        reader,
        example_names(source, reader),
        targets,
        batch_size,
        seed if shuffle else None,
        Finish(spec.dtype, encode, augmenting(augment, seed, spec), _mixes(augment)),
        shard,
        sample_weight=element_weights(source.sample_weight, reader.example_ids),
    )


def read_dataset(
    data: tf.data.Dataset,
    spec: Any,
    *,
    batch_size: Size,
    targets: TargetReader | None = None,
    argument: str = "data",
) -> UserDataset:
    """Convert a user's own dataset to batches in the input format of a model, which are checked while they are read.

    Args:
        data: See `batches`.
        spec: Input format of the backbone.
        batch_size: Examples per batch, if the dataset is not batched.
        targets: Checks and converts the targets, such as a task; None leaves them unchecked.
        argument: Argument that holds the dataset, for error messages.

    Raises:
        InvalidInput: If the dataset does not yield the input format of the backbone, or is infinite or empty.
    """
    modality = modality_of(spec)

    def input_problem(low: float, high: float, is_first: bool) -> str:
        return modality.input_problem(spec, low, high, is_first=is_first)

    with reading(argument):
        user = modality.from_dataset(data, spec, batch_size=batch_size)
    return checked(user, BatchCheck(argument, input_problem, targets))


def dataset_batches(
    user: UserDataset,
    spec: Any,
    *,
    encode: Encode | None = None,
    augment: Sequence[Augmentation] | Copies = (),
    seed: int = 0,
) -> DatasetLoader:
    """Build batches of a user's own dataset; see `batches` for the options.

    Args:
        user: From `read_dataset`.
        spec: Input format of the backbone.
        encode: See `batches`.
        augment: See `batches`.
        seed: See `batches`.

    Raises:
        InvalidInput: If an option needs a source.
    """
    if isinstance(augment, Copies):
        raise InvalidInput(NO_COPIES)
    modality_of(spec).check_augmentation(augment, spec)
    finish = Finish(spec.dtype, encode, augmenting(augment, seed, spec), _mixes(augment))
    return DatasetLoader(user.dataset, user.steps_per_epoch, user.example_count, finish, user.problem)


def example_names(source: Source, reader: BatchReader) -> Any:
    """Return a function from the index of an element to the id of its example."""
    example_rows = reader.example_ids
    return source.id_of if example_rows is None else lambda element: source.id_of(int(example_rows[element]))


def augmenting(augment: Sequence[Augmentation] | Copies, seed: int, spec: Any) -> AugmentBatch | None:
    """Build the graph function (images, targets, epoch, batch number, rows) → (images, targets).

    Args:
        augment: See `batches`.
        seed: See `batches`.
        spec: Input format of the backbone, whose modality knows the range of its values.

    Returns:
        The function; None if there is no augmentation.
    """
    value_range = modality_of(spec).value_range(spec)
    if isinstance(augment, Copies):
        copy, count = build_copies(replace(augment, value_range=value_range), seed), augment.count
        return lambda images, targets, epoch, number, rows: copy(images, targets, rows, epoch % count)
    if not augment:
        return None
    transform = chain(tuple(augment), value_range=value_range)

    def augment_batch(images: Any, targets: Any, epoch: Any, number: Any, rows: Any) -> tuple[Any, Any]:
        epoch_seed = tf.random.experimental.stateless_fold_in(tf.constant([seed, 0], tf.int64), epoch)
        return transform(images, targets, tf.random.experimental.stateless_fold_in(epoch_seed, number))

    return augment_batch


def _mixes(augment: Sequence[Augmentation] | Copies) -> bool:
    return not isinstance(augment, Copies) and mixes(augment)


def _check_options(batch_size: Any, seed: int, cache: str | Path, shard: Any) -> Size:
    problems = check.Problems()
    size: Size = 1
    try:
        size = parse_batch_size(batch_size)
    except ValueError as error:
        problems.add(str(error))
    try:
        check.seed(seed)
    except ValueError as error:
        problems.add(str(error))
    if isinstance(cache, str) and cache not in ("off", "memory") and not cache.strip():
        problems.add(f'`cache` must be "off", "memory" or a folder. Received: {cache!r}')
    if shard_problem(shard):
        problems.add(shard_problem(shard))
    problems.raise_if_any()
    return size
