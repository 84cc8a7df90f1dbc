"""Batches of pictures for `model.fit`: the sole owner of the order read, cache, shuffle, batch, augment, prefetch."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tltk import _check as check
from tltk.data import plain
from tltk.data.cache import cached
from tltk.data.epochs import Epochs
from tltk.data.examples import Source
from tltk.data.readers import Piece, Reader, reader
from tltk.data.transforms import MIXING, Augmentation, chain
from tltk.specs import BadExample, InputSpec

_AHEAD = 2  # batches kept ready
_WORKERS = 2  # batches augmented at once

# No function here has Python control flow on tensors. AutoGraph, asked to rewrite them, reads their source code, and
# where it cannot (lambdas over several lines, a file changed since) it warns.
as_written = tf.autograph.experimental.do_not_convert

Encode = Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Batches:
    """What a model is fed with.

    Args:
        dataset: (images float32 [b, h, w, 3] in 0 … 255, targets), with weights as a third where a dataset came with
            them, or images alone when unlabelled. Each pass over it is the next epoch: another order, other
            augmentation. A pass that stops before its last batch is repeated by the next one.
        steps: batches an epoch; one in which no picture can be decoded does not come.
        examples: an epoch's examples, before any is found unreadable.
        skipped: files found unreadable while decoding; grows while `dataset` is read, each file once.
    """

    dataset: tf.data.Dataset
    steps: int
    examples: int
    skipped: list[BadExample]
    _epochs: Epochs = field(repr=False)

    def start_at(self, epoch: int) -> None:
        """Make the next pass over `dataset` be epoch number `epoch`, counted from 0, as when a run resumes."""
        self._epochs.start_at(epoch)


def batches(
    data: Source | tf.data.Dataset,
    spec: InputSpec,
    *,
    batch_size: int = 32,
    encode: Encode | None = None,
    shuffle: bool = False,
    augment: Augmentation | Sequence[Augmentation] = (),
    seed: int = 0,
    cache: str | Path = "off",
) -> Batches:
    """Make the batches that a model is trained on or asked about.

    What comes out is a function of (data, options, seed, epoch), whatever the number of threads. A file that fails to
    decode is left out of its batch and listed in `skipped`.

    Args:
        data: a source of pictures, or a `tf.data.Dataset` of (x), (x, y) or (x, y, weights), batched or not, which
            keeps its own order, batches and cache.
        spec: what the backbone eats.
        batch_size: examples a batch; the last one of an epoch may be smaller.
        encode: raw targets of a batch (int32 [b] or float32 [b, k]) → what the loss takes; before mixup and cutmix.
        shuffle: a new order each epoch; a TFDS builder is shuffled through a buffer of 64 MB of encoded pictures.
        augment: from `tltk.data.transforms`, applied to each batch in this order.
        seed: of the order and of the augmentation.
        cache: "off" decodes each epoch and keeps nothing, "memory" keeps decoded pictures, a folder keeps them there.

    Returns:
        The batches.

    Raises:
        TypeError: if `data` is neither a source nor a dataset.
        ValueError: if there is nothing to read, it is no pictures, or an option is out of range.
        MemoryError: if cache="memory" would not fit; an OSError if a cache folder would not.

    Example:
        >>> from tltk.data.sources import from_arrays
        >>> grey = from_arrays(np.zeros((5, 8, 8), "uint8"), [0, 1, 0, 1, 1])
        >>> [images.shape for images, targets in batches(grey, InputSpec(4, 4), batch_size=3).dataset]
        [TensorShape([3, 4, 4, 3]), TensorShape([2, 4, 4, 3])]
    """
    check.kind_of("data", data, (Source, tf.data.Dataset), hint="Pass tltk.from_folder(...) or a tf.data.Dataset.")
    chosen = (augment,) if isinstance(augment, Augmentation) else tuple(augment)
    _check_options(spec, batch_size, seed, cache, chosen)
    finish = _Finish(encode, chain(chosen) if chosen else None, seed, any(a.name in MIXING for a in chosen))
    if isinstance(data, tf.data.Dataset):
        return _from_dataset(data, spec, batch_size, shuffle=shuffle, cache=cache, finish=finish)
    _check_source(data)
    source_reader = cached(data, reader(data, spec), spec, where=cache)
    epochs, steps = Epochs(data.name_of), math.ceil(len(data) / batch_size)
    dataset = _from_source(source_reader, data, spec, batch_size, seed=seed if shuffle else None, epochs=epochs)
    return Batches(_ready(dataset, finish, epochs), steps, len(data), epochs.skipped, epochs)


@dataclass(frozen=True)
class _Finish:
    """The last steps for one batch: float pixels, encoded targets, augmentation."""

    encode: Encode | None
    change: Callable | None
    seed: int
    mixes: bool

    def __call__(self, epoch: tf.Tensor, number: tf.Tensor, images: tf.Tensor, rest: tuple) -> tuple:
        images = tf.cast(images, tf.float32)
        if rest and self.encode is not None:
            rest = (self.encode(rest[0]), *rest[1:])
        if self.change is not None:
            shape = images.shape
            if self.mixes:
                _check_mixable(rest)
            folded = tf.random.experimental.stateless_fold_in(tf.constant([self.seed, 0], tf.int64), epoch)
            seed = tf.random.experimental.stateless_fold_in(folded, number)
            targets = rest[0] if rest else tf.zeros([tf.shape(images)[0]])
            images, targets = self.change(images, targets, seed)
            images, rest = tf.ensure_shape(images, shape), (targets, *rest[1:]) if rest else ()
        return images, rest


def _from_source(
    source_reader: Reader, source: Source, spec: InputSpec, batch_size: int, *, seed: int | None, epochs: Epochs
) -> tf.data.Dataset:
    """Yield (epoch, number, last, images, rest) from Python: one call a batch, the decoding is in other threads."""

    def generate() -> Iterator[tuple]:
        epoch = epochs.next
        order = None if seed is None else np.random.default_rng([seed, epoch])
        pieces = epochs.watch(source_reader.pieces(order, batch_size))
        for number, last, positions, images in _join(pieces):
            yield epoch, number, last, images, *(() if source.targets is None else (source.targets[positions],))

    first = (
        source.items.dtype if source.kind == "image_arrays" and source.items.shape[1:3] == spec.shape[:2] else "uint8"
    )
    scalars = [tf.TensorSpec([], dtype) for dtype in (tf.int64, tf.int64, tf.bool)]
    signature = (*scalars, tf.TensorSpec([None, *spec.shape], tf.as_dtype(first)))
    if source.targets is not None:
        signature += (tf.TensorSpec([None, *source.targets.shape[1:]], tf.as_dtype(source.targets.dtype)),)
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    return dataset.map(as_written(lambda epoch, number, last, images, *rest: (epoch, number, last, images, rest)))


def _join(pieces: Iterator[Piece]) -> Iterator[tuple[int, bool, np.ndarray, np.ndarray]]:
    """Join pieces into numbered batches, each told if it is the last; one without a readable picture is left out."""
    held: tuple[np.ndarray, np.ndarray] | None = None
    number = 0
    for batch in _whole_batches(pieces):
        if batch is not None and held is not None:
            yield number, False, *held
            number += 1
        held = batch if batch is not None else held
    if held is not None:
        yield number, True, *held


def _whole_batches(pieces: Iterator[Piece]) -> Iterator[tuple[np.ndarray, np.ndarray] | None]:
    held: list[Piece] = []
    for piece in pieces:
        held += [piece] if len(piece.positions) else []
        if piece.ends:
            parts = [piece.positions for piece in held], [piece.pixels for piece in held]
            joined = (np.concatenate(part) if len(part) > 1 else part[0] for part in parts) if held else None
            yield None if joined is None else (next(joined), next(joined))
            held = []


def _from_dataset(
    data: tf.data.Dataset, spec: InputSpec, batch_size: int, *, shuffle: bool, cache: str | Path, finish: _Finish
) -> Batches:
    own, steps, examples = plain.adopt(data, spec, batch_size=batch_size)
    if cache != "off":
        raise ValueError("`cache` is for sources; a tf.data.Dataset caches by itself: data.cache().")
    epochs = Epochs(lambda index: f"example {index}")
    starts = tf.data.Dataset.from_generator(lambda: iter([epochs.next]), output_signature=tf.TensorSpec([], tf.int64))

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        def numbered(number: tf.Tensor, batch: tuple) -> tuple:
            return epoch, number, tf.equal(number, steps - 1), batch[0], batch[1:]

        return own.enumerate().map(as_written(numbered))

    numbered = starts.flat_map(as_written(one_epoch))
    del shuffle  # the dataset keeps its own order: documented
    return Batches(_ready(numbered, finish, epochs), steps, examples, epochs.skipped, epochs)


def _ready(dataset: tf.data.Dataset, finish: _Finish, epochs: Epochs) -> tf.data.Dataset:
    """Finish batches, keep some ready, and tell `epochs` when the last one has really been taken."""

    def work(epoch: tf.Tensor, number: tf.Tensor, last: tf.Tensor, images: tf.Tensor, rest: tuple) -> tuple:
        return epoch, last, *finish(epoch, number, images, rest)

    def taken(epoch: tf.Tensor, last: tf.Tensor, images: tf.Tensor, rest: tuple) -> Any:
        told = tf.cond(last, lambda: tf.numpy_function(epochs.finished, [epoch], tf.bool), lambda: False)
        with tf.control_dependencies([told]):
            images = tf.identity(images)
        return (images, *rest) if rest else images

    done = dataset.map(as_written(work), num_parallel_calls=_WORKERS, deterministic=True)
    done = done.prefetch(_AHEAD).map(as_written(taken))
    options = tf.data.Options()
    # Tuning gains nothing on three light steps, and letting go of a tuned iterator waits for its tuning thread,
    # which sleeps for up to a minute: measured as epochs of twice the length.
    options.autotune.enabled = False
    options.deterministic = True
    return done.with_options(options)


def _check_options(spec: InputSpec, batch_size: int, seed: int, cache: str | Path, augment: tuple) -> None:
    check.kind_of("spec", spec, InputSpec)
    for augmentation in augment:
        check.kind_of("augment", augmentation, Augmentation, hint="Pass the likes of tltk.data.transforms.flip().")
    problems = check.Problems()
    if spec.channels != 3:
        problems.add(f"`spec.channels` must be 3. Received: {spec.channels}")
    if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
        problems.add(f"`batch_size` must be a whole number above 0. Received: {batch_size!r}")
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**31:
        problems.add(f"`seed` must be a whole number in [0, 2**31). Received: {seed!r}")
    if isinstance(cache, str) and cache not in ("off", "memory") and not cache.strip():
        problems.add('`cache` must be "off", "memory" or a folder. Received an empty text')
    problems.raise_if_any()


def _check_mixable(rest: tuple) -> None:
    if not rest or not rest[0].dtype.is_floating or rest[0].shape.rank != 2:
        found = f"{rest[0].dtype.name} of rank {rest[0].shape.rank}" if rest else "none"
        raise ValueError(
            f"mixup and cutmix blend targets, which must be encoded as float [b, k]: pass `encode`. Received: {found}"
        )


def _check_source(source: Source) -> None:
    if source.kind == "texts":
        raise ValueError(f"`data` holds texts, and the backbone eats pictures: {source.describe().splitlines()[0]}.")
    if not len(source):
        raise ValueError("`data` holds no examples.")
