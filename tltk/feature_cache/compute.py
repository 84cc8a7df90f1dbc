"""The prefix cache: what a frozen prefix makes of each example, computed once instead of once an epoch."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation import keras_graph as graph
from tltk.foundation import progress
from tltk.modalities.image.augment import Copies, build_copies
from tltk.modalities.text import reader as texts
from tltk.pipeline import store
from tltk.pipeline.batching import Size
from tltk.pipeline.cache import StoredReader, digest, source_key
from tltk.pipeline.readers import Piece, reader, whole_batches
from tltk.pipeline.stream import Batches, as_written, from_readers
from tltk.specs import ImageSpec, TextSpec

log = logging.getLogger("tltk")


def layout_of(
    prefix: keras.Model, spec: ImageSpec | TextSpec | None = None, *, dtype: str | None = None
) -> store.Layout:
    """Say what one example is once it has crossed the boundary.

    Args:
        prefix: inputs → boundary.
        spec: of texts, names the width that they are padded to, for the axis that is not known.
        dtype: of floats in the store; None keeps each tensor's own.

    Returns:
        The layout of its record.

    Raises:
        ValueError: if an axis is unknown.
    """
    width = spec.pad_to if isinstance(spec, TextSpec) else None
    sizes = (tensor.shape[1:] for tensor in prefix.outputs)
    shapes: Any = tuple(tuple(width if size is None else size for size in each) for each in sizes)
    if any(None in shape for shape in shapes):
        raise ValueError(f"what crosses the boundary has no fixed shape: {shapes}")
    kept = (str(tensor.dtype) for tensor in prefix.outputs)
    return store.Layout(shapes, tuple(dtype if dtype and "float" in name else name for name in kept))


def compute(
    prefix: keras.Model,
    source: Source,
    spec: ImageSpec | TextSpec,
    *,
    folder: Path | None = None,
    keyed: bool = True,
    batch_size: int = 32,
    augment: Copies | None = None,
    seed: int = 0,
    dtype: str | None = None,
) -> store.Records:
    """Run every example of a source through a prefix, once.

    Args:
        prefix: pixels float32 [batch, height, width, 3], or token ids int32 [batch, width] → boundary tensors; run in
            inference mode.
        source: of pictures or texts.
        spec: what they are brought to; of texts, with a `width` (`texts.padded_to`).
        folder: keeps the result on disk; None keeps it in memory.
        keyed: whether its name there says all that it depends on; a folder that nobody reads again needs no such name.
        batch_size: examples a step. Every step has this many, so that no result depends on its company.
        augment: fixed copies of each example; None takes each as it is.
        seed: of the copies.
        dtype: of floats in the store, see `cache_place.Cache`.

    Returns:
        A record for each example, or copy after copy for each; those that cannot be decoded are in `invalid`.

    Raises:
        MemoryError: if they do not fit into memory.
        OSError: if they do not fit onto the disk, or it cannot be written.
        ValueError: if no picture can be decoded, an option is out of range, or a layer has no `get_config` to go by.
    """
    check.counts(batch_size=batch_size)
    layout = layout_of(prefix, spec, dtype=dtype)
    count = len(source) * (augment.count if augment else 1)
    steps = _Steps(prefix, source, spec, batch_size, augment, seed, layout)
    what, size = f"outputs of {check.listing(tensor.name for tensor in prefix.outputs)}", count * layout.record_bytes
    log.info("%s: %d × %s, %.1f MB in %s", what, count, layout.describe(), size / 1e6, folder or "memory")
    if folder is None:
        records = store.in_memory(layout, count, steps.fill, what=what)
    else:
        records = store.on_disk(folder / (steps.key() if keyed else "once"), layout, count, steps.fill, what=what)
    if len(records.invalid) == count:
        named = (f"{source.name_of(row % len(source))} ({why})" for row, why in records.invalid.items())
        shown = check.listing(named, limit=5)
        raise ValueError(f"none of the {len(source)} pictures could be decoded: {shown}")
    return records


@dataclass(frozen=True)
class _Steps:
    """The computation of `compute`, batch by batch."""

    prefix: keras.Model
    source: Source
    spec: ImageSpec | TextSpec
    batch_size: int
    augment: Copies | None
    seed: int
    layout: store.Layout

    def key(self) -> str:
        """Name the result by all that it depends on."""
        augment = (asdict(self.augment), self.seed) if self.augment else None
        parts = (source_key(self.source), astuple(self.spec), augment, astuple(self.layout), self.batch_size)
        return digest("prefix", graph.fingerprint(self.prefix), *parts)

    def fill(self, missing: np.ndarray, write: store.Write) -> None:
        """Compute the records that are missing."""
        run = self._compiled()
        total = len(self.source)
        with progress.bar("computing the frozen part once", -(-len(missing) // self.batch_size)) as advance:
            for copy in np.unique(missing // total):
                numbers = missing[missing // total == copy] % total
                for rows, pixels, invalid in self._batches(numbers):
                    first = int(copy * total)
                    kept: store.Values = ()
                    if len(rows):
                        values = run(_padded(pixels, self.batch_size), _padded(rows, self.batch_size), copy)
                        kept = tuple(value.numpy()[: len(rows)] for value in values)
                        self._check_range(kept)
                    write(rows + first, kept, {row + first: reason for row, reason in invalid.items()})
                    advance()

    def _batches(self, numbers: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, dict[int, str]]]:
        """Yield (numbers in the source, pixels, what was found bad since the last batch)."""
        invalid: dict[int, str] = {}

        def noted(pieces: Iterator[Piece]) -> Iterator[Piece]:
            for piece in pieces:
                invalid.update({int(numbers[position]): reason for position, reason in piece.invalid.items()})
                yield piece

        chosen, spec = self.source.subset(numbers), self.spec
        made = texts.reader(chosen, spec) if isinstance(spec, TextSpec) else reader(chosen, spec)
        pieces = made.pieces(None, self.batch_size)
        for batch in whole_batches(noted(pieces)):
            found = dict(invalid)
            invalid.clear()
            held = (numbers[batch[0]], batch[1][0]) if batch is not None else (numbers[:0], numbers[:0])
            yield *held, found

    def _check_range(self, values: store.Values) -> None:
        for value in values:
            if value.dtype == np.float16 and not np.isfinite(value).all():
                raise ValueError("features above 65504 do not fit into dtype='float16'. Use 'bfloat16', or None.")

    def _compiled(self) -> Callable[..., tuple[tf.Tensor, ...]]:
        change = build_copies(self.augment, self.seed) if self.augment else None

        @as_written
        def run(pixels: tf.Tensor, rows: tf.Tensor, copy: tf.Tensor) -> tuple[tf.Tensor, ...]:
            inputs = tf.cast(pixels, self.spec.dtype)
            inputs = change(inputs, {}, rows, copy)[0] if change else inputs
            outputs = keras.tree.flatten(self.prefix(inputs, training=False))
            return tuple(tf.cast(value, name) for value, name in zip(outputs, self.layout.dtypes, strict=True))

        exact = self.source.kind == "image_arrays" and self.source.items.shape[1:3] == self.spec.shape[:2]
        dtype = tf.as_dtype(self.source.items.dtype if exact else "uint8")
        dtype = tf.int32 if isinstance(self.spec, TextSpec) else dtype
        count = self.batch_size
        rows, copy = tf.TensorSpec([count], tf.int64), tf.TensorSpec([], tf.int64)
        signature = (tf.TensorSpec([count, *self.spec.shape], dtype), rows, copy)
        traced = tf.function(run).get_concrete_function(*signature)

        def call(pixels: np.ndarray, rows: np.ndarray, copy: int) -> tuple[tf.Tensor, ...]:
            return traced(tf.constant(pixels), tf.constant(rows, tf.int64), tf.constant(copy, tf.int64))

        return call


def stored_batches(
    records: store.Records,
    source: Source,
    prefix: keras.Model,
    *,
    batch_size: Size = 32,
    encode: Callable[[tf.Tensor], tf.Tensor] | None = None,
    seed: int | None = None,
    lengths: np.ndarray | None = None,
    widths: tuple[int, ...] = (),
) -> Batches:
    """Make batches of what was computed, in the very order in which `batches` gives the examples.

    Args:
        records: from `compute`; of several copies, epoch e reads copy e modulo their number.
        source: what they were made of.
        prefix: what made them; says what dtypes the suffix eats.
        batch_size: examples a batch, or a budget of tokens.
        encode: raw targets of a batch → what the loss takes.
        seed: of a new order each epoch; None keeps the source's order.
        lengths: tokens of each text, by which `batches` puts texts together.
        widths: that a batch of texts may have; it is cut to the smallest that holds its longest text.

    Returns:
        The batches; the boundary's tensor, or a tuple of its tensors, takes the place of the pictures.
    """
    count, layout = max(records.count // max(len(source), 1), 1), records.layout
    wanted = [tensor.dtype for tensor in prefix.outputs]
    varying = [len(tensor.shape) > 1 and tensor.shape[1] is None for tensor in prefix.outputs]
    values = tuple(
        tf.TensorSpec([None, *shape], tf.as_dtype(name)) for shape, name in zip(*astuple(layout), strict=True)
    )

    def finish(epoch: tf.Tensor, number: tf.Tensor, rows: tf.Tensor, stored: tuple, rest: tuple) -> tuple:
        if lengths is not None:
            longest = tf.reduce_max(tf.gather(lengths, rows))
            width = tf.gather(widths, tf.searchsorted(tf.constant(widths, tf.int64), [longest])[0])
            stored = tuple(value[:, :width] if cut else value for value, cut in zip(stored, varying, strict=True))
        rest = (encode(rest[0]), *rest[1:]) if rest and encode is not None else rest
        cast = tuple(tf.cast(value, dtype) for value, dtype in zip(stored, wanted, strict=True))
        return cast if len(cast) > 1 else cast[0], rest

    def reader_of(epoch: int) -> StoredReader:
        return StoredReader(records, len(source), epoch % count, lengths)

    return from_readers(reader_of, values, source, batch_size, seed=seed, finish=finish, lengths=lengths)


def _padded(values: np.ndarray, count: int) -> Any:
    """Repeat the last example up to a whole batch."""
    more = np.repeat(values[-1:], count - len(values), axis=0)
    return np.concatenate([values, more]) if len(more) else values
