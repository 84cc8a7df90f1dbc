"""Batches of pictures for `model.fit`: the sole owner of the order read, cache, shuffle, batch, augment, prefetch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tltk.data.source import TEXT_KINDS, Source
from tltk.foundation import checks as check
from tltk.modalities.image.augment import Augmentation, Copies, build_copies, chain
from tltk.modalities.text import reader as texts
from tltk.pipeline import user_dataset as plain
from tltk.pipeline.batching import Budget, Size, examples_a_step, size_of
from tltk.pipeline.cache import cached
from tltk.pipeline.epochs import Epochs
from tltk.pipeline.stream import Batches, as_written, from_readers, ready
from tltk.specs import ImageSpec, TextSpec

Encode = Callable[[tf.Tensor], tf.Tensor]


def batches(
    data: Source | tf.data.Dataset,
    spec: ImageSpec | TextSpec,
    *,
    batch_size: int | str | Budget = 32,
    encode: Encode | None = None,
    shuffle: bool = False,
    augment: Augmentation | Sequence[Augmentation] | Copies = (),
    seed: int = 0,
    cache: str | Path = "off",
) -> Batches:
    """Make the batches that a model is trained on or asked about.

    What comes out is a function of (data, options, seed, epoch), whatever the number of threads. A file that fails to
    decode is left out of its batch and listed in `invalid`.

    Args:
        data: a source, or a `tf.data.Dataset` of (x), (x, y) or (x, y, weights), x pixels or texts, batched or not,
            which keeps its own order, batches and cache.
        spec: what the backbone eats.
        batch_size: examples a batch; the last one of an epoch may be smaller. Of texts also a budget such as
            "2048 tokens", padding included: many short texts, few long ones.
        encode: raw targets of a batch (int32 [b] or float32 [b, k]) → what the loss takes; before mixup and cutmix.
        shuffle: a new order each epoch; a TFDS builder is shuffled through a buffer of 64 MB of encoded pictures.
        augment: of pictures, from `tltk.augment`, applied to each batch in this order; or
            `tltk.augment.copies(…)`.
        seed: of the order and of the augmentation.
        cache: "off" decodes each epoch and keeps nothing, "memory" keeps decoded pictures, a folder keeps them there;
            token ids are always kept in memory.

    Returns:
        The batches.

    Raises:
        TypeError: if `data` is neither a source nor a dataset.
        ValueError: if there is nothing to read, it is not what the backbone eats, or an option is out of range.
        MemoryError: if cache="memory" would not fit; an OSError if a cache folder would not.

    Example:
        >>> from tltk.data.formats.folder import from_arrays
        >>> grey = from_arrays(np.zeros((5, 8, 8), "uint8"), [0, 1, 0, 1, 1])
        >>> [images.shape for images, targets in batches(grey, ImageSpec(4, 4), batch_size=3).dataset]
        [TensorShape([3, 4, 4, 3]), TensorShape([2, 4, 4, 3])]
    """
    check.kind_of("data", data, (Source, tf.data.Dataset), hint="Pass tltk.from_folder(...) or a tf.data.Dataset.")
    chosen = (augment,) if isinstance(augment, Augmentation) else augment
    size = _check_options(spec, batch_size, seed, cache, chosen)
    finish = _Finish(encode, _change(chosen, seed), tf.as_dtype(spec.dtype))
    if isinstance(data, tf.data.Dataset):
        if isinstance(chosen, Copies):
            raise ValueError("copies are of the examples of a source; a tf.data.Dataset does not number them.")
        return _from_dataset(data, spec, size, cache=cache, finish=finish)
    _check_source(data, spec)
    if isinstance(spec, TextSpec):
        return texts.batches(data, spec, batch_size=size, seed=seed if shuffle else None, finish=finish)
    stored = cached(data, spec, where=cache)
    exact = data.kind == "image_arrays" and data.items.shape[1:3] == spec.shape[:2]
    values = (tf.TensorSpec([None, *spec.shape], tf.as_dtype(data.items.dtype if exact else "uint8")),)
    return from_readers(lambda epoch: stored, values, data, size, seed=seed if shuffle else None, finish=finish)


def _change(augment: Sequence[Augmentation] | Copies, seed: int) -> Callable | None:
    """Build (images, targets, epoch, number of the batch, rows) → (images, targets), or None without augmentation."""
    if isinstance(augment, Copies):
        copy, count = build_copies(augment, seed), augment.count
        return lambda images, targets, epoch, number, rows: copy(images, targets, rows, epoch % count)
    if not augment:
        return None
    change = chain(tuple(augment))

    def fresh(images: tf.Tensor, targets: tf.Tensor, epoch: tf.Tensor, number: tf.Tensor, rows: tf.Tensor) -> tuple:
        folded = tf.random.experimental.stateless_fold_in(tf.constant([seed, 0], tf.int64), epoch)
        return change(images, targets, tf.random.experimental.stateless_fold_in(folded, number))

    return fresh


@dataclass(frozen=True)
class _Finish:
    """The last steps for one batch: float pixels or whole token ids, encoded targets, augmentation."""

    encode: Encode | None
    change: Callable | None
    dtype: tf.DType

    def __call__(self, epoch: tf.Tensor, number: tf.Tensor, rows: tf.Tensor, values: tuple, rest: tuple) -> tuple:
        images = tf.cast(values[0], self.dtype)
        if rest and self.encode is not None:
            rest = (self.encode(rest[0]), *rest[1:])
        if self.change is not None:
            targets = rest[0] if rest else tf.zeros([tf.shape(images)[0]])
            changed, targets = self.change(images, targets, epoch, number, rows)
            images, rest = tf.ensure_shape(changed, images.shape), (targets, *rest[1:]) if rest else ()
        return images, rest


def _from_dataset(
    data: tf.data.Dataset, spec: ImageSpec | TextSpec, batch_size: Size, *, cache: str | Path, finish: _Finish
) -> Batches:
    """Keep the dataset's own order and batches."""
    if isinstance(spec, TextSpec):
        own, steps, examples = texts.from_dataset(data, spec, batch_size=batch_size)
    else:
        own, steps, examples = plain.adopt(data, spec, batch_size=examples_a_step(batch_size, 1))
    if cache != "off":
        raise ValueError("`cache` is for sources; a tf.data.Dataset caches by itself: data.cache().")
    epochs = Epochs(lambda index: f"example {index}")
    starts = tf.data.Dataset.from_generator(lambda: iter([epochs.next]), output_signature=tf.TensorSpec([], tf.int64))

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        def numbered(number: tf.Tensor, batch: tuple) -> tuple:
            return epoch, number, tf.equal(number, steps - 1), tf.zeros([0], tf.int64), batch[:1], batch[1:]

        return own.enumerate().map(as_written(numbered))

    numbered = starts.flat_map(as_written(one_epoch))
    return Batches(ready(numbered, finish, epochs), steps, examples, epochs.invalid, epochs)


def _check_options(spec: ImageSpec | TextSpec, batch_size: Any, seed: int, cache: str | Path, augment: Any) -> Size:
    check.kind_of("spec", spec, (ImageSpec, TextSpec))
    for augmentation in augment.augmentations if isinstance(augment, Copies) else augment:
        check.kind_of(
            "augment",
            augmentation,
            Augmentation,
            hint="Pass the likes of tltk.augment.flip().",
        )
    problems = check.Problems()
    if isinstance(spec, TextSpec) and augment:
        problems.add("augmentations are of pictures; the backbone eats texts")
    if isinstance(spec, ImageSpec) and spec.channels != 3:
        problems.add(f"`spec.channels` must be 3. Received: {spec.channels}")
    size: Size = 1
    try:
        size = size_of(batch_size)
    except ValueError as error:
        problems.add(str(error))
    if isinstance(size, Budget) and isinstance(spec, ImageSpec):
        problems.add(f"a budget of tokens is of texts; `batch_size` of pictures is a number. Received: {batch_size!r}")
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**31:
        problems.add(f"`seed` must be a whole number in [0, 2**31). Received: {seed!r}")
    if isinstance(cache, str) and cache not in ("off", "memory") and not cache.strip():
        problems.add('`cache` must be "off", "memory" or a folder. Received an empty text')
    problems.raise_if_any()
    return size


def _check_source(source: Source, spec: ImageSpec | TextSpec) -> None:
    if (source.kind in TEXT_KINDS) != isinstance(spec, TextSpec):
        held, eaten = ("texts", "pictures") if source.kind in TEXT_KINDS else ("pictures", "texts")
        first = source.describe().splitlines()[0]
        raise ValueError(f"`data` holds {held}, and the backbone eats {eaten}: {first}.")
    if not len(source):
        raise ValueError("`data` holds no examples.")
