"""Loaders: batches as a pure function of source, options, seed, epoch and batch number.

An element is one row of the model's input: an example, or one window of a long text.
"""

import itertools
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import tensorflow as tf

from tltk.data.invalid import Invalid
from tltk.data.targets import Targets
from tltk.foundation.errors import InvalidInput
from tltk.pipeline.batching import Order, Size, epoch_size
from tltk.pipeline.dataset_errors import failure
from tltk.pipeline.readers import BatchReader, PartialBatch, join_batches
from tltk.pipeline.sampling import Sampler

_PREFETCHED = 2  # batches
_WORKERS = 2  # batches augmented in parallel

# The functions passed to tf.data have no Python control flow on tensors, so AutoGraph need not rewrite them. It would
# read their source code, and warn if it cannot (lambdas over several lines, files changed since the import).
without_autograph = tf.autograph.experimental.do_not_convert


def trace(function: Callable[..., Any], *specs: Any) -> Callable[..., Any]:
    """Trace a function of tensors once, for batches of all sizes.

    Args:
        function: Tensors, or structures of them → tensors.
        specs: Spec of each argument, such as parts of the `element_spec` of a dataset.
    """
    return tf.function(function, input_signature=specs, autograph=False).get_concrete_function()


class Batch(NamedTuple):
    """A decoded batch, before augmentation and encoding of targets.

    Attributes:
        epoch: Number of the epoch.
        number: Number of the batch in its epoch.
        rows: Indices of the elements, int64 [b]; empty for a user's `tf.data.Dataset`, whose elements have no indices.
        values: Values of the elements, [b, …] each.
        targets_and_weights: (targets,) or (targets, sample weights [b]); () if unlabelled.
    """

    epoch: Any
    number: Any
    rows: Any
    values: tuple
    targets_and_weights: tuple


Epoch: TypeAlias = int | tf.Variable | Callable[[], tf.Tensor]
Finish = Callable[[Batch], tuple[Any, tuple]]  # batch → (inputs, (targets, …)), in the graph


class Batches(Protocol):
    """Batches that a model is trained or evaluated on; implemented by `Loader` and `DatasetLoader`."""

    steps_per_epoch: int
    element_count: int

    def dataset(self, epoch: Epoch = 0, first: int | tf.Variable = 0) -> tf.data.Dataset:
        """Return one epoch as a dataset of (inputs, targets …), or of inputs if unlabelled.

        Args:
            epoch: Number of the epoch; a variable is read, and a function called in the graph, whenever an iteration
                starts.
            first: Number of the first batch, read likewise; earlier ones are skipped.
        """

    def number_after(self, steps: int, *, epoch: int, first: int = 0) -> int:
        """Return the number of the batch that follows some batches of an epoch, which have been read.

        Batches without a readable element have a number, but are not counted as steps.

        Args:
            steps: Batches that were read.
            epoch: Number of the epoch.
            first: Number of the batch at which reading began.
        """

    def has_batch(self, number: int, *, epoch: int) -> bool:
        """Tell whether an epoch has a readable batch with this number or a higher one."""


@dataclass(frozen=True, eq=False)
class Loader:
    """Batches of the elements of a source.

    The contents of a batch depend only on the arguments, so simultaneous iterators do not affect each other.

    Args:
        reader: Reads and decodes the elements.
        name_of: Index of an element → id of its example, for reports.
        targets: Targets of the elements; None if unlabelled.
        batch_size: Elements per batch, or a budget of tokens.
        seed: Seed for a new order in each epoch; None keeps the order of the reader.
        finish: Last steps in the graph (cast, encode, augment): `Batch` → (inputs, (targets, …)).
        shard: (index, count), see `Order`.
        invalid: Collects the ids of the examples that cannot be decoded, each once.
        sample_weight: Weights of the elements, float32 [count]; None if they are not weighted. Not used without
            targets.
        sampler: Draws the elements of each epoch, with a `seed`; None takes every element once.
    """

    reader: BatchReader
    name_of: Callable[[int], str]
    targets: Targets | None = None
    batch_size: Size = 32
    seed: int | None = None
    finish: Finish = lambda batch: (batch.values[0], batch.targets_and_weights)
    shard: tuple[int, int] = (0, 1)
    invalid: Invalid = field(default_factory=Invalid)
    sample_weight: np.ndarray | None = None
    sampler: Sampler | None = None
    # Epoch → numbers of the batches without a readable element.
    _skipped: dict[int, set[int]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._order(0, 0)  # checks the shard

    @property
    def has_weights(self) -> bool:
        """Whether batches have sample weights."""
        return self.sample_weight is not None and self.targets is not None

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches per epoch; batches without a readable element are skipped, so there may be fewer."""
        return epoch_size(self.reader.count, self._order(0, 0), self.reader.lengths).batches

    @property
    def element_count(self) -> int:
        """Number of elements per epoch, those of other shards excluded, invalid ones included."""
        return epoch_size(self.reader.count, self._order(0, 0), self.reader.lengths).elements

    def batches(self, epoch: int = 0, *, first: int = 0) -> Iterator[Batch]:
        """Read the batches of an epoch.

        Args:
            epoch: Number of the epoch.
            first: Number of the first batch to read; earlier ones are skipped.

        Yields:
            NumPy batches in the order of their numbers; batches without a readable element are skipped.

        Raises:
            InvalidInput: At the end, if no element could be read.
        """
        is_empty = True
        partial_batches = self.reader.partial_batches(self._order(epoch, first))
        expected, skipped = first, self._skipped.setdefault(epoch, set())
        for number, rows, values in join_batches(self._collect_invalid(partial_batches)):
            batch = self._with_targets(Batch(epoch, number, rows, values, ()))
            skipped.update(range(expected, number + (not len(batch.rows))))
            expected = number + 1
            if len(batch.rows):
                is_empty = False
                yield batch
        if is_empty and not first:
            index, shards = self.shard
            raise InvalidInput(
                self.data_error_message()
                or f"shard {index} of {shards} has no example: the source has {self.reader.count}. Use fewer shards."
            )

    def batch(self, epoch: int, number: int) -> Any:
        """Return one batch by its number: (inputs, targets …), or inputs if unlabelled.

        Args:
            epoch: Number of the epoch.
            number: Number of the batch in the epoch.

        Raises:
            IndexError: If the epoch has no such batch, or none of its elements can be read.
        """
        for batch in self.batches(epoch, first=number):
            if batch.number == number:
                return self.finished(batch)
            break
        raise IndexError(f"epoch {epoch} has no readable batch {number}; it has {self.steps_per_epoch} batches.")

    def finished(self, batch: Batch) -> Any:
        """Return what `dataset` yields for a batch from `batches`: (inputs, targets …), or inputs if unlabelled."""
        numbers = (tf.constant(value, tf.int64) for value in (batch.epoch, batch.number))
        parts = tf.nest.map_structure(tf.convert_to_tensor, tuple(batch[2:]))
        return _fit_tuple(*self.finish(Batch(*numbers, *parts)))

    def number_after(self, steps: int, *, epoch: int, first: int = 0) -> int:
        """See `Batches`."""
        skipped = self._skipped.get(epoch, set())
        readable = (number for number in itertools.count(first) if number not in skipped)
        return next(itertools.islice(readable, steps, None))

    def has_batch(self, number: int, *, epoch: int) -> bool:
        """See `Batches`; a batch is read."""
        return number < self.steps_per_epoch and next(self.batches(epoch, first=number), None) is not None

    def dataset(self, epoch: Epoch = 0, first: int | tf.Variable = 0) -> tf.data.Dataset:
        """See `Batches`; elements are read in Python threads, and the last steps run in the graph."""
        targets = () if self.targets is None else (self.targets.element_spec,)
        targets += (tf.TensorSpec([None], tf.float32),) if self.has_weights else ()
        scalar = tf.TensorSpec([], tf.int64)
        signature = Batch(scalar, scalar, tf.TensorSpec([None], tf.int64), self.reader.element_spec, targets)
        # A weak reference, because TensorFlow never frees the function and the objects it refers to
        # (`test_plain_tensorflow_keeps_generators_forever`).
        weak_self = weakref.ref(self)

        def generate(epoch_number: np.ndarray, first_number: np.ndarray) -> Iterator[tuple]:
            loader = weak_self()
            batches = () if loader is None else loader.batches(int(epoch_number), first=int(first_number))
            yield from (tuple(batch) for batch in batches)

        def one_epoch(*position: tf.Tensor) -> tf.data.Dataset:
            return tf.data.Dataset.from_generator(generate, args=position, output_signature=tuple(signature))

        finish = self.finish

        def finish_batch(*parts: Any) -> Any:
            return _fit_tuple(*finish(Batch(*parts)))

        batches = _position(epoch, first).flat_map(without_autograph(one_epoch))
        finished = batches.map(without_autograph(finish_batch), num_parallel_calls=_WORKERS, deterministic=True)
        return _prefetched(finished, loader=self)

    def data_error_message(self) -> str:
        """Return an error message if all elements are invalid, else ""."""
        count = min(self.element_count, self.reader.count)  # a sampler may repeat elements
        if not count or len(self.invalid) < count:
            return ""
        of_shard = "" if self.shard == (0, 1) else f" of shard {self.shard}"
        return f"none of the {count} examples{of_shard} could be decoded: {self.invalid.listing(limit=5)}"

    def _with_targets(self, batch: Batch) -> Batch:
        """Add targets and weights; elements whose target cannot be read are left out and listed as invalid."""
        if self.targets is None:
            return batch
        targets, unreadable = self.targets.read(batch.rows)
        if unreadable:
            for row, reason in unreadable.items():
                self.invalid.add(self.name_of(row), reason)
            is_readable = ~np.isin(batch.rows, list(unreadable))
            values = tuple(value[is_readable] for value in batch.values)
            batch = batch._replace(rows=batch.rows[is_readable], values=values)
        weights = () if self.sample_weight is None else (self.sample_weight[batch.rows],)
        return batch._replace(targets_and_weights=(targets, *weights))

    def _order(self, epoch: int, first: int) -> Order:
        return Order(self.batch_size, self.seed, epoch, first, self.shard, self.sampler)

    def _collect_invalid(self, partial_batches: Iterator[PartialBatch]) -> Iterator[PartialBatch]:
        for partial_batch in partial_batches:
            for row, reason in sorted(partial_batch.invalid.items()):
                self.invalid.add(self.name_of(row), reason)
            yield partial_batch


@dataclass(frozen=True, eq=False)
class DatasetLoader:
    """Batches of a user's `tf.data.Dataset`, in its own order.

    Args:
        user_dataset: Batches of (inputs, targets …) with the shapes of the model's inputs.
        steps_per_epoch: Number of batches per epoch.
        element_count: Number of examples per epoch.
        finish: See `Loader`.
        problem: Returns the error message about a batch that failed a check; "" if none did.
        invalid: Always empty, since the examples of a dataset have no ids.
    """

    user_dataset: tf.data.Dataset
    steps_per_epoch: int
    element_count: int
    finish: Finish
    problem: Callable[[], str] = lambda: ""
    invalid: Invalid = field(default_factory=Invalid)

    def number_after(self, steps: int, *, epoch: int, first: int = 0) -> int:
        """See `Batches`: every batch is a step."""
        return first + steps

    def has_batch(self, number: int, *, epoch: int) -> bool:
        """See `Batches`."""
        return number < self.steps_per_epoch

    def dataset(self, epoch: Epoch = 0, first: int | tf.Variable = 0) -> tf.data.Dataset:
        """See `Batches`."""

        def one_epoch(epoch_number: tf.Tensor, first_number: tf.Tensor) -> tf.data.Dataset:
            def add_epoch(number: tf.Tensor, batch: tuple) -> tuple:
                return epoch_number, number, batch

            return self.user_dataset.enumerate().skip(first_number).map(without_autograph(add_epoch))

        finish = self.finish

        def finish_batch(epoch_number: tf.Tensor, number: tf.Tensor, batch: tuple) -> Any:
            return _fit_tuple(*finish(Batch(epoch_number, number, tf.zeros([0], tf.int64), batch[:1], batch[1:])))

        batches = _position(epoch, first).flat_map(without_autograph(one_epoch))
        finished = batches.map(without_autograph(finish_batch), num_parallel_calls=_WORKERS, deterministic=True)
        return _prefetched(finished, loader=self)

    @property
    def has_weights(self) -> bool:
        """Whether batches have sample weights."""
        return len(self.user_dataset.element_spec) > 2

    def data_error_message(self) -> str:
        """Return the error message about a batch that failed a check; "" if none did."""
        return self.problem()


@contextmanager
def explain_data_errors(*loaders: Loader | DatasetLoader | None) -> Iterator[None]:
    """Turn TensorFlow's error about unusable data into an `InvalidInput` that names the examples or the batch.

    Args:
        *loaders: Loaders that are read within the context.

    Raises:
        InvalidInput: If TensorFlow raises an error, and all elements of a source are invalid, a batch of a user's
            dataset failed a check, or the dataset itself raised it.
    """
    try:
        yield
    except tf.errors.OpError as error:
        messages = [message for loader in loaders if loader is not None and (message := loader.data_error_message())]
        messages = messages or ([f"{failure(error)}."] if failure(error) else [])
        if not messages:
            raise
        raise InvalidInput(messages[0]) from error


def _fit_tuple(inputs: Any, targets_and_weights: Sequence[Any]) -> Any:
    """Return what `model.fit` takes: (inputs, targets …), or inputs alone if unlabelled."""
    return (inputs, *targets_and_weights) if targets_and_weights else inputs


def _position(epoch: Epoch, first: int | tf.Variable) -> tf.data.Dataset:
    """Return a dataset of one pair (epoch, number of the first batch), int64, read when an iteration starts."""
    start = tf.data.Dataset.from_tensors(tf.constant(0, tf.int64))
    read = epoch if callable(epoch) and not isinstance(epoch, tf.Variable) else lambda: epoch

    def position(_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.cast(tf.convert_to_tensor(read()), tf.int64), tf.cast(tf.convert_to_tensor(first), tf.int64)

    return start.map(without_autograph(position))


def _prefetched(batches: tf.data.Dataset, *, loader: Any) -> tf.data.Dataset:
    """Prefetch some batches; the dataset keeps a reference to its loader, so that it is not freed."""
    options = tf.data.Options()
    # Autotuning does not speed up these light steps. Freeing a tuned iterator waits for its tuning thread, which sleeps
    # for up to a minute; epochs were measured to take twice as long.
    options.autotune.enabled = False
    options.deterministic = True
    prefetched = batches.prefetch(_PREFETCHED).with_options(options)
    prefetched.loader = loader
    return prefetched
