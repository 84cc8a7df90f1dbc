"""A stream of numbered batches from Python readers to `model.fit`: epochs, order, prefetching."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.pipeline.batching import Size, count_batches
from tltk.pipeline.epochs import Epochs
from tltk.pipeline.readers import Piece, Reader, whole_batches
from tltk.specs import InvalidExample

_AHEAD = 2  # batches kept ready
_WORKERS = 2  # batches augmented at once

# No function here has Python control flow on tensors. AutoGraph, asked to rewrite them, reads their source code, and
# where it cannot (lambdas over several lines, a file changed since) it warns.
as_written = tf.autograph.experimental.do_not_convert


@dataclass(frozen=True)
class Batches:
    """What a model is fed with.

    Args:
        dataset: (images float32 [b, h, w, 3] in 0 … 255, targets), with weights as a third where a dataset came with
            them, or images alone when unlabelled. Each pass over it is the next epoch: another order, other
            augmentation. A pass that stops before its last batch is repeated by the next one.
        steps: batches an epoch; one in which no picture can be decoded does not come. By a budget of tokens, those of
            the first epoch.
        examples: an epoch's examples, before any is found unreadable.
        invalid: files found unreadable while decoding; grows while `dataset` is read, each file once.
    """

    dataset: tf.data.Dataset
    steps: int
    examples: int
    invalid: list[InvalidExample]
    _epochs: Epochs = field(repr=False)

    def why_empty(self) -> str:
        """Say so if no picture could be decoded; an empty text as long as one could."""
        if not self.examples or len(self.invalid) < self.examples:
            return ""
        shown = check.listing((f"{example.example_id} ({example.reason})" for example in self.invalid), limit=5)
        return f"none of the {self.examples} pictures could be decoded: {shown}"

    def start_at(self, epoch: int) -> None:
        """Make the next pass over `dataset` be epoch number `epoch`, counted from 0, as when a run resumes."""
        self._epochs.start_at(epoch)


@contextmanager
def explained(*feeds: Batches | None) -> Iterator[None]:
    """Turn TensorFlow's error about a stream without any readable picture into one that names the pictures."""
    try:
        yield
    except tf.errors.OpError as error:
        reasons = [why for feed in feeds if feed is not None and (why := feed.why_empty())]
        if not reasons:
            raise
        raise ValueError(reasons[0]) from error


def from_readers(
    reader_of: Callable[[int], Reader],
    values: tuple[tf.TensorSpec, ...],
    source: Source,
    batch_size: Size,
    *,
    seed: int | None,
    finish: Callable,
    lengths: np.ndarray | None = None,
) -> Batches:
    """Read batches in Python, one call a batch, decoding in other threads; what follows is in the graph.

    Args:
        reader_of: epoch → the reader for it.
        values: what the reader gives of a batch.
        source: what is read; its targets go along.
        batch_size: examples a batch, or a budget of tokens.
        seed: of a new order each epoch; None keeps the source's order.
        finish: (epoch, number of the batch, rows int64 [b] in the source, values, targets) → (inputs, targets).
        lengths: tokens of each text, which a budget goes by.

    Returns:
        The batches.
    """
    epochs, steps = Epochs(source.name_of), count_batches(len(source), batch_size, lengths, seed=seed)

    def generate() -> Iterator[tuple]:
        epoch = epochs.next
        order = None if seed is None else np.random.default_rng([seed, epoch])
        pieces = epochs.watch(reader_of(epoch).pieces(order, batch_size))
        for number, last, rows, held in _numbered(pieces):
            rest = () if source.targets is None else (source.targets[rows],)
            yield epoch, number, last, rows, held, rest

    scalars = [tf.TensorSpec([], dtype) for dtype in (tf.int64, tf.int64, tf.bool)]
    rest: tuple = ()
    if source.targets is not None:
        rest = (tf.TensorSpec([None, *source.targets.shape[1:]], tf.as_dtype(source.targets.dtype)),)
    signature = (*scalars, tf.TensorSpec([None], tf.int64), values, rest)
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    return Batches(ready(dataset, finish, epochs), steps, len(source), epochs.invalid, epochs)


def _numbered(pieces: Iterator[Piece]) -> Iterator[tuple[int, bool, np.ndarray, tuple]]:
    """Number batches, and tell of each if it is the last; one without a readable picture is left out."""
    held: tuple[np.ndarray, tuple] | None = None
    number = 0
    for batch in whole_batches(pieces):
        if batch is not None and held is not None:
            yield number, False, *held
            number += 1
        held = batch if batch is not None else held
    if held is not None:
        yield number, True, *held


def ready(dataset: tf.data.Dataset, finish: Callable, epochs: Epochs) -> tf.data.Dataset:
    """Finish batches, keep some ready, and tell `epochs` when the last one has really been taken.

    Args:
        dataset: (epoch, number, last, rows, values, rest), see `from_readers`.
        finish: likewise.
        epochs: is told.

    Returns:
        (inputs, *rest), or the inputs alone where there is no rest.
    """

    def work(epoch: tf.Tensor, number: tf.Tensor, last: tf.Tensor, rows: tf.Tensor, values: tuple, rest: tuple) -> Any:
        return epoch, last, *finish(epoch, number, rows, values, rest)

    def taken(epoch: tf.Tensor, last: tf.Tensor, inputs: Any, rest: tuple) -> Any:
        told = tf.cond(last, lambda: tf.numpy_function(epochs.finished, [epoch], tf.bool), lambda: False)
        with tf.control_dependencies([told]):
            inputs = tf.nest.map_structure(tf.identity, inputs)
        return (inputs, *rest) if rest else inputs

    done = dataset.map(as_written(work), num_parallel_calls=_WORKERS, deterministic=True)
    done = done.prefetch(_AHEAD).map(as_written(taken))
    options = tf.data.Options()
    # Tuning gains nothing on three light steps, and letting go of a tuned iterator waits for its tuning thread,
    # which sleeps for up to a minute: measured as epochs of twice the length.
    options.autotune.enabled = False
    options.deterministic = True
    return done.with_options(options)
