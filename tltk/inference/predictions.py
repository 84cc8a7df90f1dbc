"""The record `Predictions`: what `tltk.predict` returns."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, groupby
from operator import index as as_index
from typing import Any, NamedTuple, overload

import numpy as np

from tltk.foundation import checks as check
from tltk.foundation import display, familiar
from tltk.foundation.errors import InvalidType
from tltk.specs import InvalidExample, Span
from tltk.tasks.base import Task
from tltk.tasks.records import Prediction

_ROWS_AT_ONCE = 256  # single predictions built at once while iterating: each holds a score per class


class DecodedRows(NamedTuple):
    """Decoded outputs of consecutive examples.

    Args:
        ids: Id of each example.
        decoded: Result of `Task.decode` for them: column → [n, …]; strings as `str`.
    """

    ids: tuple[str, ...]
    decoded: dict[str, np.ndarray]

    def take(self, rows: Sequence[int] | slice) -> "DecodedRows":
        """Return some of the examples, in the given order."""
        indices = np.arange(len(self.ids))[rows]
        decoded = {name: column[indices] for name, column in self.decoded.items()}
        return DecodedRows(tuple(self.ids[row] for row in indices), decoded)


@familiar.attributes
@dataclass(frozen=True, eq=False, repr=False)
class Predictions(Sequence[Prediction]):
    """Predictions for the inputs that can be read: row i of every field and `predictions[i]` belong to `ids[i]`.

    Rows are in the order of the inputs. An input that cannot be read has no row and is listed in `invalid` instead, so
    that row i is input i only if `invalid` is empty; otherwise `ids` tells which input a row belongs to.

    The record is also a sequence of single predictions: `len(predictions)`, `predictions[0].label`,
    `for prediction in predictions`, and slices, which are records of the same type without `invalid`. A field that a
    task does not predict is None.

    Attributes:
        probabilities: float32 [n, classes], in the order of `names`.
        labels: The predicted label of each example, a tuple of n strings: class or answer. For several labels per
            example, each entry is a tuple of names.
        values: For regression, float32 [n, columns] in the order of `names`.
        spans: For token classification and question answering, a tuple of n tuples of `Span`.
        ids: Id of the input of each row: a path, or "example 3" for the fourth one.
        invalid: The inputs that could not be read, with reasons.
        times: For windows of recordings, first and last second (exclusive) of each row, float64 [n, 2]; else None.
        names: Class or column names of the task.
        fields: All fields of the task by name, such as "probabilities"; tasks of your own can have others.
        task: The task of the model.
        batches: Decoded outputs, from which the fields are made.
        times_of: Id of a window → its first and last second.
    """

    task: Task
    batches: tuple[DecodedRows, ...]
    invalid: tuple[InvalidExample, ...] = ()
    times_of: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Id of the input of each row."""
        return tuple(chain.from_iterable(batch.ids for batch in self.batches))

    @cached_property
    def fields(self) -> dict[str, Any]:
        """Fields of the task by name: arrays [n, …], or tuples of n values."""
        if not self.batches:  # no input can be read: arrays without rows
            outputs = self.task.describe_outputs() if self.task.uses_pooling else {}
            return {name: np.zeros((0, len(names)), np.float32) for name, names in outputs.items()}
        parts = [self.task.fields(batch.decoded) for batch in self.batches]
        return {name: _joined([part[name] for part in parts]) for name in parts[0]}

    @property
    def probabilities(self) -> np.ndarray | None:
        """Probability of each class, float32 [n, classes] in the order of `names`; None if the task has none."""
        return self.fields.get("probabilities")

    @property
    def values(self) -> np.ndarray | None:
        """Predicted values of a regression, float32 [n, columns] in the order of `names`; else None."""
        return self.fields.get("values")

    @property
    def labels(self) -> tuple[Any, ...] | None:
        """Predicted label of each example: a string, or a tuple of names for several labels; None without labels."""
        return self.fields.get("labels") if self.batches else ()

    @property
    def spans(self) -> tuple[tuple[Span, ...], ...] | None:
        """Entities or answer of each text; None if the task predicts no spans."""
        return self.fields.get("spans") if self.batches else ()

    @property
    def times(self) -> np.ndarray | None:
        """First and last second (exclusive) of the window of each row, float64 [n, 2]; None without windows."""
        return np.array([self.times_of[name] for name in self.ids]).reshape(-1, 2) if self.times_of else None

    @property
    def names(self) -> tuple[str, ...]:
        """Class or column names, in the order of `probabilities` or `values`."""
        return self.task.labels.names

    def __len__(self) -> int:
        return len(self.ids)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        arrays = [name for name, values in self.fields.items() if isinstance(values, np.ndarray)]
        arrays = [f"predictions.{name}" for name in arrays or ("labels",)]
        raise InvalidType(
            f"predictions are not an array: use {' or '.join(arrays)}, and predictions.labels for the labels"
        )

    @overload
    def __getitem__(self, index: int) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> "Predictions": ...
    def __getitem__(self, index: int | slice) -> "Prediction | Predictions":
        if isinstance(index, slice):
            return replace(self, batches=tuple(self._take(range(len(self))[index])), invalid=())
        row = as_index(index)
        if not -len(self) <= row < len(self):
            raise IndexError(f"there is no prediction {row}: {self!r}")
        (batch,) = self._take([row % len(self)])
        return self.task.predictions(batch.decoded, batch.ids)[0]

    def __iter__(self) -> Iterator[Prediction]:
        for batch in self.batches:
            for start in range(0, len(batch.ids), _ROWS_AT_ONCE):
                part = batch.take(slice(start, start + _ROWS_AT_ONCE))
                yield from self.task.predictions(part.decoded, part.ids)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Predictions):
            return NotImplemented
        return (self.task, self.invalid, list(self)) == (other.task, other.invalid, list(other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        count = f"{len(self):,} prediction{'s' * (len(self) != 1)}"
        labels = Counter(map(str, self.labels or ())).most_common()
        shown = check.listing((f"{label[:30]} {times:,}" for label, times in labels), limit=6)
        invalid = f"; {len(self.invalid):,} invalid inputs" if self.invalid else ""
        return f"<{count}, {self.task.name}{': ' * bool(shown)}{shown}{invalid}>"

    def _repr_html_(self) -> str:
        shown = self[:10]
        rows = [(one.example_id, one.label, one.probability, display.shortened(one.scores)) for one in shown]
        columns = ("example", "label", "probability", "scores")
        tables = [display.Table(columns, rows), display.invalid_table(self.invalid)]
        return display.html(repr(self), tables)

    def _take(self, rows: Sequence[int]) -> Iterator[DecodedRows]:
        """Yield the decoded outputs of some rows, in the given order."""
        starts = np.cumsum([0, *(len(batch.ids) for batch in self.batches)])
        for batch, group in groupby(rows, lambda row: int(np.searchsorted(starts, row, side="right")) - 1):
            yield self.batches[batch].take([row - int(starts[batch]) for row in group])


def predictions_of(task: Task, batches: Sequence[DecodedRows], invalid: Sequence[InvalidExample]) -> Predictions:
    """Build the record; columns that have the same shape in all batches are joined, so that they are stored once.

    Args:
        task: Task of the model.
        batches: Decoded outputs in the order of the inputs.
        invalid: Inputs that could not be read.

    Returns:
        The predictions.
    """
    if len({_shapes(batch.decoded) for batch in batches}) == 1:
        columns = {name: np.concatenate([batch.decoded[name] for batch in batches]) for name in batches[0].decoded}
        batches = [DecodedRows(tuple(chain.from_iterable(batch.ids for batch in batches)), columns)]
    return Predictions(task, tuple(batches), tuple(invalid))


def _shapes(decoded: Mapping[str, np.ndarray]) -> tuple[Any, ...]:
    return tuple((name, column.shape[1:], column.dtype) for name, column in decoded.items())


def _joined(parts: list[Any]) -> Any:
    """Join the values of batches: arrays along axis 0, other sequences to a tuple."""
    if not isinstance(parts[0], np.ndarray) or parts[0].dtype == object:
        return tuple(chain.from_iterable(parts))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
