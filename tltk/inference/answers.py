"""A model's answers to data, a few examples at a time: read, run, decode."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.foundation import progress
from tltk.inference.forward import Network, decoder_of, network_of
from tltk.modalities.batches import dataset_batches
from tltk.modalities.context import Context
from tltk.modalities.modality import drop_invalid, modality_of
from tltk.models.transfer_model import TransferModel
from tltk.pipeline.batching import Order
from tltk.pipeline.readers import Piece, Reader, whole_batches
from tltk.specs import InvalidExample

Data: TypeAlias = Source | tf.data.Dataset

_TOGETHER = 8192  # examples that are sorted by length together: their outputs are in memory at once
_DECODED = 256  # elements decoded at once, or one example that has more


@dataclass(frozen=True)
class Answers:
    """Answers to some examples.

    Args:
        decoded: what `Task.decode` returned, column → [n, …]; strings as `str`.
        ids: name of each example.
        targets: raw, as the source or dataset has them; None where there are none.
        examples: as the source has them; None for a `tf.data.Dataset`.
    """

    decoded: dict[str, np.ndarray]
    ids: list[str]
    targets: Any
    examples: Any


def answers(
    model: TransferModel,
    data: Data,
    *,
    batch_size: int,
    max_invalid_fraction: float,
    invalid: list[InvalidExample],
    title: str,
    network: Network | None = None,
) -> Iterator[Answers]:
    """Answer every example once, in the order of the data.

    Args:
        model: run in inference mode.
        data: a source or dataset, with or without targets.
        batch_size: elements a step.
        max_invalid_fraction: fraction of unreadable examples above which the data is refused.
        invalid: gets the examples that cannot be read; complete when the last answer is there.
        title: of the progress bar.
        network: inputs → outputs, in place of the model's own.

    Yields:
        Answers to a few examples at a time; those that cannot be read are left out.

    Raises:
        ValueError: if the data is not what the model takes, or too much of it is unreadable.
    """
    network = network or network_of(model)
    if isinstance(data, tf.data.Dataset):
        yield from _of_dataset(model, data, network, batch_size, title)
        return
    modality = modality_of(model.input)
    modality.check(data, model.input, "data")
    source, found = drop_invalid(data, max_invalid_fraction=max_invalid_fraction)
    invalid += found
    if not len(source):
        return
    reader = modality.reader(source, model.input)
    parts = _in_order if reader.lengths is None else _by_length
    decoder = decoder_of(model)

    def run(values: np.ndarray) -> Any:
        return network(tf.cast(values, model.input.dtype))

    def failed(row: int, reason: str) -> None:
        invalid.append(InvalidExample(source.id_of(row), reason))

    with progress.bar(title, reader.count) as advance:
        for examples, elements, outputs in parts(reader, len(source), run, batch_size, failed, advance):
            decoded = decoder(outputs, modality.context(source, reader, examples, elements))
            targets = None if source.targets is None else source.targets.take(examples)
            yield Answers(decoded, [source.id_of(int(row)) for row in examples], targets, source.examples[examples])


def _of_dataset(
    model: TransferModel, data: tf.data.Dataset, network: Network, batch_size: int, title: str
) -> Iterator[Answers]:
    decoder, loader = decoder_of(model), dataset_batches(data, model.input, batch_size=batch_size)
    count = 0
    with progress.bar(title, loader.examples) as advance:
        for batch in loader.dataset():
            inputs, *rest = batch if isinstance(batch, tuple) else (batch,)
            size = len(inputs)
            ids = [f"example {number}" for number in range(count, count + size)]
            decoded = decoder(network(inputs), Context(tf.constant(size, tf.int64)))
            yield Answers(decoded, ids, np.asarray(rest[0]) if rest else None, None)
            count += size
            advance(size)


Failed = Callable[[int, str], None]
Part: TypeAlias = tuple[np.ndarray, np.ndarray, Any]  # numbers of examples, of their elements; outputs of these


def _in_order(
    reader: Reader, count: int, network: Network, batch_size: int, failed: Failed, advance: Callable[..., None]
) -> Iterator[Part]:
    """Run batches in the order of the source, where every element is one example."""
    for rows, outputs in _run(reader, network, batch_size, failed):
        yield rows, rows, outputs
        advance(len(rows))


def _by_length(
    reader: Reader, count: int, network: Network, batch_size: int, failed: Failed, advance: Callable[..., None]
) -> Iterator[Part]:
    """Run elements in the order of their lengths, which pads least, and give whole examples in order."""
    owners = np.arange(count) if reader.example_ids is None else reader.example_ids
    lengths = reader.lengths if reader.lengths is not None else np.zeros(reader.count, np.int64)
    for start in range(0, count, _TOGETHER):
        examples = np.arange(start, min(start + _TOGETHER, count))
        first, last = np.searchsorted(owners, [examples[0], examples[-1] + 1])
        order = first + np.argsort(lengths[first:last], kind="stable")
        held: dict[int, Any] = {}
        lost: dict[int, str] = {}
        for rows, outputs in _run(reader.subset(order), network, batch_size, _noting(owners[order], lost)):
            batch = tf.nest.map_structure(np.asarray, outputs)
            for place, row in enumerate(order[rows]):
                held[int(row)] = tf.nest.map_structure(lambda values, at=place: values[at], batch)
            advance(len(rows))
        for row, reason in sorted(lost.items()):
            failed(row, reason)
        for part, elements in _whole_examples(owners, np.setdiff1d(examples, list(lost))):
            stacked = tf.nest.map_structure(lambda *values: _stacked(values), *(held.pop(int(row)) for row in elements))
            yield part, elements, stacked


def _noting(owners: np.ndarray, lost: dict[int, str]) -> Failed:
    """Return a function that notes an example the first time one of its elements cannot be read."""

    def note(row: int, reason: str) -> None:
        lost.setdefault(int(owners[row]), reason)

    return note


def _run(reader: Reader, network: Network, batch_size: int, failed: Failed) -> Iterator[tuple[np.ndarray, Any]]:
    """Yield numbers of elements and the outputs for them, a batch at a time."""

    def noted(pieces: Iterator[Piece]) -> Iterator[Piece]:
        for piece in pieces:
            for row, reason in sorted(piece.invalid.items()):
                failed(row, reason)
            yield piece

    for _, rows, values in whole_batches(noted(reader.pieces(Order(batch_size)))):
        yield rows, network(values[0])


def _whole_examples(owners: np.ndarray, examples: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield consecutive examples and their elements, `_DECODED` elements at most or one example that has more."""
    begins, ends = (np.searchsorted(owners, examples, side=side) for side in ("left", "right"))
    first = 0
    for place in range(1, len(examples) + 1):
        full = place < len(examples) and (
            ends[place] - begins[first] > _DECODED or examples[place] != examples[place - 1] + 1
        )
        if full or place == len(examples):
            yield examples[first:place], np.arange(begins[first], ends[place - 1])
            first = place


def _stacked(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Stack outputs, those of tokens padded to the longest with zeros."""
    if len({row.shape for row in rows}) == 1:
        return np.stack(rows)
    width = max(len(row) for row in rows)
    stacked = np.zeros((len(rows), width, *rows[0].shape[1:]), rows[0].dtype)
    for place, row in enumerate(rows):
        stacked[place, : len(row)] = row
    return stacked
