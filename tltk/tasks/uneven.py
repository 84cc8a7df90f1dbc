"""The part of the task protocol that `tltk.fit(balance=…)` uses: counts of classes, and a loss for uneven classes."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import keras
import numpy as np

from tltk.foundation.errors import InvalidInput
from tltk.tasks.loss_terms import LossTerms

if TYPE_CHECKING:
    from tltk.data.targets import Targets
    from tltk.tasks.records import Monitor

WEIGHTS = ("inverse", "square_root", "effective_number")
SAMPLING = ("oversample", "undersample", "balanced_batches")
DECISIONS = ("prior", "thresholds", "factors", "costs")  # fields of a task that `fit(balance=…)` sets
LOSSES = ("focal", "label_smoothing", "logit_adjusted_loss")


@dataclass(frozen=True, eq=False)
class ClassCounts:
    """How often each class occurs in the training examples.

    Args:
        names: Names of the classes: of labels, of tags, or of the classes of pixels.
        counts: Number of examples, tags or pixels of each class, float64 [classes].
        total: Number of all of them; for several labels, of examples.
        is_exclusive: Whether an example has exactly one class; False for several labels.
    """

    names: tuple[str, ...]
    counts: np.ndarray
    total: float
    is_exclusive: bool = True


class UnevenClasses:
    """Base of `Task`: what `tltk.fit(balance=…)` asks of a task.

    Attributes:
        balance_methods: Class attribute: methods of `tltk.balance` that the task can be trained with.
        balance_options: Class attribute: which of "thresholds", "costs" and "calibrate" it has.
        why_unbalanced: Class attribute: why the other methods are impossible, a clause for an error message.
        exclusive_classes: Class attribute: whether each element has exactly one class.
    """

    balance_methods: ClassVar[tuple[str, ...]] = ()
    balance_options: ClassVar[tuple[str, ...]] = ()
    why_unbalanced: ClassVar[str] = "it has no classes"
    exclusive_classes: ClassVar[bool] = True

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes that are counted, in the order of the outputs; default: the labels."""
        task: Any = self
        return task.labels.names

    def class_rows(self, targets: "Targets") -> np.ndarray:
        """Return the targets of elements as rows of 0 and 1, float32 [elements, classes], for `class_counts`.

        Raises:
            InvalidInput: By default: the task has no classes.
        """
        task: Any = self
        raise InvalidInput(f"{task.name} has no classes to balance.")

    def class_counts(self, targets: "Targets") -> ClassCounts:
        """Count the classes of the training examples; default: from `class_rows`.

        Args:
            targets: Targets of the elements, from `element_targets`.
        """
        rows = self.class_rows(targets)
        return ClassCounts(self.class_names, rows.sum(0, dtype=np.float64), float(len(rows)), self.exclusive_classes)

    def balanced_loss(self, terms: LossTerms) -> keras.losses.Loss:
        """Return the loss with other terms.

        Raises:
            InvalidInput: By default: the task has no such loss.
        """
        task: Any = self
        raise InvalidInput(f"{task.name} has no loss for uneven classes.")

    def balanced_metrics(self) -> list[keras.metrics.Metric]:
        """Return metrics in addition, for a training on uneven classes; default: none."""
        return []

    def balanced_monitor(self) -> "Monitor":
        """Return the metric that decides between epochs of such a training; default: that of the task."""
        task: Any = self
        return task.monitor

    def epoch_monitor(self) -> "Monitor":
        """Return the metric that decides between epochs; default: `monitor`."""
        task: Any = self
        return task.monitor

    def with_decision(self, values: Mapping[str, Any]) -> Self:
        """Return the task with a prior, thresholds, factors or costs for decoding; those it lacks are left out.

        Args:
            values: Name of a field → value, a tuple or the list that a config holds.
        """
        record: Any = self
        names = {field.name for field in fields(record)} if is_dataclass(record) else set()
        own_values = {name: _as_tuples(value) for name, value in values.items() if name in names}
        return replace(record, **own_values) if own_values else self

    def without_decision(self) -> Self:
        """Return the task as it is before a training: without prior, thresholds, factors and costs."""
        return self.with_decision(dict.fromkeys(DECISIONS, ()))


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list | tuple) else value


def describe_decision(names: tuple[str, ...], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are not empty by class name, as JSON values.

    Examples:
        >>> describe_decision(("cat", "dog"), {"prior": (0.5, 0.5), "factors": ()})
        {'prior': {'cat': 0.5, 'dog': 0.5}}
    """
    return {key: dict(zip(names, value, strict=True)) for key, value in values.items() if value}
