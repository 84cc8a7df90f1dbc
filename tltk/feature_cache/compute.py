"""Computes the features of a frozen prefix, once for each element instead of once per epoch."""

import hashlib
import logging
import math
import weakref
from collections.abc import Callable, Iterator
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.data.targets import Targets
from tltk.feature_cache.storage import size_text
from tltk.foundation import checks as check
from tltk.foundation import keras_graph, progress
from tltk.foundation.errors import InvalidInput
from tltk.modalities.batches import example_names
from tltk.modalities.image.augment import Copies, build_copies
from tltk.pipeline import store
from tltk.pipeline.batching import Order
from tltk.pipeline.decoded_store import digest
from tltk.pipeline.loader import without_autograph
from tltk.pipeline.readers import PartialBatch, Reader, join_batches

log = logging.getLogger("tltk")
_TIMED = 3  # batches
FeaturesOf: TypeAlias = Callable[[np.ndarray, np.ndarray, Any, int], tuple[tf.Tensor, ...]]
# Traced prefixes, freed with them.
_graphs: "weakref.WeakKeyDictionary[keras.Model, dict[Any, FeaturesOf]]" = weakref.WeakKeyDictionary()


def layout_of(
    prefix: keras.Model, inputs: tf.TensorSpec | None = None, *, length: int | None = None, dtype: str | None = None
) -> store.Layout:
    """Return the layout of a record: the shapes and dtypes of the features of one element.

    Args:
        prefix: Inputs → features.
        inputs: Shape [None, …] of the inputs, which determines axes that the prefix leaves open.
        length: Length to which elements are padded, for axes of unknown size.
        dtype: dtype of stored floats; None keeps that of each tensor.

    Returns:
        The layout.

    Raises:
        InvalidInput: If the size of an axis is unknown.
    """
    outputs = prefix.outputs
    if inputs is not None and any(None in tensor.shape[1:] for tensor in outputs):
        shape = [length if size is None else size for size in inputs.shape.as_list()[1:]]
        tensor = keras.KerasTensor((1, *shape), prefix.inputs[0].dtype)
        outputs = keras.tree.flatten(prefix.compute_output_spec(tensor))
    sizes = (tensor.shape[1:] for tensor in outputs)
    shapes: Any = tuple(tuple(length if size is None else size for size in shape) for shape in sizes)
    if any(None in shape for shape in shapes):
        raise InvalidInput(f"features can only be stored with fixed shapes. Received: outputs of shape {shapes}")
    dtypes = (str(tensor.dtype) for tensor in prefix.outputs)
    return store.Layout(shapes, tuple(dtype if dtype and "float" in name else name for name in dtypes))


def compute(
    prefix: keras.Model,
    reader: Reader,
    source: Source,
    *,
    folder: Path | None = None,
    reusable: bool = True,
    batch_size: int = 32,
    augment: Copies | None = None,
    targets: Targets | None = None,
    seed: int = 0,
    dtype: str | None = None,
) -> store.Records:
    """Compute the features of every element of a source.

    Args:
        prefix: Inputs [batch, …] → features; run in inference mode.
        reader: Reader of the elements, all of one shape.
        source: Source of the examples, which gives their names.
        folder: Folder to store features in; None stores them in memory.
        reusable: Whether later calls may read the stored features: they are then named by a hash of everything that
            they depend on. False saves computing the hash for a temporary folder.
        batch_size: Elements per step. Smaller batches are padded, so that features do not depend on the batch.
        augment: Fixed augmented copies of each element; None uses the elements themselves.
        targets: Targets of the elements, for copies whose pixels depend on boxes or masks; not read for others.
        seed: Seed of the copies.
        dtype: dtype of stored floats, see `tltk.Cache`.

    Returns:
        One record per element; with copies, all records of copy 0, then of copy 1 and so on. Elements that cannot be
        decoded are listed as invalid.

    Raises:
        OutOfMemory: If the features do not fit into memory.
        FileError: If they do not fit on the disk, or it cannot be written.
        InvalidInput: If nothing can be decoded, an option is out of range, or a layer has no `get_config`.
    """
    check.counts(batch_size=batch_size)
    batch_size = int(batch_size)
    length = None if reader.lengths is None else int(reader.lengths.max(initial=1))
    layout = layout_of(prefix, reader.element_spec[0], length=length, dtype=dtype)
    count = reader.count * (augment.count if augment else 1)
    targets = targets if augment is not None and augment.reads_targets else None
    computation = _Computation(prefix, reader, batch_size, augment, targets, seed, layout)
    numbers = sum(math.prod(shape) for shape in layout.shapes)
    copies = f" in {augment.count} augmented copies" if augment else ""
    noun = f"features of {reader.count:,} {check.plural(source.modality)}{copies} ({numbers:,} numbers each)"
    log.info("%s: %s in %s", noun, computation.needs(count), folder or "memory")
    if folder is None:
        records = store.in_memory(layout, count, computation.fill, noun=noun)
    else:
        name = computation.key() if reusable else "once"
        records = store.on_disk(folder / name, layout, count, computation.fill, noun=noun)
    if len(records.invalid) == count:
        name_of = example_names(source, reader)
        reasons = (f"{name_of(row % reader.count)} ({reason})" for row, reason in records.invalid.items())
        raise InvalidInput(f"none of the {reader.count} examples could be decoded: {check.listing(reasons, limit=5)}")
    return records


def seconds_per_element(prefix: keras.Model, reader: Reader, *, batch_size: int, dtype: str | None = None) -> float:
    """Measure how long `compute` takes for an element, reading included, once the prefix is traced.

    Args:
        prefix: Inputs [batch, …] → features.
        reader: Reader of the elements, all of one shape.
        batch_size: Elements per step.
        dtype: dtype of stored floats.

    Returns:
        Seconds for an element of a full batch; `compute` uses the same trace afterwards.
    """
    check.counts(batch_size=batch_size)
    length = None if reader.lengths is None else int(reader.lengths.max(initial=1))
    layout = layout_of(prefix, reader.element_spec[0], length=length, dtype=dtype)
    computation = _Computation(prefix, reader, int(batch_size), None, None, 0, layout)
    rows = np.unique(np.linspace(0, max(reader.count - 1, 0), int(batch_size)).astype(np.int64))
    seconds = float("inf")
    for _ in range(_TIMED):  # the first run traces, and is the slowest
        started_at = perf_counter()
        computation.fill(rows, lambda *_: None)
        seconds = min(seconds, perf_counter() - started_at)
    return seconds / int(batch_size)


@dataclass(frozen=True)
class _Computation:
    """Computes records batch by batch for `compute`."""

    prefix: keras.Model
    reader: Reader
    batch_size: int
    augment: Copies | None
    targets: Targets | None
    seed: int
    layout: store.Layout

    def key(self) -> str:
        """Return a hash of everything that the records depend on."""
        augment = (asdict(self.augment), self.augment.states(), self.seed) if self.augment else None
        parts: tuple[Any, ...] = (self.reader.fingerprint(), augment, astuple(self.layout), self.batch_size)
        if self.targets is not None:
            parts += (self._targets_digest(self.targets),)
        return digest("prefix", keras_graph.fingerprint(self.prefix), *parts)

    def needs(self, count: int) -> str:
        """Return what records need, such as "28.0 GB, float32"."""
        dtypes = check.listing(dict.fromkeys(self.layout.dtypes))
        return f"{size_text(count * self.layout.record_bytes)}, {dtypes}"

    def _targets_digest(self, targets: Targets) -> str:
        """Return a hash of all targets. They are read for it: those in files may have changed under the same path."""
        hashed = hashlib.sha256()
        for start in range(0, self.reader.count, self.batch_size):
            values, unreadable = targets.read(np.arange(start, min(start + self.batch_size, self.reader.count)))
            hashed.update(repr(sorted(unreadable)).encode())
            for value in tf.nest.flatten(values):
                hashed.update(repr(value.shape).encode() + np.ascontiguousarray(value).tobytes())
        return hashed.hexdigest()

    def fill(self, missing: np.ndarray, write: store.Write) -> None:
        """Compute and write the missing records.

        Args:
            missing: int64 [n], rows of the missing records.
            write: Receives rows, features and reasons for invalid rows of each batch.
        """
        features_of = self._traced()
        elements_per_copy = self.reader.count
        title = f"computing features of the frozen layers ({self.needs(len(missing))})"
        with progress.bar(title, -(-len(missing) // self.batch_size)) as advance:
            for copy in np.unique(missing // elements_per_copy):
                elements = missing[missing // elements_per_copy == copy] % elements_per_copy
                first_row = int(copy * elements_per_copy)
                for decoded_elements, decoded, invalid in self._batches(elements):
                    batch_elements, inputs, targets = self._with_targets(decoded_elements, decoded, invalid)
                    features: store.Values = ()
                    if len(batch_elements):
                        outputs = features_of(
                            _padded(inputs, self.batch_size),
                            _padded(batch_elements, self.batch_size),
                            {name: _padded(values, self.batch_size) for name, values in targets.items()},
                            copy,
                        )
                        features = tuple(output.numpy()[: len(batch_elements)] for output in outputs)
                        check_range(features)
                    invalid_rows = {element + first_row: reason for element, reason in invalid.items()}
                    write(batch_elements + first_row, features, invalid_rows)
                    advance()

    def _batches(self, elements: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, dict[int, str]]]:
        """Yield (elements, their inputs, reasons for the elements found invalid since the last batch)."""
        invalid: dict[int, str] = {}

        def collect_invalid(partial_batches: Iterator[PartialBatch]) -> Iterator[PartialBatch]:
            for partial_batch in partial_batches:
                invalid.update({int(elements[row]): reason for row, reason in partial_batch.invalid.items()})
                yield partial_batch

        partial_batches = collect_invalid(self.reader.subset(elements).partial_batches(Order(self.batch_size)))
        for _, rows, values in join_batches(partial_batches):
            yield elements[rows], values[0], dict(invalid)
            invalid.clear()
        if invalid:
            yield elements[:0], elements[:0], dict(invalid)

    def _with_targets(
        self, elements: np.ndarray, inputs: np.ndarray, invalid: dict[int, str]
    ) -> tuple[np.ndarray, np.ndarray, Any]:
        """Read the targets of a batch; elements whose targets cannot be read are left out and added to `invalid`."""
        if self.targets is None or not len(elements):
            return elements, inputs, {}
        targets, unreadable = self.targets.read(elements)
        invalid.update(unreadable)
        is_readable = ~np.isin(elements, list(unreadable))
        return elements[is_readable], inputs[is_readable], targets

    def _traced(self) -> FeaturesOf:
        """Return the prefix as a graph; without augmentation it is traced once for each shape and dtypes."""
        (spec,) = self.reader.element_spec
        inputs = tf.TensorSpec([self.batch_size, *spec.shape[1:]], spec.dtype)
        key = (inputs, self.layout.dtypes)
        if self.augment:
            targets = {} if self.targets is None else self.targets.element_spec
            return _trace(self.prefix, *key, build_copies(self.augment, self.seed), targets)
        graphs = _graphs.setdefault(self.prefix, {})
        if key not in graphs:
            graphs[key] = _trace(self.prefix, *key, None)
        return graphs[key]


def _trace(
    prefix: keras.Model,
    inputs_spec: tf.TensorSpec,
    dtypes: tuple[str, ...],
    augment: Any,
    targets_spec: Any = (),
) -> FeaturesOf:
    """Trace a prefix: (inputs [batch, …], elements [batch], targets, copy) → features in the stored dtypes."""
    reference = weakref.ref(prefix)  # a graph that refers to its prefix would keep it alive in `_graphs`

    @without_autograph
    def run(inputs: tf.Tensor, elements: tf.Tensor, targets: Any, copy: tf.Tensor) -> tuple[tf.Tensor, ...]:
        network: Any = reference()
        inputs = tf.cast(inputs, network.inputs[0].dtype)
        inputs = augment(inputs, targets, elements, copy)[0] if augment else inputs
        outputs = keras.tree.flatten(network(inputs, training=False))
        return tuple(tf.cast(output, dtype) for output, dtype in zip(outputs, dtypes, strict=True))

    elements_spec = tf.TensorSpec(inputs_spec.shape[:1], tf.int64)
    signature = (inputs_spec, elements_spec, targets_spec or {}, tf.TensorSpec([], tf.int64))
    traced = tf.function(run, input_signature=signature)
    traced.get_concrete_function()

    def features_of(inputs: np.ndarray, elements: np.ndarray, targets: Any, copy: int) -> tuple[tf.Tensor, ...]:
        tensors = tf.nest.map_structure(tf.constant, targets)
        return traced(tf.constant(inputs), tf.constant(elements, tf.int64), tensors, tf.constant(copy, tf.int64))

    return features_of


def check_range(features: store.Values) -> None:
    """Raise unless features that are stored in 16 bits are finite.

    Raises:
        InvalidInput: If any is not.
    """
    for values in features:
        if values.dtype == np.float16 and not np.isfinite(values).all():
            raise InvalidInput("features above 65504 do not fit into dtype='float16'. Use 'bfloat16', or None.")


def _padded(values: np.ndarray, count: int) -> Any:
    """Repeat the last element until there are `count`."""
    padding = np.repeat(values[-1:], count - len(values), axis=0)
    return np.concatenate([values, padding]) if len(padding) else values
