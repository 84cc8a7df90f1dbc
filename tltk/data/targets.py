"""Targets of examples, and the conversion of labels in files and arrays to targets."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.foundation.registry import Registry
from tltk.specs import LabelSpec
from tltk.specs.labels import clean_name

RowId = Callable[[int], str]  # index of an example → its position in the input, such as "data.csv, row 3"


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of examples: one value per example.

    Args:
        values: [n, …], an array, or any object with a length that can be indexed with an array.

    Examples:
        >>> targets = Targets(np.array([[1.0], [2.0], [3.0]], "float32"))
        >>> targets.take([2, 0]).values.tolist(), targets.element_spec.shape.as_list()
        ([[3.0], [1.0]], [None, 1])
    """

    values: Any

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)

    def __getitem__(self, index: Any) -> Any:
        return self.values[index]

    def __eq__(self, other: object) -> Any:
        """Compare element by element, as arrays do: `source.targets == 1` selects the examples of class 1."""
        return np.asarray(self.values) == (other.values if isinstance(other, Targets) else other)

    def __ne__(self, other: object) -> Any:
        """Compare element by element, as `==` does."""
        return np.logical_not(self == other)

    __hash__ = object.__hash__

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.values, dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the values."""
        return tuple(np.shape(self.values))

    @property
    def dtype(self) -> np.dtype:
        """NumPy dtype of the values."""
        return np.asarray(self.values).dtype

    def tolist(self) -> list:
        """Return the values as a list."""
        return np.asarray(self.values).tolist()

    def take(self, indices: np.ndarray | Sequence[int]) -> "Targets":
        """Return the targets at these indices, in that order."""
        return type(self)(self.values[np.asarray(indices, np.int64)])

    def batch(self, rows: np.ndarray) -> Any:
        """Return the targets of a batch.

        Args:
            rows: Indices of its examples, int64 [b].
        """
        return self.values[rows]

    def read(self, rows: np.ndarray) -> tuple[Any, dict[int, str]]:
        """Return the targets of a batch that can be read, and those that cannot.

        Args:
            rows: Indices of its examples, int64 [b].

        Returns:
            What `batch` returns for the readable ones, in order; and index → reason for the others. Default: all can
            be read.
        """
        return self.batch(rows), {}

    @property
    def element_spec(self) -> Any:
        """Spec of what `batch` returns: a `tf.TensorSpec` or `tf.RaggedTensorSpec` with shape [None, …]."""
        import tensorflow as tf

        return tf.TensorSpec([None, *self.values.shape[1:]], tf.as_dtype(self.values.dtype))

    def label(self, index: int, labels: LabelSpec) -> Any:
        """Return the target of one example as people read it; default: its value."""
        return self.values[index]

    def cell(self, index: int, labels: LabelSpec) -> Any:
        """Return the target of one example for a table in a notebook; default: its label."""
        return self.label(index, labels)

    def counts(self, labels: LabelSpec) -> dict[str, int]:
        """Return the number of examples per label; empty if labels are not counted."""
        return {}

    def describe(self, labels: LabelSpec) -> str:
        """Describe the targets in a few words."""
        return f"{labels.type}: {check.listing(labels.names)}"

    def classes(self) -> np.ndarray | None:
        """Return the class of each example, indices of the labels, int [n]; None unless each has exactly one."""
        return None

    def strata(self) -> np.ndarray | None:
        """Return the stratum of each example, int [n], for stratified splits; None to split at random.

        Default: the classes, each of which then must have enough examples for all parts. Where an example can have
        several classes or none, any numbers will do: small strata are joined.
        """
        return self.classes()

    def tobytes(self) -> bytes:
        """Return bytes that differ whenever a target does: `fit` checks that it resumes on the same data."""
        array = np.asarray(self.values)
        return array.tobytes() if array.dtype != object else repr(array.tolist()).encode()

    def relabelled(self, labels: LabelSpec, new_labels: LabelSpec) -> "Targets":
        """Return the targets in terms of other labels, which include all names of `labels`; default: unchanged."""
        return self


class ClassTargets(Targets):
    """One class per example: int32 [n], indices of the labels."""

    def label(self, index: int, labels: LabelSpec) -> str:
        """Return the name of the class."""
        return labels.names[self.values[index]]

    def counts(self, labels: LabelSpec) -> dict[str, int]:
        """Return the number of examples per class."""
        counts = np.bincount(self.values, minlength=len(labels))
        return {name: int(count) for name, count in zip(labels.names, counts, strict=True)}

    def describe(self, labels: LabelSpec) -> str:
        """Return the number of classes."""
        return f"{len(labels)} classes"

    def classes(self) -> np.ndarray:
        """Return the classes."""
        return self.values

    def relabelled(self, labels: LabelSpec, new_labels: LabelSpec) -> "Targets":
        """Return the indices of the same names in `new_labels`."""
        return ClassTargets(np.array([new_labels.names.index(name) for name in labels.names], np.int32)[self.values])


class MultilabelTargets(Targets):
    """Any number of labels per example: float32 [n, labels] of 0 and 1."""

    def label(self, index: int, labels: LabelSpec) -> tuple[str, ...]:
        """Return the names of the labels."""
        return tuple(name for name, value in zip(labels.names, self.values[index], strict=True) if value)

    def counts(self, labels: LabelSpec) -> dict[str, int]:
        """Return the number of examples per label."""
        return {name: int(count) for name, count in zip(labels.names, self.values.sum(0), strict=True)}

    def relabelled(self, labels: LabelSpec, new_labels: LabelSpec) -> "Targets":
        """Return columns for all of `new_labels`; those that `labels` lacks are 0."""
        columns = np.zeros((len(self.values), len(new_labels)), np.float32)
        columns[:, [new_labels.names.index(name) for name in labels.names]] = self.values
        return MultilabelTargets(columns)

    def describe(self, labels: LabelSpec) -> str:
        """Return the number of labels."""
        return f"any of {len(labels)} labels per example"


class RegressionTargets(Targets):
    """Regression values: float32 [n, columns]."""

    def label(self, index: int, labels: LabelSpec) -> float | tuple[float, ...]:
        """Return the value, or one for each of several columns."""
        values = tuple(self.values[index].tolist())
        return values[0] if len(values) == 1 else values

    def describe(self, labels: LabelSpec) -> str:
        """Return the number of columns and their names."""
        return f"{len(labels)} value{'s' if len(labels) > 1 else ''} per example: {check.listing(labels.names)}"


class SpanTargets(Targets):
    """Any number of `Span` per example: object [n] of tuples. The task converts them to targets per token."""

    def counts(self, labels: LabelSpec) -> dict[str, int]:
        """Return the number of spans per type."""
        counts = Counter(span.label for spans in self.values for span in spans)
        return {name: counts[name] for name in labels.names}

    def describe(self, labels: LabelSpec) -> str:
        """Return the number of entity types."""
        return f"entities of {len(labels)} types"


class AnswerTargets(Targets):
    """The answers to each question as spans of its context, () for unanswerable questions: object [n] of tuples."""

    def describe(self, labels: LabelSpec) -> str:
        """Return the number of questions without an answer."""
        return f"{sum(not spans for spans in self.values)} of them without an answer"


class RaggedTargets(Targets):
    """Arrays whose first axis varies between examples, such as boxes: object [n] of arrays [k, …].

    Args:
        values: Object array of NumPy arrays with one dtype and equal shapes except for the first axis.
    """

    @property
    def element_spec(self) -> Any:
        """Spec of a ragged tensor [batch, (k), …]."""
        import tensorflow as tf

        first = self.values[0]
        return tf.RaggedTensorSpec([None, None, *first.shape[1:]], tf.as_dtype(first.dtype), ragged_rank=1)

    def batch(self, rows: np.ndarray) -> Any:
        """Return the targets of a batch as a `tf.RaggedTensor`."""
        import tensorflow as tf

        arrays = [self.values[row] for row in rows]
        return tf.RaggedTensor.from_row_lengths(np.concatenate(arrays), [len(array) for array in arrays])


@dataclass(frozen=True, eq=False)
class LazyTargets(Targets):
    """Arrays that are read together with their batch, such as masks in files.

    Args:
        values: Object [n], what `read_value` takes, such as a path.
        read_value: One of `values` → array of `element_shape` and `element_dtype`; called in the reading threads. It
            raises an OSError or ValueError for an unreadable value, whose example is left out and listed as invalid.
        element_shape: Shape of each array.
        element_dtype: NumPy name of the dtype of each array.
    """

    read_value: Callable[[Any], np.ndarray] = np.load
    element_shape: tuple[int, ...] = ()
    element_dtype: str = "uint8"

    def take(self, indices: np.ndarray | Sequence[int]) -> "LazyTargets":
        """Return the targets at these indices, in that order; nothing is read."""
        return LazyTargets(
            self.values[np.asarray(indices, np.int64)], self.read_value, self.element_shape, self.element_dtype
        )

    @property
    def element_spec(self) -> Any:
        """Spec of a tensor [batch, *element_shape]."""
        import tensorflow as tf

        return tf.TensorSpec([None, *self.element_shape], tf.as_dtype(self.element_dtype))

    def label(self, index: int, labels: LabelSpec) -> np.ndarray:
        """Read the target of one example."""
        return self.read_value(self.values[index])

    def batch(self, rows: np.ndarray) -> np.ndarray:
        """Read the targets of a batch.

        Raises:
            InvalidInput: Naming every target that cannot be read.
        """
        arrays, unreadable = self.read(rows)
        if unreadable:
            raise InvalidInput(f"targets cannot be read: {check.listing(unreadable.values())}")
        return arrays

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
        """Read the targets of a batch; missing or damaged ones, or ones of another shape, are named with the reason."""
        arrays, unreadable = [], {}
        for row in rows:
            try:
                arrays.append(self._read(self.values[row]))
            except (OSError, ValueError, EOFError) as error:
                unreadable[int(row)] = f"its target {self.values[row]} cannot be read: {error}"
        return np.array(arrays, self.element_dtype).reshape(-1, *self.element_shape), unreadable

    def _read(self, value: Any) -> np.ndarray:
        array = np.asarray(self.read_value(value))
        if array.shape != self.element_shape:
            raise InvalidInput(f"its shape is {array.shape}, not {self.element_shape}")
        return array


def as_objects(values: Sequence[Any]) -> np.ndarray:
    """Return values as an object array [n]."""
    array = np.empty(len(values), object)
    for row, value in enumerate(values):  # an assignment of all would look into arrays
        array[row] = value
    return array


TARGETS: Registry[type[Targets]] = Registry(
    "label type",
    "tltk.data.targets.register_targets(…)",
    builtins=("tltk.data.boxes", "tltk.data.masks"),
)


def register_targets(label_type: str, targets: type[Targets]) -> None:
    """Register the class that holds the targets of a label type.

    Args:
        label_type: Value of `LabelSpec.type`.
        targets: Subclass of `Targets`.

    Raises:
        InvalidInput: If another class is registered for this type.
    """
    TARGETS.register(label_type, targets)


for _label_type, _targets in (
    ("categorical", ClassTargets),
    ("multilabel", MultilabelTargets),
    ("regression", RegressionTargets),
    ("entities", SpanTargets),
    ("answers", AnswerTargets),
):
    register_targets(_label_type, _targets)


def as_targets(values: Any, labels: LabelSpec) -> Targets:
    """Wrap an array in the `Targets` class of its label type; a `Targets` object is returned unchanged.

    Raises:
        InvalidInput: If the label type is not registered.
    """
    return values if isinstance(values, Targets) else TARGETS.get(labels.type)(values)


def categorical(
    values: Sequence[str], *, names: Sequence[str] | None = None, row_id: RowId
) -> tuple[np.ndarray, LabelSpec]:
    """Convert one class name per example to an index.

    Args:
        values: Class name of each example.
        names: Classes in the order of the model's outputs; None means the ones that occur, sorted. A class "nan" must
            be named.
        row_id: Index of an example → its position in the input, for error messages.

    Returns:
        Class indices, int32 [n], and the labels.

    Raises:
        InvalidInput: If there is only one class, values are not in `names`, or without names a value is "nan"; all of
            them are listed.
    """
    values = [clean_name(value) for value in values]
    if names is None:
        _refuse_nan(values, row_id)
    class_names = tuple(map(clean_name, names)) if names is not None else tuple(sorted(set(values)))
    _check_names(enumerate(values), class_names, row_id)
    if len(class_names) < 2:
        raise InvalidInput(f"at least two classes are needed. Received: {check.listing(map(repr, class_names))}")
    index = {name: number for number, name in enumerate(class_names)}
    return np.array([index[value] for value in values], np.int32), LabelSpec(class_names, "categorical")


def multilabel(
    values: Sequence[Sequence[str]], *, names: Sequence[str] | None = None, row_id: RowId
) -> tuple[np.ndarray, LabelSpec]:
    """Convert any number of class names per example to vectors of 0 and 1.

    Args:
        values: Class names of each example; may be empty.
        names: Classes in the order of the model's outputs; None means the ones that occur, sorted.
        row_id: Index of an example → its position in the input, for error messages.

    Returns:
        0 or 1, float32 [n, classes], and the labels.

    Raises:
        InvalidInput: If there are no class names, or values are not in `names`; all of them are listed.
    """
    values = [[clean_name(name) for name in row_names] for row_names in values]
    problems = check.Problems()
    for row in (row for row, row_names in enumerate(values) if "" in row_names):
        problems.add(f"{row_id(row)} has an empty class name. Leave it out: an example may have no class")
    problems.raise_if_any()
    occurring = {name for row_names in values for name in row_names}
    class_names = tuple(map(clean_name, names)) if names is not None else tuple(sorted(occurring))
    if not class_names:
        raise InvalidInput("no example has a label.")
    _check_names(((row, name) for row, row_names in enumerate(values) for name in row_names), class_names, row_id)
    index = {name: number for number, name in enumerate(class_names)}
    targets = np.zeros((len(values), len(class_names)), np.float32)
    for row, row_names in enumerate(values):
        targets[row, [index[name] for name in row_names]] = 1.0
    return targets, LabelSpec(class_names, "multilabel")


def regression(
    values: Sequence[Sequence[Any]] | np.ndarray, *, names: Sequence[str], row_id: RowId
) -> tuple[np.ndarray, LabelSpec]:
    """Convert numbers, or strings of numbers, to vectors.

    Args:
        values: For each example, one value per column.
        names: Names of the columns.
        row_id: Index of an example → its position in the input, for error messages.

    Returns:
        Values, float32 [n, columns], and the labels, which include mean and standard deviation of each column.

    Raises:
        InvalidInput: If values are not finite numbers; all of them are listed.
    """
    problems = check.Problems()
    targets = np.zeros((len(values), len(names)), np.float64)
    for row, row_values in enumerate(values):
        for column, value in enumerate(row_values):
            targets[row, column] = as_float(value)
            if not np.isfinite(targets[row, column]):
                problems.add(f"{row_id(row)}: `{names[column]}` must be a finite number. Received: {value!r}")
    problems.raise_if_any()
    std = targets.std(0)
    mean, std = targets.mean(0).tolist(), np.where(std > 0, std, 1.0).tolist()
    return targets.astype(np.float32), LabelSpec(tuple(names), "regression", tuple(mean), tuple(std))


def as_float(value: Any) -> float:
    """Convert a number or a string to a float; NaN if it is not a number."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def _refuse_nan(values: Sequence[str], row_id: RowId) -> None:
    """Raise if values are "nan", which NumPy makes of NaN in an array of strings."""
    rows = [row_id(row) for row, value in enumerate(values) if value == "nan"]
    if rows:
        verb = "is" if len(rows) == 1 else "are"
        raise InvalidInput(
            f"{check.listing(rows)} {verb} 'nan', the text of a missing value. Leave these examples out, or pass "
            "`labels` if a class has this name."
        )


def _check_names(values: Iterable[tuple[int, str]], class_names: tuple[str, ...], row_id: RowId) -> None:
    allowed = set(class_names)
    problems = check.Problems()
    for row, value in values:
        if value not in allowed:
            hint = check.did_you_mean(value, class_names)
            problems.add(f"{row_id(row)}: {value!r} is not one of the {len(class_names)} classes.{hint}")
    problems.raise_if_any(f"classes: {check.listing(class_names)}" if problems.messages else "")
