"""Targets: what examples are labelled with, and how the labels that files hold become them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tltk.foundation import checks as check
from tltk.foundation.registry import Registry
from tltk.specs import LabelSpec

Place = Callable[[int], str]


@dataclass(frozen=True, eq=False)
class Targets:
    """What examples are labelled with: one value an example, taken by number.

    Args:
        values: what is indexed: [n, …], an array, or anything with a length that takes an array of indices.

    Example:
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
        """Compare element by element, as arrays do: `source.targets == 1` chooses the examples of class 1."""
        return np.asarray(self.values) == (other.values if isinstance(other, Targets) else other)

    __hash__ = object.__hash__

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.values, dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the values."""
        return tuple(np.shape(self.values))

    @property
    def dtype(self) -> np.dtype:
        """Type of the values."""
        return np.asarray(self.values).dtype

    def tolist(self) -> list:
        """Return the values as a list."""
        return np.asarray(self.values).tolist()

    def take(self, indices: np.ndarray | Sequence[int]) -> "Targets":
        """Return the targets with these numbers, in that order."""
        return type(self)(self.values[np.asarray(indices, np.int64)])

    def batch(self, rows: np.ndarray) -> Any:
        """Return what a batch of these rows carries."""
        return self.values[rows]

    @property
    def element_spec(self) -> Any:
        """What `batch` returns, as a `tf.TensorSpec` (or a ragged one) with an open first axis."""
        import tensorflow as tf

        return tf.TensorSpec([None, *self.values.shape[1:]], tf.as_dtype(self.values.dtype))

    def counts(self, labels: LabelSpec) -> dict[str, int]:
        """Return how often each label occurs; empty where labels are not counted."""
        return {}

    def describe(self, labels: LabelSpec) -> str:
        """Say in a few words what the targets are."""
        return f"{labels.type}: {check.listing(labels.names)}"

    def strata(self) -> np.ndarray | None:
        """Return one class an example, int [n], by which a split keeps proportions; None to split at random."""
        return None


class ClassTargets(Targets):
    """One class an example: int32 [n], indices of the labels."""

    def counts(self, labels: LabelSpec) -> dict[str, int]:
        """Return the examples of each class."""
        found = np.bincount(self.values, minlength=len(labels))
        return {name: int(count) for name, count in zip(labels.names, found, strict=True)}

    def describe(self, labels: LabelSpec) -> str:
        """Say how many classes there are."""
        return f"{len(labels)} classes"

    def strata(self) -> np.ndarray:
        """Return the classes."""
        return self.values


class MultilabelTargets(Targets):
    """Any number of labels an example: float32 [n, labels] of 0 and 1."""

    def counts(self, labels: LabelSpec) -> dict[str, int]:
        """Return the examples that have each label."""
        return {name: int(count) for name, count in zip(labels.names, self.values.sum(0), strict=True)}

    def describe(self, labels: LabelSpec) -> str:
        """Say how many labels there are."""
        return f"any of {len(labels)} labels each"


class NumberTargets(Targets):
    """Numbers: float32 [n, columns]."""

    def describe(self, labels: LabelSpec) -> str:
        """Name the columns."""
        return f"{len(labels)} number{'s' if len(labels) > 1 else ''} each: {check.listing(labels.names)}"


class SpanTargets(Targets):
    """Any number of `Span` an example: object [n] of tuples. A task turns them into targets of tokens."""

    def counts(self, labels: LabelSpec) -> dict[str, int]:
        """Return the spans of each type."""
        marked = [span.label for spans in self.values for span in spans]
        return {name: marked.count(name) for name in labels.names}

    def describe(self, labels: LabelSpec) -> str:
        """Say how many types of entities there are."""
        return f"entities of {len(labels)} types"


class AnswerTargets(Targets):
    """The spans of a context that answer a question, none where there is no answer: object [n] of tuples."""

    def describe(self, labels: LabelSpec) -> str:
        """Say how many questions have no answer."""
        return f"{sum(not spans for spans in self.values)} of them without an answer"


class RaggedTargets(Targets):
    """Arrays whose first axis differs from example to example, such as boxes: object [n] of arrays [k, …].

    Args:
        values: object array of NumPy arrays of one dtype, alike but for their first axis.
    """

    @property
    def element_spec(self) -> Any:
        """Ragged [batch, (k), …]."""
        import tensorflow as tf

        inner = self.values[0]
        return tf.RaggedTensorSpec([None, None, *inner.shape[1:]], tf.as_dtype(inner.dtype), ragged_rank=1)

    def batch(self, rows: np.ndarray) -> Any:
        """Return a `tf.RaggedTensor`."""
        import tensorflow as tf

        chosen = [self.values[row] for row in rows]
        return tf.RaggedTensor.from_row_lengths(np.concatenate(chosen), [len(each) for each in chosen])


@dataclass(frozen=True, eq=False)
class LazyTargets(Targets):
    """Arrays that are read when their batch is, beside the image, such as masks in files.

    Args:
        values: object [n], what names each target, such as a path.
        read: one of `values` → array of `element_shape` and `element_dtype`; runs in the reading threads.
        element_shape: of each array.
        element_dtype: of each array, a NumPy name.
    """

    read: Callable[[Any], np.ndarray] = np.load
    element_shape: tuple[int, ...] = ()
    element_dtype: str = "uint8"

    def take(self, indices: np.ndarray | Sequence[int]) -> "LazyTargets":
        """Return the targets with these numbers, in that order; nothing is read."""
        chosen = self.values[np.asarray(indices, np.int64)]
        return LazyTargets(chosen, self.read, self.element_shape, self.element_dtype)

    @property
    def element_spec(self) -> Any:
        """[batch, *element_shape]."""
        import tensorflow as tf

        return tf.TensorSpec([None, *self.element_shape], tf.as_dtype(self.element_dtype))

    def batch(self, rows: np.ndarray) -> np.ndarray:
        """Read the targets of these rows."""
        return np.stack([self.read(self.values[row]) for row in rows]).astype(self.element_dtype)


TARGETS: Registry[type[Targets]] = Registry("type of labels", "tltk.data.targets.register_targets(…)")


def register_targets(label_type: str, targets: type[Targets]) -> None:
    """Say which class holds the targets of a type of labels of your own.

    Args:
        label_type: `LabelSpec.type`.
        targets: a subclass of `Targets`.

    Raises:
        ValueError: if the type is taken by another class.
    """
    TARGETS.register(label_type, targets)


for _type, _class in (
    ("categorical", ClassTargets),
    ("multilabel", MultilabelTargets),
    ("regression", NumberTargets),
    ("entities", SpanTargets),
    ("answers", AnswerTargets),
):
    register_targets(_type, _class)


def as_targets(values: Any, labels: LabelSpec) -> Targets:
    """Return targets as an object: themselves, or an array as the class of its type of labels.

    Raises:
        ValueError: for a type of labels that nobody has registered.
    """
    return values if isinstance(values, Targets) else TARGETS.get(labels.type)(values)


def categorical(
    values: Sequence[str], *, names: Sequence[str] | None = None, place: Place
) -> tuple[np.ndarray, LabelSpec]:
    """Turn one class name for each example into indices.

    Args:
        values: class names, one an example.
        names: the classes in the order of the model's outputs; None means those that occur, sorted.
        place: example number → where it stands, for errors.

    Returns:
        int32 [n] and the labels.

    Raises:
        ValueError: naming every value that `names` does not hold, or if there is only one class.
    """
    known = tuple(names) if names is not None else tuple(sorted(set(values)))
    _only_known(enumerate(values), known, place)
    if len(known) < 2:
        raise ValueError(f"at least two classes are needed to tell them apart. Received: {check.listing(known)}")
    index = {name: number for number, name in enumerate(known)}
    return np.array([index[value] for value in values], np.int32), LabelSpec(known, "categorical")


def multilabel(
    values: Sequence[Sequence[str]], *, names: Sequence[str] | None = None, place: Place
) -> tuple[np.ndarray, LabelSpec]:
    """Turn any number of class names for each example into 0/1 vectors.

    Args:
        values: class names of each example; none is allowed.
        names: the classes in the order of the model's outputs; None means those that occur, sorted.
        place: example number → where it stands, for errors.

    Returns:
        float32 [n, classes] and the labels.

    Raises:
        ValueError: naming every value that `names` does not hold, or if there is none at all.
    """
    known = tuple(names) if names is not None else tuple(sorted({name for held in values for name in held}))
    if not known:
        raise ValueError("no example has a label")
    _only_known(((row, name) for row, held in enumerate(values) for name in held), known, place)
    index = {name: number for number, name in enumerate(known)}
    targets = np.zeros((len(values), len(known)), np.float32)
    for row, held in enumerate(values):
        targets[row, [index[name] for name in held]] = 1.0
    return targets, LabelSpec(known, "multilabel")


def numbers(
    values: Sequence[Sequence[Any]] | np.ndarray, *, names: Sequence[str], place: Place
) -> tuple[np.ndarray, LabelSpec]:
    """Turn numbers, or text that holds them, into vectors; their mean and deviation go into the labels.

    Args:
        values: for each example, one value a column.
        names: of the columns.
        place: example number → where it stands, for errors.

    Returns:
        float32 [n, columns] and the labels.

    Raises:
        ValueError: naming every value that is no finite number.
    """
    problems = check.Problems()
    targets = np.zeros((len(values), len(names)), np.float64)
    for row, held in enumerate(values):
        for column, value in enumerate(held):
            targets[row, column] = number(value)
            if not np.isfinite(targets[row, column]):
                problems.add(f"{place(row)}: `{names[column]}` must be a finite number. Received: {value!r}")
    problems.raise_if_any()
    std = targets.std(0)
    moments = {"mean": targets.mean(0), "std": np.where(std > 0, std, 1.0)}
    plain = {name: tuple(float(value) for value in moment) for name, moment in moments.items()}
    return targets.astype(np.float32), LabelSpec(tuple(names), "regression", **plain)


def number(value: Any) -> float:
    """Return what a number, or text that holds one, says; NaN if it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _only_known(values: Any, known: tuple[str, ...], place: Place) -> None:
    allowed = set(known)
    problems = check.Problems()
    for row, value in values:
        if value not in allowed:
            hint = check.did_you_mean(value, known)
            problems.add(f"{place(row)}: {value!r} is none of the {len(known)} classes.{hint}")
    problems.raise_if_any(f"classes: {check.listing(known)}" if problems.found else "")
