"""The feature cache: what a frozen prefix makes of each element, computed once instead of once an epoch."""

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
from tltk.foundation import keras_graph, progress
from tltk.modalities.batches import example_names
from tltk.modalities.image.augment import Copies, build_copies
from tltk.pipeline import store
from tltk.pipeline.batching import Order
from tltk.pipeline.loader import as_written
from tltk.pipeline.readers import Piece, Reader, whole_batches
from tltk.pipeline.stored import digest

log = logging.getLogger("tltk")


def layout_of(
    prefix: keras.Model, reader: Reader | None = None, *, length: int | None = None, dtype: str | None = None
) -> store.Layout:
    """Return what one element is once it has crossed the boundary.

    Args:
        prefix: inputs → boundary.
        reader: of the elements, whose shape says how large the boundary of a model of any size is.
        length: that elements are padded to, for an axis whose size is unknown.
        dtype: of floats in the store; None keeps each tensor's own.

    Returns:
        The layout of its record.

    Raises:
        ValueError: if the size of an axis is unknown.
    """
    outputs = prefix.outputs
    if reader is not None:
        shape = [length if size is None else size for size in reader.element_spec[0].shape.as_list()[1:]]
        inputs = keras.KerasTensor((1, *shape), prefix.inputs[0].dtype)
        outputs = keras.tree.flatten(prefix.compute_output_spec(inputs))
    sizes = (tensor.shape[1:] for tensor in outputs)
    shapes: Any = tuple(tuple(length if size is None else size for size in shape) for shape in sizes)
    if any(None in shape for shape in shapes):
        raise ValueError(f"what crosses the boundary has no fixed shape: {shapes}")
    own = (str(tensor.dtype) for tensor in prefix.outputs)
    return store.Layout(shapes, tuple(dtype if dtype and "float" in name else name for name in own))


def compute(
    prefix: keras.Model,
    reader: Reader,
    source: Source,
    *,
    input_dtype: str,
    folder: Path | None = None,
    keyed: bool = True,
    batch_size: int = 32,
    augment: Copies | None = None,
    seed: int = 0,
    dtype: str | None = None,
) -> store.Records:
    """Run every element of a source through a prefix, once.

    Args:
        prefix: inputs [batch, …] → boundary tensors; run in inference mode.
        reader: of elements that all have one shape.
        source: names the examples.
        input_dtype: of the prefix's input.
        folder: keeps the result on disk; None keeps it in memory.
        keyed: whether its name there says all that it depends on; a folder that nobody reads again needs no such name.
        batch_size: elements a step. Every step has this many, so that no result depends on its neighbours.
        augment: fixed copies of each element; None takes each as it is.
        seed: of the copies.
        dtype: of floats in the store, see `tltk.Cache`.

    Returns:
        A record for each element, or copy after copy for each; those that cannot be decoded are listed as invalid.

    Raises:
        MemoryError: if they do not fit into memory.
        OSError: if they do not fit onto the disk, or it cannot be written.
        ValueError: if nothing can be decoded, an option is out of range, or a layer has no `get_config`.
    """
    check.counts(batch_size=batch_size)
    length = None if reader.lengths is None else int(reader.lengths.max(initial=1))
    layout = layout_of(prefix, reader, length=length, dtype=dtype)
    count = reader.count * (augment.count if augment else 1)
    steps = _Steps(prefix, reader, input_dtype, batch_size, augment, seed, layout)
    what = f"outputs of {check.listing(tensor.name for tensor in prefix.outputs)}"
    size = count * layout.record_bytes / 1e6
    log.info("%s: %d × %s, %.1f MB in %s", what, count, layout.describe(), size, folder or "memory")
    if folder is None:
        records = store.in_memory(layout, count, steps.fill, what=what)
    else:
        records = store.on_disk(folder / (steps.key() if keyed else "once"), layout, count, steps.fill, what=what)
    if len(records.invalid) == count:
        name_of = example_names(source, reader)
        shown = check.listing(
            (f"{name_of(row % reader.count)} ({why})" for row, why in records.invalid.items()), limit=5
        )
        raise ValueError(f"none of the {reader.count} examples could be decoded: {shown}")
    return records


@dataclass(frozen=True)
class _Steps:
    """The computation of `compute`, batch by batch."""

    prefix: keras.Model
    reader: Reader
    input_dtype: str
    batch_size: int
    augment: Copies | None
    seed: int
    layout: store.Layout

    def key(self) -> str:
        """Name the result by all that it depends on."""
        augment = (asdict(self.augment), self.seed) if self.augment else None
        parts = (self.reader.fingerprint(), augment, astuple(self.layout), self.batch_size)
        return digest("prefix", keras_graph.fingerprint(self.prefix), *parts)

    def fill(self, missing: np.ndarray, write: store.Write) -> None:
        """Compute the records that are missing."""
        run = self._compiled()
        total = self.reader.count
        with progress.bar("computing the frozen part once", -(-len(missing) // self.batch_size)) as advance:
            for copy in np.unique(missing // total):
                numbers = missing[missing // total == copy] % total
                for rows, inputs, invalid in self._batches(numbers):
                    first = int(copy * total)
                    features: store.Values = ()
                    if len(rows):
                        values = run(_padded(inputs, self.batch_size), _padded(rows, self.batch_size), copy)
                        features = tuple(value.numpy()[: len(rows)] for value in values)
                        _check_range(features)
                    write(rows + first, features, {row + first: reason for row, reason in invalid.items()})
                    advance()

    def _batches(self, numbers: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, dict[int, str]]]:
        """Yield (numbers of elements, inputs, what was found invalid since the last batch)."""
        invalid: dict[int, str] = {}

        def noted(pieces: Iterator[Piece]) -> Iterator[Piece]:
            for piece in pieces:
                invalid.update({int(numbers[row]): reason for row, reason in piece.invalid.items()})
                yield piece

        pieces = noted(self.reader.subset(numbers).pieces(Order(self.batch_size)))
        for _, rows, values in whole_batches(pieces):
            yield numbers[rows], values[0], dict(invalid)
            invalid.clear()
        if invalid:
            yield numbers[:0], numbers[:0], dict(invalid)

    def _compiled(self) -> Callable[..., tuple[tf.Tensor, ...]]:
        change = build_copies(self.augment, self.seed) if self.augment else None

        @as_written
        def run(inputs: tf.Tensor, rows: tf.Tensor, copy: tf.Tensor) -> tuple[tf.Tensor, ...]:
            inputs = tf.cast(inputs, self.input_dtype)
            inputs = change(inputs, {}, rows, copy)[0] if change else inputs
            outputs = keras.tree.flatten(self.prefix(inputs, training=False))
            return tuple(tf.cast(value, name) for value, name in zip(outputs, self.layout.dtypes, strict=True))

        (spec,) = self.reader.element_spec
        count = self.batch_size
        signature = (
            tf.TensorSpec([count, *spec.shape[1:]], spec.dtype),
            tf.TensorSpec([count], tf.int64),
            tf.TensorSpec([], tf.int64),
        )
        traced = tf.function(run).get_concrete_function(*signature)

        def call(inputs: np.ndarray, rows: np.ndarray, copy: int) -> tuple[tf.Tensor, ...]:
            return traced(tf.constant(inputs), tf.constant(rows, tf.int64), tf.constant(copy, tf.int64))

        return call


def _check_range(values: store.Values) -> None:
    for value in values:
        if value.dtype == np.float16 and not np.isfinite(value).all():
            raise ValueError("features above 65504 do not fit into dtype='float16'. Use 'bfloat16', or None.")


def _padded(values: np.ndarray, count: int) -> Any:
    """Repeat the last element up to a whole batch."""
    more = np.repeat(values[-1:], count - len(values), axis=0)
    return np.concatenate([values, more]) if len(more) else values
