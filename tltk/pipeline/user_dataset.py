"""A user's `tf.data.Dataset`: its length, the structure of its elements, and checks of its batches."""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from tltk.foundation.errors import InvalidInput
from tltk.pipeline.dataset_errors import failure
from tltk.pipeline.loader import without_autograph

FIRST_BATCHES = 2  # that are read and checked before training starts


class UserDataset(NamedTuple):
    """A user's own `tf.data.Dataset`, converted to batches in the input format of a model.

    Args:
        dataset: Dataset of batches (inputs, targets …).
        steps_per_epoch: Batches per epoch.
        example_count: Examples per epoch; an upper bound if the user's dataset is batched.
        batch_check: What checks the batches while they are read, see `checked`; None if nothing does.
    """

    dataset: tf.data.Dataset
    steps_per_epoch: int
    example_count: int
    batch_check: "BatchCheck | None" = None

    def problem(self) -> str:
        """Return the error message of the first batch that failed a check; "" if none did."""
        return "" if self.batch_check is None else self.batch_check.problem

    def read_first(self) -> None:
        """Read and check the first batches.

        Raises:
            InvalidInput: If a check fails.
        """
        with self.explained():
            for _ in self.dataset.take(FIRST_BATCHES):
                pass

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Replace TensorFlow's error about a failed check, or one of the user's code, by an `InvalidInput`."""
        try:
            yield
        except tf.errors.OpError as error:
            problem = self.problem() or failure(error)
            if not problem:
                raise
            raise InvalidInput(problem) from error


class TargetReader(Protocol):
    """Knows what targets a user's dataset may hold; implemented by tasks."""

    def target_problem(self, targets: Any) -> str:
        """Return what is wrong with a batch of targets, given as arrays; "" if nothing is."""

    def read_targets(self, targets: Any) -> Any:
        """Convert a batch of targets to those of a source, in the graph."""


@dataclass(eq=False)
class BatchCheck:
    """Checks the batches of a user's dataset, and keeps the first problem.

    Args:
        argument: Argument that holds the dataset, such as "train", for messages.
        input_problem: (lowest value, highest value, whether the batch is one of the first) → what is wrong with the
            inputs of a batch; "" if nothing is. Both values are NaN if any value is NaN or infinite.
        targets: Checks and converts the targets; None if they are not used.
        problem: Error message about the first bad batch; "" so far.
    """

    argument: str
    input_problem: Callable[[float, float, bool], str]
    targets: TargetReader | None = None
    problem: str = ""

    def check(self, number: int, low: float, high: float, targets: Any, weights: np.ndarray | None = None) -> None:
        """Check a batch.

        Raises:
            InvalidInput: With the number of the batch and the value that is wrong.
        """
        problem = self.input_problem(low, high, number < FIRST_BATCHES)
        if not problem and targets is not None and self.targets is not None:
            problem = self.targets.target_problem(targets)
        if not problem and weights is not None:
            problem = _weight_problem(weights)
        if problem:
            self.problem = self.problem or f"`{self.argument}`, batch {number}: {problem}"
            raise InvalidInput(self.problem)


def checked(user: UserDataset, batch_check: BatchCheck) -> UserDataset:
    """Return a dataset whose batches are checked while they are read, and whose targets are those of a source.

    TensorFlow reports a failed check as an error of its own; `UserDataset.explained` turns it into an `InvalidInput`.

    Raises:
        InvalidInput: If the dataset has sample weights, and they are not one number per example.
    """
    is_used = batch_check.targets is not None  # targets and weights are left alone otherwise
    targets_spec = parts_of(user.dataset.element_spec)[1:2] if is_used else ()
    has_weights = is_used and _has_weights(user.dataset.element_spec, batch_check.argument)
    read_targets: Any = None if batch_check.targets is None else batch_check.targets.read_targets
    weak_check = weakref.ref(batch_check)  # TensorFlow never frees the function that it calls

    def check(number: np.ndarray, low: np.ndarray, high: np.ndarray, *flat_parts: np.ndarray) -> np.ndarray:
        targets, weights = (flat_parts[:-1], flat_parts[-1]) if has_weights else (flat_parts, None)
        packed = tf.nest.pack_sequence_as(targets_spec[0], list(targets)) if targets_spec else None
        current_check = weak_check()
        if current_check is not None:
            current_check.check(int(number), float(low), float(high), packed, weights)
        return np.array(True)

    def check_batch(number: tf.Tensor, batch: Any) -> Any:
        inputs, *targets_and_weights = parts_of(batch)
        if has_weights:
            targets_and_weights[1] = tf.reshape(tf.cast(targets_and_weights[1], tf.float32), [-1])
        checked_parts = tf.nest.flatten(targets_and_weights[: len(targets_spec) + has_weights])
        passed = tf.numpy_function(check, [number, *_range(inputs), *checked_parts], tf.bool)
        with tf.control_dependencies([passed]):
            inputs, *targets_and_weights = tf.nest.map_structure(tf.identity, [inputs, *targets_and_weights])
        if targets_spec:
            targets_and_weights[0] = read_targets(targets_and_weights[0])
        return inputs, *targets_and_weights

    batches = user.dataset.enumerate().map(without_autograph(check_batch))
    batches.batch_check = batch_check  # so that it is not freed before the dataset
    return user._replace(dataset=batches, batch_check=batch_check)


def count(data: tf.data.Dataset) -> int:
    """Count the elements of a dataset; if it does not know its length, it is read once.

    Raises:
        InvalidInput: If the dataset is infinite or empty.
    """
    length = int(data.cardinality())
    if length == tf.data.INFINITE_CARDINALITY:
        raise InvalidInput("`data` never ends, so an epoch has no length. Remove .repeat() or pass data.take(n).")
    if length == tf.data.UNKNOWN_CARDINALITY:
        length = int(data.reduce(tf.constant(0, tf.int64), without_autograph(lambda total, *_: total + 1)))
    if length == 0:
        raise InvalidInput("`data` holds no examples.")
    return length


def first_batch_size(batches: tf.data.Dataset) -> int:
    """Return the number of examples of the first batch; 0 if there is none."""
    first_batch = next(iter(batches.take(1)), None)
    return 0 if first_batch is None else int(tf.shape(tf.nest.flatten(first_batch)[0])[0])


def flat(element: tuple) -> tuple:
    """Return the arguments of a function passed to `Dataset.map` as a tuple of tensors.

    `map` unpacks an element that is a tuple, but passes a tuple inside a one-tuple as a single argument.
    """
    return element[0] if len(element) == 1 and isinstance(element[0], tuple) else element


def parts_of(element: Any) -> tuple:
    """Return an element or its spec as a tuple of its parts: inputs, targets, sample weights."""
    return element if isinstance(element, tuple) else (element,)


def _has_weights(element_spec: Any, argument: str) -> bool:
    """Return whether batches have sample weights; raise unless they are one number per example."""
    for spec in parts_of(element_spec)[2:]:
        is_number = isinstance(spec, tf.TensorSpec) and (spec.dtype.is_floating or spec.dtype.is_integer)
        if not is_number or spec.shape.rank not in (1, 2) or (spec.shape.rank == 2 and spec.shape[1] != 1):
            raise InvalidInput(
                f"`{argument}`: sample weights must be one number per example, [batch] or [batch, 1]. Received: {spec}"
            )
    return len(parts_of(element_spec)) > 2


def _weight_problem(weights: np.ndarray) -> str:
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if not len(wrong):
        return ""
    return f"row {wrong[0]} has the sample weight {weights[wrong[0]]:g}. Weights must be finite and at least 0."


def _range(inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the lowest and highest value of a batch, float32; NaN if any value is not finite."""
    values = tf.cast(inputs, tf.float32)
    low, high = tf.reduce_min(values), tf.reduce_max(values)
    is_finite = tf.reduce_all(tf.math.is_finite(values))
    return tf.where(is_finite, low, np.nan), tf.where(is_finite, high, np.nan)
