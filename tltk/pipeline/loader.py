"""The loader: batches as a pure function of source, options, seed, epoch and number."""

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from tltk.data.invalid import Invalid
from tltk.data.targets import Targets
from tltk.pipeline.batching import Order, Size, count_batches
from tltk.pipeline.readers import BatchReader, whole_batches

_AHEAD = 2  # batches kept ready
_WORKERS = 2  # batches augmented at once

# No function here has Python control flow on tensors. AutoGraph, asked to rewrite them, reads their source code, and
# where it cannot (lambdas over several lines, a file changed since) it warns.
as_written = tf.autograph.experimental.do_not_convert


class Batch(NamedTuple):
    """One batch, decoded, before it is augmented and encoded.

    Args:
        epoch: number of the epoch.
        number: of the batch in its epoch.
        rows: int64 [b], numbers of the elements; empty for a user's own `tf.data.Dataset`, which has none.
        values: what was read of them, [b, …] each.
        rest: targets, or targets and sample weights; () where there are none.
    """

    epoch: Any
    number: Any
    rows: Any
    values: tuple
    rest: tuple


Finish = Callable[[Batch], tuple[Any, tuple]]


class Batches(Protocol):
    """What a model is fed with.

    A loader of a source and one of a user's own `tf.data.Dataset` both are.
    """

    steps: int
    examples: int

    def dataset(self, epoch: "int | tf.Variable" = 0) -> tf.data.Dataset:
        """Return one epoch as a dataset of (inputs, targets …), or of inputs alone.

        Args:
            epoch: its number; a variable is read whenever an iterator starts.
        """


@dataclass(frozen=True, eq=False)
class Loader:
    """Batches of the elements of a source.

    Two iterators never disturb each other: what a batch holds depends on the arguments alone.

    Args:
        reader: reads and decodes.
        name_of: number of an element → id of its example, for reports.
        targets: of the elements; None where there are none.
        batch_size: elements a batch, or a budget of tokens.
        seed: of a new order each epoch; None keeps the order of the reader.
        finish: the last steps, in the graph: cast, encode, augment. Takes a `Batch`, returns (inputs, rest).
        shard: (index, count), see `Order`.
        invalid: where elements that cannot be decoded are noted, each once.
    """

    reader: BatchReader
    name_of: Callable[[int], str]
    targets: Targets | None = None
    batch_size: Size = 32
    seed: int | None = None
    finish: Finish = lambda batch: (batch.values[0], batch.rest)
    shard: tuple[int, int] = (0, 1)
    invalid: Invalid = field(default_factory=Invalid)

    @property
    def steps(self) -> int:
        """Batches an epoch; fewer come if none of the elements of a batch can be read."""
        return count_batches(self.reader.count, self._order(0, 0), self.reader.lengths)

    @property
    def examples(self) -> int:
        """Elements an epoch, before any is found invalid."""
        return self.reader.count

    def batches(self, epoch: int = 0, *, first: int = 0) -> Iterator[Batch]:
        """Read the batches of an epoch.

        Args:
            epoch: number of the epoch.
            first: number of the first batch; those before it are not read.

        Yields:
            NumPy batches in the order of their numbers; batches without a readable element are skipped.

        Raises:
            ValueError: at the end, if no element of the source could be read.
        """
        some = False
        pieces = self.reader.pieces(self._order(epoch, first))
        for number, rows, values in whole_batches(self._noted(pieces)):
            some = True
            rest = () if self.targets is None else (self.targets.batch(rows),)
            yield Batch(epoch, number, rows, values, rest)
        if not some and not first:
            raise ValueError(self.why_empty() or "there is nothing to read.")

    def batch(self, epoch: int, number: int) -> Any:
        """Return one finished batch by its number: (inputs, targets …), or the inputs alone.

        Raises:
            IndexError: if the epoch has no such batch, or nothing of it can be read.
        """
        for batch in self.batches(epoch, first=number):
            if batch.number == number:
                numbers = (tf.constant(value, tf.int64) for value in (epoch, number))
                parts = tf.nest.map_structure(tf.convert_to_tensor, tuple(batch[2:]))
                return _element(*self.finish(Batch(*numbers, *parts)))
            break
        raise IndexError(f"epoch {epoch} has no batch {number} that can be read; it has {self.steps}.")

    def dataset(self, epoch: "int | tf.Variable" = 0) -> tf.data.Dataset:
        """See `Batches`: read in Python threads, finished in the graph, two batches ahead."""
        targets = () if self.targets is None else (self.targets.element_spec,)
        scalar = tf.TensorSpec([], tf.int64)
        signature = Batch(scalar, scalar, tf.TensorSpec([None], tf.int64), self.reader.element_spec, targets)
        # Weak: TensorFlow keeps the function, and all that it closes over, for the life of the process
        # (`test_plain_tensorflow_keeps_generators_forever`).
        this = weakref.ref(self)

        def generate(number: np.ndarray) -> Iterator[tuple]:
            loader = this()
            yield from () if loader is None else (tuple(batch) for batch in loader.batches(int(number)))

        def one_epoch(number: tf.Tensor) -> tf.data.Dataset:
            return tf.data.Dataset.from_generator(generate, args=(number,), output_signature=tuple(signature))

        finish = self.finish

        def work(*parts: Any) -> Any:
            return _element(*finish(Batch(*parts)))

        batches = _epoch_number(epoch).flat_map(as_written(one_epoch))
        return _ready(batches.map(as_written(work), num_parallel_calls=_WORKERS, deterministic=True), keeps=self)

    def why_empty(self) -> str:
        """Say so if no element could be read; an empty string as long as one could."""
        if not self.examples or len(self.invalid) < self.examples:
            return ""
        return f"none of the {self.examples} examples could be decoded: {self.invalid.listing(limit=5)}"

    def _order(self, epoch: int, first: int) -> Order:
        return Order(self.batch_size, self.seed, epoch, first, self.shard)

    def _noted(self, pieces: Iterator[Any]) -> Iterator[Any]:
        for piece in pieces:
            for row, reason in sorted(piece.invalid.items()):
                self.invalid.add(self.name_of(row), reason)
            yield piece


@dataclass(frozen=True, eq=False)
class DatasetLoader:
    """Batches of a user's own `tf.data.Dataset`, which keeps its order, its batches and its cache.

    Args:
        batches: yields (inputs, targets …) in batches of the right shape.
        steps: batches an epoch.
        examples: an epoch's examples.
        finish: see `Loader`.
        invalid: stays empty: a dataset numbers no examples.
    """

    own: tf.data.Dataset
    steps: int
    examples: int
    finish: Finish
    invalid: Invalid = field(default_factory=Invalid)

    def dataset(self, epoch: "int | tf.Variable" = 0) -> tf.data.Dataset:
        """See `Batches`."""

        def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            def numbered(number: tf.Tensor, batch: tuple) -> tuple:
                return epoch, number, batch

            return self.own.enumerate().map(as_written(numbered))

        finish = self.finish

        def work(epoch: tf.Tensor, number: tf.Tensor, batch: tuple) -> Any:
            return _element(*finish(Batch(epoch, number, tf.zeros([0], tf.int64), batch[:1], batch[1:])))

        batches = _epoch_number(epoch).flat_map(as_written(one_epoch))
        return _ready(batches.map(as_written(work), num_parallel_calls=_WORKERS, deterministic=True), keeps=self)

    def why_empty(self) -> str:
        """Say nothing: a dataset that yields nothing was refused before."""
        return ""


@contextmanager
def explained(*loaders: Loader | DatasetLoader | None) -> Iterator[None]:
    """Turn TensorFlow's error about a stream without any readable element into one that names the examples."""
    try:
        yield
    except tf.errors.OpError as error:
        reasons = [why for loader in loaders if loader is not None and (why := loader.why_empty())]
        if not reasons:
            raise
        raise ValueError(reasons[0]) from error


def _element(inputs: Any, rest: Sequence[Any]) -> Any:
    return (inputs, *rest) if rest else inputs


def _epoch_number(epoch: "int | tf.Variable") -> tf.data.Dataset:
    """Return a dataset of the one number, int64; a variable is read when an iterator starts."""
    start = tf.data.Dataset.from_tensors(tf.constant(0, tf.int64))
    return start.map(as_written(lambda _: tf.cast(tf.convert_to_tensor(epoch), tf.int64)))


def _ready(batches: tf.data.Dataset, *, keeps: Any) -> tf.data.Dataset:
    """Keep some batches ready; the dataset keeps its loader alive."""
    options = tf.data.Options()
    # Tuning gains nothing on light steps, and letting go of a tuned iterator waits for its tuning thread, which sleeps
    # for up to a minute: measured as epochs of twice the length.
    options.autotune.enabled = False
    options.deterministic = True
    ready = batches.prefetch(_AHEAD).with_options(options)
    ready.loader = keeps
    return ready
