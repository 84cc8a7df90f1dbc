"""The base class of every task."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar, Self, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from tltk.backbones.base import Backbone
from tltk.data.targets import Targets
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.heads.builder import Head
from tltk.modalities.context import Context
from tltk.modalities.modality import modality_of
from tltk.pipeline.readers import Reader, element_targets
from tltk.specs import LabelSpec
from tltk.tasks.adopted_outputs import check_outputs
from tltk.tasks.aligned import AlignedLoss, AlignedMetric
from tltk.tasks.answers import changed_answers
from tltk.tasks.objective import NO_OBJECTIVE, ExampleBatch, Objective
from tltk.tasks.records import Evaluator, Monitor, Prediction, ReportParts
from tltk.tasks.uneven import UnevenClasses

EXACT = 1e-3  # larger tolerances are those of 16-bit exports
Outputs: TypeAlias = keras.KerasTensor | dict[str, keras.KerasTensor]


class Task(UnevenClasses, ABC):
    """Base class of tasks: targets, head, loss, metrics, decoding and report.

    Subclass it as a frozen dataclass, whose fields are what `to_config` stores, and register it with
    `tltk.register_task`. Only `outputs` and `loss` are required; every other method has a default.

    Attributes:
        name: Class attribute: unique name, used in the files of a run.
        labels: Type and names of the labels.
        head: Layers between features and outputs, for tasks that use `tltk.head`; else None.
        monitor: Class attribute: the metric that decides which epoch is best; default: the loss.
        score_name: Class attribute: the one metric of a report that comparisons show.
        constant_columns: Class attribute: decoded columns that are the same for every example, such as class names. An
            export returns them; `tltk.predict` does not compute them.
        export_columns: Class attribute: decoded columns that only exports return, such as a map encoded as PNG.
        class_targets: Class attribute: whether `encode` returns 0/1 targets [batch, classes], as a contrastive loss
            needs.
        probe_kind: Class attribute: what a linear probe of this task is: "categorical", "multilabel" or "regression"
            (see `tltk.probes.fit.fit_probe`); "" if its outputs are not those of one linear layer.
        objective: Loss and metrics of the user's own, which built-in tasks take; a field of the dataclass.
        align: Class attribute: brings targets and outputs into one shape for such a loss or metric; None if they
            already have.
        uses_pooling: Class attribute: whether the head reduces each element to one vector; a batch norm in the head
            then needs batches of at least two, see `normalizes_batches`.
    """

    name: ClassVar[str]
    labels: LabelSpec
    head: Head | None = None
    monitor: ClassVar[Monitor] = Monitor("loss", "min")
    score_name: ClassVar[str] = "loss"
    constant_columns: ClassVar[tuple[str, ...]] = ()
    export_columns: ClassVar[tuple[str, ...]] = ()
    class_targets: ClassVar[bool] = False
    probe_kind: ClassVar[str] = ""
    uses_pooling: ClassVar[bool] = True
    objective: Objective = NO_OBJECTIVE
    align: ClassVar[Any] = None

    @property
    def normalizes_batches(self) -> bool:
        """Whether the head has a batch norm over elements, which outputs zeros for a batch of one element."""
        return self.uses_pooling and self.head is not None and self.head.normalization == "batch"

    def input_spec(self, spec: Any) -> Any:
        """Adapt the input format of a backbone to this task, such as to pairs of texts or windows; default: as is."""
        return spec

    def for_input(self, spec: Any) -> Self:
        """Return the task for a model with this input format, which targets of positions depend on; default: as is.

        Args:
            spec: What `input_spec` returned.
        """
        return self

    def default_augmentation(self, spec: Any) -> tuple[Any, ...]:
        """Return the augmentations of phases that leave them open; default: those of the modality.

        Args:
            spec: Input format of the model.
        """
        return modality_of(spec).default_augmentation()

    def for_backbone(self, backbone: Backbone) -> Self:
        """Return the task for a backbone, which may bring parts of its head, such as a feature pyramid; default: as is.

        Args:
            backbone: Backbone of the model.
        """
        return self

    def endpoints(self, backbone: Backbone) -> tuple[str, ...]:
        """Return the names of the stages whose features the head uses; default: the last one."""
        return (backbone.stages[-1].name,)

    def initialize(self, head: Sequence[keras.layers.Layer], targets: Targets | None) -> None:
        """Set initial weights that depend on the training examples; default: none.

        `fit` calls it once, before a training that is not resumed. The model may have been trained before.

        Args:
            head: The layers that tltk added to the backbone, changed in place; none for an adopted model.
            targets: Targets of the training examples; None for a user's `tf.data.Dataset`.
        """
        return

    @abstractmethod
    def outputs(
        self, features: dict[str, keras.KerasTensor], *, mask: keras.KerasTensor | None = None, seed: int = 0
    ) -> Outputs:
        """Build the head.

        Args:
            features: Stage → float [batch, height, width, channels] or [batch, tokens, channels], in the order of
                `endpoints`.
            mask: bool [batch, tokens], False for padding; None if inputs are never padded.
            seed: Seed of initial weights and dropout; `fit` sets that of dropout anew.

        Returns:
            One output or a dict of named outputs, batch axis first, activation included.
        """

    def adopt_outputs(self, outputs: Any, *, from_logits: bool | None = None) -> Any:
        """Check the outputs of a user's own model for `tltk.adopt`, and turn them into those of this task.

        Args:
            outputs: Output of the model, or a dict of named outputs.
            from_logits: Whether outputs are logits where this task has probabilities; None if unknown.

        Returns:
            What `outputs` builds. Default: the same outputs, if their names and numbers of values are those in
            `describe_outputs`.

        Raises:
            InvalidInput: If the outputs do not fit the task.
        """
        if from_logits is not None:
            raise InvalidInput(f"`from_logits` has no meaning for {self.name}. Received: {from_logits!r}")
        check_outputs(outputs, self.describe_outputs(), rank=2 if self.uses_pooling else None)
        return outputs

    def element_targets(self, targets: Targets | None, reader: Reader) -> Targets | None:
        """Return the targets of each element, computed once for a source.

        Args:
            targets: Targets of the examples of a source; None if it is unlabelled.
            reader: Reader of the elements; a reader of texts holds their tokens.

        Returns:
            One target for each element; default: the target of its example.
        """
        return element_targets(targets, reader)

    def target_problem(self, targets: Any) -> str:
        """Say what is wrong with the targets of a batch of a user's `tf.data.Dataset`, which may hold anything.

        Args:
            targets: Raw targets [batch, …] as NumPy arrays; strings as bytes.

        Returns:
            A message with the first wrong value and what is expected, "" if nothing is wrong; default: "".
        """
        return ""

    def read_targets(self, targets: Any) -> Any:
        """Convert targets of a user's dataset to those of a source, in the graph; default: unchanged."""
        return targets

    def encode(self, targets: Any) -> Any:
        """Encode a batch of targets for the loss, in the graph; default: unchanged."""
        return targets

    def probe_targets(self, targets: np.ndarray) -> np.ndarray:
        """Return the targets of the last linear layer, float32 [n, outputs]; default: encoded targets as they are.

        Args:
            targets: What `encode` returned, as an array.
        """
        return targets

    def class_weights(self, class_weight: Any, targets: Targets | None) -> np.ndarray:
        """Return the weight of each class in the training loss.

        Args:
            class_weight: As `tltk.fit` received it.
            targets: Targets of the training examples; None for a user's `tf.data.Dataset`.

        Returns:
            float32 [classes]; `encode` must return rows of probabilities, [batch, classes].

        Raises:
            InvalidInput: By default: a task without classes has no class weights.
        """
        raise InvalidInput(
            f"`class_weight` is for tasks with one class per example, such as tltk.classification(labels). {self.name} "
            "has none."
        )

    @abstractmethod
    def loss(self) -> keras.losses.Loss | dict[str, keras.losses.Loss]:
        """Return the loss, or a dict with one for each named output."""

    def metrics(self) -> Any:
        """Return the Keras metrics of training: a list or, for named outputs, a dict; default: no metrics."""
        return []

    def example_batch(self) -> ExampleBatch:
        """Return a small batch on which a loss and metrics of the user's own are tried.

        Raises:
            InvalidInput: By default: a task that takes them must define it.
        """
        raise InvalidInput(f"task {self.name!r} takes no `loss` and `metrics`: define {type(self).__name__}.loss.")

    def training_loss(self) -> Any:
        """Return the loss that a model is trained with: that of the user, or `loss()`."""
        loss = self.objective.new_loss()
        if loss is None:
            return self.loss()
        return loss if self.align is None else AlignedLoss(loss, self.align)

    def training_metrics(self) -> Any:
        """Return new metrics of training: `metrics()` and those of the user."""
        return [*self.metrics(), *self.own_metrics()] if self.objective.metrics else self.metrics()

    def own_metrics(self) -> list[keras.metrics.Metric]:
        """Return new metrics of the user's own, which take targets and outputs of this task."""
        metrics = self.objective.new_metrics()
        return metrics if self.align is None else [AlignedMetric(metric, self.align) for metric in metrics]

    def decode(self, outputs: Any, context: Context) -> dict[str, tf.Tensor]:
        """Turn outputs of the network into predictions, in the graph: `tltk.predict` and exports both run this.

        Args:
            outputs: Outputs built by `outputs`, one row per element; a dict if they are named.
            context: Which example each element belongs to, and what the modality knows about it.

        Returns:
            Column → [count, …], one row per example. Default: the outputs, averaged over the windows of a text.
        """
        return {name: context.average(values) for name, values in self.named_outputs(outputs).items()}

    def decode_elements(self, outputs: Any) -> dict[str, tf.Tensor]:
        """Decode outputs without a context, each element as one example: for exports that take tensors."""
        first = next(iter(self.named_outputs(outputs).values()))
        return self.decode(outputs, Context(tf.shape(first, tf.int64)[0]))

    def named_outputs(self, outputs: Any) -> dict[str, tf.Tensor]:
        """Return outputs as a dict, under the names in `describe_outputs`."""
        return dict(outputs) if isinstance(outputs, dict) else {next(iter(self.describe_outputs())): outputs}

    def describe_outputs(self) -> dict[str, tuple[str, ...]]:
        """Map the name of each output of the network to the names along its last axis; default: the labels."""
        return {"outputs": self.labels.names}

    def describe_decoding(self) -> dict[str, Any]:
        """Return what a client needs to decode the outputs of a network without tltk, as JSON values; default: {}.

        Exports that hold only the network, such as ONNX files, have it in `model.json`.
        """
        return {}

    def request_names(self, default: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names of an export's string inputs; default: those of the modality, such as ("texts",)."""
        return default

    def predictions(self, decoded: Mapping[str, np.ndarray], ids: Sequence[str]) -> list[Prediction]:
        """Turn decoded columns into one record per example.

        Args:
            decoded: Column → [n, …]; strings as `str`.
            ids: Id of each example.

        Returns:
            Predictions in the same order. Default: `label` and `probability` from the columns of these names, `scores`
            from the columns in `describe_outputs`.
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

    def fields(self, decoded: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Return the fields that `tltk.Predictions` has for some examples.

        Args:
            decoded: Column → [n, …]; strings as `str`.

        Returns:
            Name → array [n, …] or sequence of n values. "probabilities", "values", "labels" and "spans" are also
            attributes of `tltk.Predictions`. Default: the columns in `describe_outputs`, and "labels" from the column
            "label".
        """
        arrays = {name: decoded[name] for name in self.describe_outputs() if name in decoded}
        return {**arrays, "labels": tuple(decoded["label"])} if "label" in decoded else arrays

    def references(self, targets: Any, examples: Any) -> Any:
        """Return what the evaluator compares predictions with; default: the targets.

        Args:
            targets: Raw targets of some examples.
            examples: The same examples in the form of the source: texts, pairs of texts, paths; None for a
                `tf.data.Dataset`.
        """
        return targets

    def guessing_loss(self) -> float | None:
        """Return the loss of a model that has learned nothing; None if it is unknown."""
        return None

    def evaluator(self) -> Evaluator:
        """Return a new evaluator; default: one that reports the mean loss."""
        return MeanLoss(self)

    def changed_answers(self, predictions: Sequence[Prediction], others: Sequence[Prediction]) -> np.ndarray:
        """Tell for which examples an export, or another model, answers differently.

        Args:
            predictions: Predictions of the model.
            others: Predictions of the export for the same examples, in the same order.

        Returns:
            bool [n]. Default: whether labels or spans differ; for a task that has neither, whether a score moved by
            more than a tenth of its standard deviation over the examples.
        """
        return changed_answers(predictions, others)

    def agrees(self, answer: Mapping[str, Any], other: Mapping[str, Any], tolerance: float) -> str:
        """Compare two decoded predictions for one example, column by column.

        Args:
            answer: Column → value or array.
            other: The same columns from another model or export; additional columns are ignored.
            tolerance: Largest difference between floats; relative for values above 1.

        Returns:
            The first difference, "" if there is none. Default: floats must agree within the tolerance, anything else
            must be equal.
        """
        differences = (difference(name, answer[name], other.get(name), tolerance) for name in answer)
        return next((message for message in differences if message), "")

    def check_labels(self, labels: LabelSpec, name: str) -> None:
        """Raise unless labels have the type, names and order of the labels of this task.

        Args:
            labels: Labels of a source.
            name: Argument that holds the source, for the error message.

        Raises:
            InvalidInput: If the type or the names differ; every differing name is listed.
        """
        if labels.type != self.labels.type:
            raise InvalidInput(
                f"`{name}` has labels of type {labels.type!r}, the model's task has {self.labels.type!r}."
            )
        if labels.names == self.labels.names:
            return
        unknown = [label for label in labels.names if label not in self.labels.names]
        missing = [label for label in self.labels.names if label not in labels.names]
        problems = check.Problems()
        if unknown:
            problems.add(f"`{name}` has labels that the model does not know: {check.listing(unknown)}")
        if missing:
            problems.add(f"`{name}` lacks labels that the model knows: {check.listing(missing)}")
        if not problems.messages:
            problems.add(f"`{name}` has the model's labels in another order: {check.listing(labels.names)}")
            problems.add(f"the order of the model: {check.listing(self.labels.names)}")
        problems.raise_if_any(f"`{name}` and the model have different labels:")

    def to_config(self) -> dict[str, Any]:
        """Return the name and the fields as JSON values, from which `tltk.tasks.from_config` rebuilds the task."""
        record: Any = self
        if not self.objective:
            return {"name": self.name, **{name: value for name, value in asdict(record).items() if name != "objective"}}
        return {**replace(record, objective=NO_OBJECTIVE).to_config(), "objective": self.objective.to_config()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Rebuild the task from the result of `to_config`; lists become tuples.

        Raises:
            InvalidType: If `config` has a key that is not a field of the task.
        """
        fields = {name: _as_tuples(value) for name, value in config.items() if name not in ("name", "objective")}
        if "objective" in config:
            fields["objective"] = Objective.from_config(config["objective"])
        if "labels" in fields:
            fields["labels"] = LabelSpec(**fields["labels"])
        if fields.get("head") is not None:
            fields["head"] = Head(**fields["head"])
        return cls(**fields)


class MeanLoss:
    """Default evaluator of a task: the mean loss over examples."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.total, self.weight = 0.0, 0.0

    def update(
        self,
        targets: Any,
        decoded: Mapping[str, np.ndarray],
        ids: Sequence[str],
        sample_weight: np.ndarray | None = None,
    ) -> None:
        """Add the loss of a batch of examples.

        Raises:
            InvalidInput: If `decode` does not return the outputs: then the task must define `evaluator`.
        """
        names = tuple(self.task.describe_outputs())
        missing = [name for name in names if name not in decoded]
        if missing:
            raise InvalidInput(
                f"task {self.task.name!r} decodes no column {missing[0]!r}, which the default evaluator needs to "
                f"compute the loss: define {type(self.task).__name__}.evaluator()."
            )
        losses, encoded = self.task.loss(), self.task.encode(targets)
        if isinstance(losses, dict):
            loss = sum(float(loss(encoded[name], decoded[name], sample_weight)) for name, loss in losses.items())
        else:
            loss = float(losses(encoded, decoded[names[0]], sample_weight))
        self.total += loss * len(ids)  # Keras divides by the number of examples, not by the sum of their weights
        self.weight += len(ids) if sample_weight is None else float(sample_weight.sum())

    def result(self) -> ReportParts:
        """Return the mean loss."""
        return ReportParts({"loss": self.total / self.weight if self.weight else 0.0})


def difference(name: str, value: Any, other: Any, tolerance: float) -> str:
    """Describe how two values of a column differ; "" if they agree.

    Examples:
        >>> difference("probability", 0.5, 0.25, 1e-5)
        '`probability` differs by 2.5e-01'
    """
    if other is None:
        return f"`{name}` is missing"
    actual, expected = np.asarray(value), np.asarray(other)
    if actual.shape != expected.shape:
        return f"`{name}` has shape {actual.shape} and {expected.shape}"
    if actual.dtype.kind != "f":
        return "" if np.array_equal(actual, expected) else f"`{name}`: {value!r} is not {other!r}"
    largest = float((np.abs(actual - expected) / np.maximum(1.0, np.abs(expected))).max(initial=0.0))
    return "" if largest <= tolerance else f"`{name}` differs by {largest:.1e}"


def last_features(features: dict[str, keras.KerasTensor]) -> keras.KerasTensor:
    """Return the features of the last endpoint, the only ones that a head without a decoder uses."""
    return list(features.values())[-1]


def repeated(names: Sequence[str], rows: tf.Tensor) -> tf.Tensor:
    """Repeat names for every row of a tensor: TensorFlow Serving splits every output of a batch into rows.

    Args:
        names: The k names.
        rows: [n, …].

    Returns:
        Strings [n, k].
    """
    return tf.tile(tf.constant([list(names)]), [tf.shape(rows)[0], 1])


def _zip(names: tuple[str, ...], values: np.ndarray) -> zip:
    return zip(names, np.ravel(values).tolist(), strict=False)


def _as_tuples(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(map(_as_tuples, value))
    return {name: _as_tuples(item) for name, item in value.items()} if isinstance(value, dict) else value
