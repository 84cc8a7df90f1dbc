"""The input pipeline: the sole owner of the order decode → cache → shuffle → augment → batch → prefetch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tltk import _check as check
from tltk.data import plain
from tltk.data.cache import cached
from tltk.data.decode import decode_image, resize
from tltk.data.sources import Source
from tltk.data.transforms import MIXING, Augmentation, chain
from tltk.specs import BadExample, InputSpec

AUTOTUNE = tf.data.AUTOTUNE
_STREAM_BUFFER = 2048  # encoded pictures held to shuffle a stream: some 200 MB at 100 KB each


@dataclass(frozen=True)
class Batches:
    """A stream of batches. Each iteration over `dataset` is the next epoch.

    Args:
        dataset: (images float32 [b, h, w, 3] in 0 … 255, targets), or images alone if the source has no targets.
        steps: batches an epoch; unreadable pictures that only decoding finds can make it fewer.
        examples: examples an epoch.
        watch: keeps count of what was read.
    """

    dataset: tf.data.Dataset
    steps: int
    examples: int
    watch: "Watch"

    @property
    def skipped(self) -> list[BadExample]:
        """Examples that could not be decoded in the epochs read so far."""
        return self.watch.skipped()


def batches(
    data: Source | tf.data.Dataset,
    spec: InputSpec,
    *,
    batch_size: int = 32,
    encode: Callable[[tf.Tensor], tf.Tensor] | None = None,
    shuffle: bool = False,
    augment: tuple[Augmentation, ...] = (),
    seed: int = 0,
    first_epoch: int = 0,
    cache: str | Path = "off",
) -> Batches:
    """Turn a source into batches for `model.fit`.

    The stream is a pure function of the arguments, whatever the number of threads: the order of epoch e comes from
    (seed, e), the augmentation of its batch k from (seed, e, k). So a run can go on at any epoch.

    Args:
        data: a source, or a `tf.data.Dataset` of pixels, (pixels, targets) or (pixels, targets, weights), batched or
            not, which keeps its own order and cache.
        spec: size of the pictures.
        batch_size: examples a batch; the last one of an epoch may be smaller.
        encode: turns a batch of raw targets into what the loss takes (`task.encode`).
        shuffle: a new order every epoch.
        augment: applied to each batch, in order.
        seed: of order and augmentation.
        first_epoch: number of the first epoch.
        cache: "off" decodes anew each epoch and needs little memory; "memory" decodes once and keeps bytes in memory;
            a folder decodes once and keeps them on disk.

    Returns:
        The batches.

    Raises:
        TypeError: if `data` is neither a source nor a dataset.
        ValueError: if a dataset's elements do not fit, or mixup meets targets that are not encoded.

    Example:
        >>> from tltk.data.sources import from_arrays
        >>> feed = batches(from_arrays(np.zeros((5, 8, 8, 3), "uint8")), InputSpec(4, 4), batch_size=2)
        >>> feed.steps, [images.shape[0] for images in feed.dataset]
        (3, [2, 2, 1])
    """
    check.positive(batch_size=batch_size)
    if isinstance(data, tf.data.Dataset):
        counts = plain.count(data, spec, batch_size)
        dataset = plain.as_batches(data, spec, batch_size=batch_size, encode=encode).enumerate().map(_as_elements)
        watch, fixed = Watch(None, first_epoch), False
    else:
        check.kind_of("data", data, Source, hint="Pass a source such as tltk.from_folder(...), or a tf.data.Dataset.")
        source = cached(data, spec, cache) if cache != "off" else data
        counts = (-(-len(data) // batch_size), len(data))
        watch, fixed = Watch(data, first_epoch), True
        dataset = _read(source, spec, watch, batch_size=batch_size, order=(shuffle, seed))
        if encode is not None and source.targets is not None:
            dataset = dataset.map(lambda key, images, *y: (key, images, *map(encode, y)), AUTOTUNE, deterministic=True)
    dataset = _augmented(dataset, augment, seed) if augment else dataset
    dataset = dataset.map(lambda key, *element: element if len(element) > 1 else element[0])
    options = tf.data.Options()
    options.deterministic = True
    # With from_generator at its root a dataset cannot be divided by file; each replica takes a share of each batch.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    dataset = dataset.with_options(options)
    return Batches(dataset.prefetch(AUTOTUNE), *counts, watch) if fixed else Batches(dataset.prefetch(AUTOTUNE), *counts, watch)


class Watch:
    """What the pipeline has read: which epoch it is in, and which examples never came out of the decoder."""

    def __init__(self, source: Source | None, first_epoch: int) -> None:
        self.source = source
        self.epoch = first_epoch
        self.missing: dict[int, None] = {}
        self.seen: set[int] = set()

    def epochs(self) -> Iterator[int]:
        """Yield the number of the next epoch; called once for each iteration over the dataset."""
        number, self.epoch = self.epoch, self.epoch + 1
        self.seen = set()
        yield number

    def note(self, positions: np.ndarray) -> np.ndarray:
        """Take the positions of a batch; −1 marks the end of the epoch."""
        self.seen.update(positions.tolist())
        if self.source is not None and -1 in self.seen:
            self.missing.update(dict.fromkeys(set(range(len(self.source))) - self.seen))
        return positions

    def skipped(self) -> list[BadExample]:
        """List the examples that could not be decoded."""
        if self.source is None:
            return []
        return [BadExample(self.source.name_of(position), "cannot be decoded") for position in sorted(self.missing)]


def _read(source: Source, spec: InputSpec, watch: Watch, *, batch_size: int, order: tuple[bool, int]) -> tf.data.Dataset:
    """Read, decode and batch: ((epoch, batch number), images, targets if there are any)."""
    if source.kind == "texts":
        raise ValueError("a source of texts cannot feed an image model.")
    epochs = tf.data.Dataset.from_generator(watch.epochs, output_signature=tf.TensorSpec([], tf.int64))
    one = {"tfds": _stream_epoch, "image_files": _file_epoch, "image_arrays": _array_epoch}[source.kind]
    read = one(source, spec, epochs, order)
    joined = read.batch(batch_size)
    targets = None if source.targets is None else tf.constant(source.targets)

    def finish(number: tf.Tensor, read: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
        epoch, positions, images = read
        positions = tf.ensure_shape(tf.numpy_function(watch.note, [positions], tf.int64), [None])
        real = positions >= 0
        positions, images = tf.boolean_mask(positions, real), tf.boolean_mask(images, real)
        images = tf.ensure_shape(tf.cast(images, tf.float32), [None, *spec.shape])
        found = () if targets is None else (tf.gather(targets, positions),)
        return (tf.stack([epoch[0], number]), images, *found)

    done = joined.enumerate().map(finish)
    return done.filter(lambda key, images, *rest: tf.shape(images)[0] > 0)


def _positions(count: int, epochs: tf.data.Dataset, order: tuple[bool, int]) -> tf.data.Dataset:
    """Stream (epoch, position) of one epoch in its order, then (epoch, −1)."""
    shuffle, seed = order

    def epoch_of(epoch: tf.Tensor) -> tf.data.Dataset:
        positions = tf.range(count, dtype=tf.int64)
        if shuffle:
            positions = tf.random.experimental.stateless_shuffle(positions, seed=tf.stack([tf.cast(seed, tf.int64), epoch]))
        positions = tf.concat([positions, tf.constant([-1], tf.int64)], 0)
        return tf.data.Dataset.from_tensor_slices((tf.fill([count + 1], epoch), positions))

    return epochs.flat_map(epoch_of)


def _file_epoch(source: Source, spec: InputSpec, epochs: tf.data.Dataset, order: tuple[bool, int]) -> tf.data.Dataset:
    paths = tf.constant(source.items[source.index].astype(str))

    def read(epoch: tf.Tensor, position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        def decode() -> tf.Tensor:
            return tf.cast(decode_image(tf.io.read_file(tf.gather(paths, position)), spec), tf.uint8)

        image = tf.cond(position < 0, lambda: tf.zeros(spec.shape, tf.uint8), decode)
        return epoch, position, image

    # What fails to decode is dropped here, and missed by `Watch` at the end of the epoch.
    return _positions(len(source), epochs, order).map(read, AUTOTUNE, deterministic=True).ignore_errors()


def _stream_epoch(source: Source, spec: InputSpec, epochs: tf.data.Dataset, order: tuple[bool, int]) -> tf.data.Dataset:
    """Read a stream through, keep the examples of this source, and shuffle within a buffer."""
    place = np.full(int(source.index.max()) + 1, -1, "int64")
    place[source.index] = np.arange(len(source))
    positions = tf.constant(place)
    shuffle, seed = order

    def epoch_of(epoch: tf.Tensor) -> tf.data.Dataset:
        stream = source.stream().enumerate().take(len(place))  # type: ignore[misc]
        kept = stream.map(lambda number, data: (epoch, tf.gather(positions, number), data))
        kept = kept.filter(lambda epoch, position, data: position >= 0)
        kept = kept.shuffle(_STREAM_BUFFER, seed=tf.cast(seed, tf.int64) * 1_000_003 + epoch) if shuffle else kept
        end = tf.data.Dataset.from_tensors((epoch, tf.constant(-1, tf.int64), tf.constant(b"")))
        return kept.concatenate(end)

    def read(epoch: tf.Tensor, position: tf.Tensor, data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        def decode() -> tf.Tensor:
            return tf.cast(decode_image(data, spec), tf.uint8)

        return epoch, position, tf.cond(position < 0, lambda: tf.zeros(spec.shape, tf.uint8), decode)

    return epochs.flat_map(epoch_of).map(read, AUTOTUNE, deterministic=True).ignore_errors()


def _array_epoch(source: Source, spec: InputSpec, epochs: tf.data.Dataset, order: tuple[bool, int]) -> tf.data.Dataset:
    dtype = tf.as_dtype(source.items.dtype)
    shape = source.items.shape[1:]

    def row(position: np.ndarray) -> np.ndarray:
        return np.asarray(source.items[source.index[position]])

    def read(epoch: tf.Tensor, position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        image = tf.ensure_shape(tf.numpy_function(row, [position], dtype), shape)
        image = tf.cast(image[..., None] if len(shape) == 2 else image, tf.float32)
        image = tf.repeat(image, 3, -1) if image.shape[-1] == 1 else image
        return epoch, position, image if image.shape == spec.shape else resize(image, spec)

    return _positions(len(source), epochs, order).map(read, AUTOTUNE, deterministic=True)


def _augmented(dataset: tf.data.Dataset, augment: tuple[Augmentation, ...], seed: int) -> tf.data.Dataset:
    apply = chain(tuple(augment))
    mixing = [augmentation.name for augmentation in augment if augmentation.name in MIXING]
    spec = dataset.element_spec
    if len(spec) < 3:
        raise ValueError("augmentation needs targets: it is for training.")
    if mixing and not spec[2].dtype.is_floating:
        raise ValueError(f"{' and '.join(mixing)} blend targets, which must be encoded as floats. Received: {spec[2].dtype.name}")

    def run(key: tf.Tensor, images: tf.Tensor, targets: tf.Tensor, *weights: tf.Tensor) -> tuple[tf.Tensor, ...]:
        start = tf.constant([seed, 0x7174], tf.int64)
        place = tf.random.experimental.stateless_fold_in(start, key[0])
        changed, mixed = apply(images, targets, tf.random.experimental.stateless_fold_in(place, key[1]))
        return (key, tf.ensure_shape(changed, images.shape), mixed, *weights)

    return dataset.map(run, AUTOTUNE, deterministic=True)


def _as_elements(number: tf.Tensor, element: Any) -> tuple[tf.Tensor, ...]:
    """Give a user's own batches the key that ours have; their epochs are not told apart."""
    parts = element if isinstance(element, tuple) else (element,)
    return (tf.stack([tf.constant(0, tf.int64), number]), *parts)
