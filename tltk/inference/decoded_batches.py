"""Runs a model on data and decodes its outputs, a few examples at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from tltk.data.sample_weight import element_weights, require_weight
from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation import progress
from tltk.inference.forward import Network, decoder_of, network_of
from tltk.modalities.batches import dataset_batches, read_dataset
from tltk.modalities.modality import drop_invalid, modality_of
from tltk.models.transfer_model import TransferModel
from tltk.pipeline.batching import Order
from tltk.pipeline.readers import PartialBatch, Reader, join_batches
from tltk.specs import InvalidExample
from tltk.tasks.base import Task

Data: TypeAlias = Source | tf.data.Dataset

AddInvalid = Callable[[int, str], None]  # row, reason
Observe = Callable[[Any, Any, np.ndarray | None], None]  # targets, outputs and weights of some elements
Watch = Callable[[np.ndarray, Any], None]  # rows of elements, their outputs

_SORTED_EXAMPLES = 8192  # examples sorted by length at once: all their outputs are in memory
_DECODED_ELEMENTS = 256  # elements decoded at once; more only if a single example has more


@dataclass(frozen=True)
class DecodedBatch:
    """Decoded outputs for some examples.

    Args:
        decoded: Result of `Task.decode`: column → [n, …]; strings as `str`.
        ids: Name of each example.
        targets: Raw targets; None without targets, or if they were not asked for.
        examples: Examples as the source has them; None for a `tf.data.Dataset`.
        sample_weight: Weight of each example, float32 [n]; None without weights, or if targets were not asked for.
    """

    decoded: dict[str, np.ndarray]
    ids: list[str]
    targets: Any
    examples: Any
    sample_weight: np.ndarray | None = None


def decoded_batches(
    model: TransferModel,
    data: Data,
    *,
    batch_size: int,
    max_invalid_fraction: float,
    invalid: list[InvalidExample],
    title: str,
    with_targets: bool = False,
    network: Network | None = None,
    observe: Observe | None = None,
) -> Iterator[DecodedBatch]:
    """Decode the outputs for every example once, in the order of the data.

    Args:
        model: Run in inference mode.
        data: A source or dataset, with or without targets.
        batch_size: Elements per batch.
        max_invalid_fraction: Largest accepted fraction of unreadable examples, in [0, 1].
        invalid: Unreadable examples are appended to this list; it is complete after the last batch.
        title: Title of the progress bar.
        with_targets: Whether to read targets and weights. Targets must fit the task; examples whose target cannot be
            read are invalid. Examples with the weight 0 are left out.
        network: Inputs → outputs, instead of the model's own network.
        observe: Receives targets, outputs and weights of the elements of each batch, before decoding.

    Yields:
        Decoded outputs for a few examples at a time, without the unreadable ones.

    Raises:
        InvalidInput: If the data does not fit the model, too many examples are unreadable, or `batch_size` is not a
            whole number above 0.
    """
    check.counts(batch_size=batch_size)
    batch_size = int(batch_size)
    network = network or network_of(model)
    if isinstance(data, tf.data.Dataset):
        yield from _decoded_dataset(model, data, network, batch_size, title, with_targets, observe)
        return
    modality = modality_of(model.input_spec)
    modality.check(data, model.input_spec, "data")
    source, dropped = drop_invalid(data, max_invalid_fraction=max_invalid_fraction)
    invalid += dropped
    if with_targets and source.sample_weight is not None:
        require_weight(source.sample_weight, "data")
        source = source.subset(source.sample_weight > 0)
    if not len(source):
        return
    reader = modality.reader(source, model.input_spec)
    in_order = reader.lengths is None and reader.example_ids is None
    run_examples = _run_in_order if in_order else _run_by_length
    decoder = decoder_of(model)

    watch = None if observe is None else _element_observer(model.task, source, reader, observe)

    def run_network(values: np.ndarray) -> Any:
        return network(tf.cast(values, model.input_spec.dtype))

    def add_invalid(row: int, reason: str) -> None:
        invalid.append(InvalidExample(source.id_of(row), reason))

    with progress.bar(title, reader.count) as advance:
        for examples, elements, outputs in run_examples(
            reader, len(source), run_network, batch_size, add_invalid, advance, watch
        ):
            decoded = decoder(outputs, modality.context(source, reader, examples, elements))
            if with_targets:
                yield _with_targets(decoded, source, examples, add_invalid)
            else:
                yield DecodedBatch(decoded, _ids(source, examples), None, source.examples[examples])


def _with_targets(
    decoded: dict[str, np.ndarray], source: Source, examples: np.ndarray, add_invalid: Callable[[int, str], None]
) -> DecodedBatch:
    """Read the targets of decoded examples; examples whose target cannot be read are left out."""
    if source.targets is None:
        return DecodedBatch(decoded, _ids(source, examples), None, source.examples[examples])
    targets, unreadable = source.targets.read(examples)
    for row, reason in unreadable.items():
        add_invalid(row, reason)
    is_readable = ~np.isin(examples, list(unreadable))
    readable = examples[is_readable]
    columns = {name: column[is_readable] for name, column in decoded.items()}
    weights = None if source.sample_weight is None else source.sample_weight[readable]
    return DecodedBatch(columns, _ids(source, readable), targets, source.examples[readable], weights)


def _ids(source: Source, examples: np.ndarray) -> list[str]:
    return [source.id_of(int(row)) for row in examples]


def _decoded_dataset(
    model: TransferModel,
    data: tf.data.Dataset,
    network: Network,
    batch_size: int,
    title: str,
    with_targets: bool,
    observe: Observe | None,
) -> Iterator[DecodedBatch]:
    user = read_dataset(data, model.input_spec, batch_size=batch_size, targets=model.task if with_targets else None)
    decoder, loader = decoder_of(model), dataset_batches(user, model.input_spec)
    modality = modality_of(model.input_spec)
    modality.dataset_context(data, model.input_spec, 0)  # raises before anything is computed
    count = 0
    with progress.bar(title, loader.element_count) as advance, user.explained():
        for batch in loader.dataset():
            inputs, *targets_and_weights = batch if isinstance(batch, tuple) else (batch,)
            size = len(inputs)
            ids = [f"example {number}" for number in range(count, count + size)]
            outputs = network(inputs)
            decoded = decoder(outputs, modality.dataset_context(data, model.input_spec, size))
            if observe is not None and targets_and_weights:
                observe(targets_and_weights[0], outputs, targets_and_weights[1] if targets_and_weights[1:] else None)
            columns = tf.nest.map_structure(np.asarray, targets_and_weights) if with_targets else []
            yield _weighted_batch(decoded, ids, *columns)
            count += size
            advance(size)


def _weighted_batch(
    decoded: dict[str, np.ndarray], ids: list[str], targets: Any = None, weights: np.ndarray | None = None
) -> DecodedBatch:
    """Return a batch of a dataset without the examples whose weight is 0."""
    if weights is None:
        return DecodedBatch(decoded, ids, targets, None)
    counts = weights > 0
    columns, targets = tf.nest.map_structure(lambda column: column[counts], (decoded, targets))
    return DecodedBatch(columns, [ids[row] for row in np.flatnonzero(counts)], targets, None, weights[counts])


def _element_observer(task: Task, source: Source, reader: Reader, observe: Observe) -> Watch:
    """Return a function that passes on the targets, outputs and weights of some elements."""
    targets = task.element_targets(source.targets, reader)
    weights = element_weights(source.sample_weight, reader.example_ids)

    def watch(elements: np.ndarray, outputs: Any) -> None:
        if targets is None:
            return
        values, unreadable = targets.read(elements)
        is_readable = ~np.isin(elements, list(unreadable))
        kept = outputs if is_readable.all() else tf.nest.map_structure(lambda output: output[is_readable], outputs)
        observe(values, kept, None if weights is None else weights[elements[is_readable]])

    return watch


ExampleOutputs: TypeAlias = tuple[np.ndarray, np.ndarray, Any]  # rows of examples, rows of their elements, outputs


def _run_in_order(
    reader: Reader,
    count: int,
    network: Network,
    batch_size: int,
    add_invalid: AddInvalid,
    advance: Callable[..., None],
    watch: Watch | None = None,
) -> Iterator[ExampleOutputs]:
    """Run batches in the order of the source; every element is one example."""
    for rows, outputs in _run(reader, network, batch_size, add_invalid):
        if watch is not None:
            watch(rows, outputs)
        yield rows, rows, outputs
        advance(len(rows))


def _run_by_length(
    reader: Reader,
    count: int,
    network: Network,
    batch_size: int,
    add_invalid: AddInvalid,
    advance: Callable[..., None],
    watch: Watch | None = None,
) -> Iterator[ExampleOutputs]:
    """Run elements sorted by length, which needs the least padding, and yield examples in their order."""
    example_of = np.arange(count) if reader.example_ids is None else reader.example_ids
    lengths = reader.lengths if reader.lengths is not None else np.zeros(reader.count, np.int64)
    for start in range(0, count, _SORTED_EXAMPLES):
        examples = np.arange(start, min(start + _SORTED_EXAMPLES, count))
        first, last = np.searchsorted(example_of, [examples[0], examples[-1] + 1])
        order = first + np.argsort(lengths[first:last], kind="stable")
        outputs_of: dict[int, Any] = {}
        reasons: dict[int, str] = {}
        add_reason = _keep_first_reason(example_of[order], reasons)
        for rows, outputs in _run(reader.subset(order), network, batch_size, add_reason):
            if watch is not None:
                watch(order[rows], outputs)
            arrays = tf.nest.map_structure(np.asarray, outputs)
            for index, element in enumerate(order[rows]):
                outputs_of[int(element)] = tf.nest.map_structure(lambda values, at=index: values[at], arrays)
            advance(len(rows))
        for row, reason in sorted(reasons.items()):
            add_invalid(row, reason)
        readable = np.setdiff1d(examples, list(reasons))
        for batch_examples, elements in _group_by_example(example_of, readable):
            rows_of_outputs = (outputs_of.pop(int(element)) for element in elements)
            stacked = tf.nest.map_structure(lambda *values: _stack_padded(values), *rows_of_outputs)
            yield batch_examples, elements, stacked


def _keep_first_reason(example_of: np.ndarray, reasons: dict[int, str]) -> AddInvalid:
    """Return a function that stores, for each example, the reason of its first element that cannot be read."""

    def add_reason(row: int, reason: str) -> None:
        reasons.setdefault(int(example_of[row]), reason)

    return add_reason


def _run(
    reader: Reader, network: Network, batch_size: int, add_invalid: AddInvalid
) -> Iterator[tuple[np.ndarray, Any]]:
    """Yield rows of elements and the outputs for them, batch by batch."""

    def report_invalid(partial_batches: Iterator[PartialBatch]) -> Iterator[PartialBatch]:
        for partial_batch in partial_batches:
            for row, reason in sorted(partial_batch.invalid.items()):
                add_invalid(row, reason)
            yield partial_batch

    for _, rows, values in join_batches(report_invalid(reader.partial_batches(Order(batch_size)))):
        yield rows, network(values[0])


def _group_by_example(example_of: np.ndarray, examples: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield consecutive examples with all their elements, at most `_DECODED_ELEMENTS` unless one example has more.

    Args:
        example_of: int64 [elements], sorted: the example that each element belongs to.
        examples: int64 [n], sorted: the examples to yield.
    """
    starts, ends = (np.searchsorted(example_of, examples, side=side) for side in ("left", "right"))
    first = 0
    for index in range(1, len(examples) + 1):
        is_complete = index < len(examples) and (
            ends[index] - starts[first] > _DECODED_ELEMENTS or examples[index] != examples[index - 1] + 1
        )
        if is_complete or index == len(examples):
            yield examples[first:index], np.arange(starts[first], ends[index - 1])
            first = index


def _stack_padded(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Stack outputs; if they differ in length, pad axis 0 with zeros to the longest."""
    if len({row.shape for row in rows}) == 1:
        return np.stack(rows)
    longest = max(len(row) for row in rows)
    stacked = np.zeros((len(rows), longest, *rows[0].shape[1:]), rows[0].dtype)
    for index, row in enumerate(rows):
        stacked[index, : len(row)] = row
    return stacked
