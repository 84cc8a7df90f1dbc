"""The base class of every task, and the records that tasks exchange with the rest of tltk."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, Self, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from tltk.backbones.base import Backbone
from tltk.data.targets import Targets
from tltk.foundation import checks as check
from tltk.heads.builder import Head
from tltk.modalities.context import Context
from tltk.pipeline.readers import Reader, element_targets
from tltk.specs import LabelSpec, Span

EXACT = 1e-3  # tolerances above this are those of 16 bits
Outputs: TypeAlias = keras.KerasTensor | dict[str, keras.KerasTensor]


class Monitor(NamedTuple):
    """The metric that decides between two epochs.

    Args:
        metric: name of one of the task's metrics, or "loss".
        mode: "max" if larger is better, "min" if smaller is.
    """

    metric: str
    mode: str


@dataclass(frozen=True)
class Prediction:
    """A model's answer to one example.

    Args:
        example_id: path or row of the example.
        label: the most likely class; for several labels, those above the threshold joined by ", "; for numbers, the
            numbers; for texts, the entities or the answer.
        probability: of `label` where there is one, else None.
        scores: label or column name → probability or value, most likely class first; for answers, text → probability.
        spans: the entities of a text in its order, or the answer; each with its probability.
    """

    example_id: str
    label: str
    probability: float | None
    scores: dict[str, float]
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True)
class ReportParts:
    """What an evaluator found; `tltk.evaluate` makes a `Report` of it.

    Args:
        metrics: name → number.
        classes: one row a class or column: "name" and its own numbers.
        classes_title: what the rows of `classes` are, as a heading.
        confusion: int64 [true class, predicted class], or None.
        calibration: rows of (mean confidence, accuracy, number of examples), one a bin that is not empty.
        mistakes: the most confident wrong answers, a row each.
    """

    metrics: dict[str, float]
    classes: tuple[dict[str, Any], ...] = ()
    classes_title: str = "Classes"
    confusion: np.ndarray | None = None
    calibration: tuple[tuple[float, float, int], ...] = ()
    mistakes: tuple[dict[str, Any], ...] = ()


class Evaluator(Protocol):
    """Measures answers a few at a time, so that a test set need not fit in memory."""

    def update(self, targets: Any, decoded: Mapping[str, np.ndarray], ids: Sequence[str]) -> None:
        """Count some examples.

        Args:
            targets: raw targets [n, …] as the source has them, after `Task.references`.
            decoded: what `Task.decode` returned for them: column → [n, …], strings as `str`.
            ids: name of each example.
        """

    def result(self) -> ReportParts:
        """Return the report of all examples so far."""


class Task(ABC):
    """All that depends on what is asked of a model: targets, head, loss, metrics, decoding, report.

    Derive a frozen dataclass from it, whose fields are what `to_config` stores, and register it with
    `tltk.register_task`. Only `outputs` and `loss` must be written; what else is written replaces a default.

    Args:
        name: class attribute, unique among all tasks, used in the files of a run.
        labels: what the targets mean.
        head: what stands between features and outputs, for tasks that use `tltk.head`; else None.
        monitor: class attribute, the metric that decides between two epochs; default: the loss.
        score_name: class attribute, the one metric of a report that comparisons show.
        constant_columns: class attribute, decoded columns that are the same for every example, such as class names: an
            export returns them, `tltk.predict` does not compute them.
        class_targets: class attribute, whether `encode` gives 0/1 classes [batch, classes], so that a phase may be
            trained with a contrastive loss.
        pools: class attribute, whether the head reduces each element to one vector; a batch norm in it then needs
            batches of at least two, see `normalizes_batches`.
    """

    name: ClassVar[str]
    labels: LabelSpec
    head: Head | None = None
    monitor: ClassVar[Monitor] = Monitor("loss", "min")
    score_name: ClassVar[str] = "loss"
    constant_columns: ClassVar[tuple[str, ...]] = ()
    class_targets: ClassVar[bool] = False
    pools: ClassVar[bool] = True

    @property
    def normalizes_batches(self) -> bool:
        """Whether an element alone in its batch would come out as zeros, since the head has a batch norm."""
        return self.pools and self.head is not None and self.head.normalization == "batch"

    def input_spec(self, spec: Any) -> Any:
        """Return the input format this task needs from a backbone: pairs of texts, windows; default: as it is."""
        return spec

    def endpoints(self, backbone: Backbone) -> tuple[str, ...]:
        """Return the names of the stages whose features the head takes; default: the last one."""
        return (backbone.stages[-1].name,)

    @abstractmethod
    def outputs(
        self, features: dict[str, keras.KerasTensor], *, mask: keras.KerasTensor | None = None, seed: int = 0
    ) -> Outputs:
        """Build the head.

        Args:
            features: stage → float [batch, height, width, channels] or [batch, tokens, channels], in the order of
                `endpoints`.
            mask: bool [batch, tokens], False for padding; None where nothing is padded.
            seed: of initial weights and dropout.

        Returns:
            One output or a dict of named outputs, batch first, activation included.
        """

    def element_targets(self, targets: Targets | None, reader: Reader) -> Targets | None:
        """Return the targets of each element, once for a source.

        Args:
            targets: of the examples, as the source has them; None if it is unlabelled.
            reader: of the elements; that of texts holds their tokens.

        Returns:
            One target for each element; default: the one of its example.
        """
        return element_targets(targets, reader)

    def encode(self, targets: Any) -> Any:
        """Turn a batch of targets into what the loss takes, in the graph; default: unchanged."""
        return targets

    @abstractmethod
    def loss(self) -> keras.losses.Loss | dict[str, keras.losses.Loss]:
        """Return the loss, or one for each named output."""

    def metrics(self) -> Any:
        """Return the Keras metrics of training, a list or, for named outputs, a dict; default: none."""
        return []

    def decode(self, outputs: Any, context: Context) -> dict[str, tf.Tensor]:
        """Turn outputs of the network into answers, in the graph: `tltk.predict` and exports both run this.

        Args:
            outputs: what `outputs` built, one row an element; a dict if it is one.
            context: which example each element belongs to, and what the modality knows about it.

        Returns:
            Column → [count, …], one row an example. Default: the outputs, averaged over the windows of a text.
        """
        return {name: context.average(values) for name, values in self.named_outputs(outputs).items()}

    def decode_elements(self, outputs: Any) -> dict[str, tf.Tensor]:
        """Decode outputs without a context, every element as one example: for exports that take tensors."""
        first = next(iter(self.named_outputs(outputs).values()))
        return self.decode(outputs, Context(tf.shape(first, tf.int64)[0]))

    def named_outputs(self, outputs: Any) -> dict[str, tf.Tensor]:
        """Return outputs under the names of `describe_outputs`."""
        return dict(outputs) if isinstance(outputs, dict) else {next(iter(self.describe_outputs())): outputs}

    def describe_outputs(self) -> dict[str, tuple[str, ...]]:
        """Return the name of each output of the network → the names along its last axis; default: the labels."""
        return {"outputs": self.labels.names}

    def request_names(self, default: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names of the strings an export takes; default: those of the modality, such as ("texts",)."""
        return default

    def predictions(self, decoded: Mapping[str, np.ndarray], ids: Sequence[str]) -> list[Prediction]:
        """Turn decoded columns into one record an example.

        Args:
            decoded: column → [n, …]; strings as `str`.
            ids: name of each example.

        Returns:
            Predictions in the same order. Default: `label` and `probability` from the columns of these names, `scores`
            from the columns of `describe_outputs`.
        """
        named = [(column, names) for column, names in self.describe_outputs().items() if column in decoded]
        scores = [
            {name: float(value) for column, names in named for name, value in _zip(names, decoded[column][row])}
            for row in range(len(ids))
        ]
        labels = decoded.get("label", [""] * len(ids))
        probabilities = decoded.get("probability", [None] * len(ids))
        rows = zip(ids, labels, probabilities, scores, strict=True)
        return [
            Prediction(example_id, str(label), None if probability is None else float(probability), values)
            for example_id, label, probability, values in rows
        ]

    def references(self, targets: Any, examples: Any) -> Any:
        """Return what the evaluator compares answers with; default: the targets.

        Args:
            targets: raw targets of some examples.
            examples: the same examples as the source has them: texts, pairs of texts, paths; None for a
                `tf.data.Dataset`.
        """
        return targets

    def evaluator(self) -> Evaluator:
        """Return a new evaluator; default: one that reports the mean loss of the outputs."""
        return MeanLoss(self)

    def agrees(self, answer: Mapping[str, Any], other: Mapping[str, Any], tolerance: float) -> str:
        """Compare two decoded answers to one example, column by column.

        Args:
            answer: column → value or array.
            other: likewise; further columns are ignored.
            tolerance: largest difference of numbers, for numbers above 1 as a fraction of them.

        Returns:
            What differs; "" if nothing does. Default: numbers within the tolerance, anything else equal.
        """
        differences = (difference(name, answer[name], other.get(name), tolerance) for name in answer)
        return next((found for found in differences if found), "")

    def check_labels(self, labels: LabelSpec, name: str) -> None:
        """Raise unless labels mean what the outputs of this task mean.

        Args:
            labels: of a source.
            name: argument the source came in, for the error.

        Raises:
            ValueError: for another type, or other names, listing those that differ.
        """
        if labels.type != self.labels.type:
            raise ValueError(f"`{name}` has labels of type {labels.type!r}, the model's task has {self.labels.type!r}.")
        if labels.names == self.labels.names:
            return
        unknown = [label for label in labels.names if label not in self.labels.names]
        missing = [label for label in self.labels.names if label not in labels.names]
        problems = check.Problems()
        if unknown:
            problems.add(f"`{name}` has labels that the model does not know: {check.listing(unknown)}")
        if missing:
            problems.add(f"`{name}` lacks labels that the model knows: {check.listing(missing)}")
        if not problems.found:
            problems.add(f"`{name}` has the model's labels in another order: {check.listing(labels.names)}")
        problems.raise_if_any(f"`{name}` and the model have different labels:")

    def to_config(self) -> dict[str, Any]:
        """Return the name and the fields as JSON values, which `tltk.tasks.from_config` takes back."""
        record: Any = self
        return {"name": self.name, **asdict(record)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build the task from what `to_config` returned; lists become tuples.

        Raises:
            TypeError: for a field the task does not have.
        """
        fields = {name: _as_tuples(value) for name, value in config.items() if name != "name"}
        if "labels" in fields:
            fields["labels"] = LabelSpec(**fields["labels"])
        if fields.get("head") is not None:
            fields["head"] = Head(**fields["head"])
        return cls(**fields)


class MeanLoss:
    """Evaluator of a task without one of its own: the mean of its loss over examples."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.total, self.count = 0.0, 0

    def update(self, targets: Any, decoded: Mapping[str, np.ndarray], ids: Sequence[str]) -> None:
        """Add the loss of some examples.

        Raises:
            ValueError: if `decode` does not return the outputs, so that the task needs an evaluator of its own.
        """
        names = tuple(self.task.describe_outputs())
        missing = [name for name in names if name not in decoded]
        if missing:
            raise ValueError(
                f"task {self.task.name!r} decodes no column {missing[0]!r}, from which its loss could be computed: "
                f"write {type(self.task).__name__}.evaluator()."
            )
        losses, encoded = self.task.loss(), self.task.encode(targets)
        if isinstance(losses, dict):
            loss = sum(float(each(encoded[name], decoded[name])) for name, each in losses.items())
        else:
            loss = float(losses(encoded, decoded[names[0]]))
        self.total, self.count = self.total + loss * len(ids), self.count + len(ids)

    def result(self) -> ReportParts:
        """Return the mean loss."""
        return ReportParts({"loss": self.total / max(self.count, 1)})


def difference(name: str, value: Any, other: Any, tolerance: float) -> str:
    """Say how two values of a column differ, "" if they agree.

    Example:
        >>> difference("probability", 0.5, 0.25, 1e-5)
        '`probability` differs by 2.5e-01'
    """
    if other is None:
        return f"`{name}` is missing"
    one, two = np.asarray(value), np.asarray(other)
    if one.shape != two.shape:
        return f"`{name}` has shape {one.shape} and {two.shape}"
    if one.dtype.kind != "f":
        return "" if np.array_equal(one, two) else f"`{name}`: {value!r} is not {other!r}"
    apart = float((np.abs(one - two) / np.maximum(1.0, np.abs(two))).max(initial=0.0))
    return "" if apart <= tolerance else f"`{name}` differs by {apart:.1e}"


def last_features(features: dict[str, keras.KerasTensor]) -> keras.KerasTensor:
    """Return the features of the last endpoint: all that a head without a decoder takes."""
    return list(features.values())[-1]


def repeated(names: Sequence[str], rows: tf.Tensor) -> tf.Tensor:
    """Repeat names for every row of a tensor: TensorFlow Serving takes a batch apart.

    Args:
        names: k strings.
        rows: [n, …].

    Returns:
        Strings [n, k].
    """
    return tf.tile(tf.constant([list(names)]), [tf.shape(rows)[0], 1])


def label_spec(labels: LabelSpec | Sequence[str], label_type: str) -> LabelSpec:
    """Return a LabelSpec as it is, and make one of a list of names.

    Raises:
        TypeError: if it is neither.
    """
    if isinstance(labels, LabelSpec):
        return labels
    if isinstance(labels, list | tuple) and all(isinstance(name, str) for name in labels):
        return LabelSpec(tuple(labels), label_type)
    check.kind_of("labels", labels, LabelSpec, hint="Pass `source.labels` or a list of names.")
    return labels  # type: ignore[return-value]


def _zip(names: tuple[str, ...], values: np.ndarray) -> zip:
    return zip(names, np.ravel(values).tolist(), strict=False)


def _as_tuples(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(map(_as_tuples, value))
    return {name: _as_tuples(item) for name, item in value.items()} if isinstance(value, dict) else value
