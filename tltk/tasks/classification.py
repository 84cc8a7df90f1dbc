"""Classification: one class per example, or any number of labels per example."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.data.targets import Targets
from tltk.foundation import checks as check
from tltk.foundation import familiar
from tltk.heads import builder as heads
from tltk.modalities.context import Context
from tltk.modalities.modality import modality_of, named_modality
from tltk.specs import LabelSpec
from tltk.tasks.adopted_outputs import probabilities
from tltk.tasks.base import Task, difference, last_features, repeated
from tltk.tasks.class_scores import ClassEvaluator, MultilabelEvaluator, class_indices
from tltk.tasks.class_weight import weights_of_classes
from tltk.tasks.dataset_targets import class_problem, label_problem
from tltk.tasks.decisions import Matrix, decide, decision_scores
from tltk.tasks.encodings import as_float, named_classes, one_hot
from tltk.tasks.label_spec import Labels, label_spec
from tltk.tasks.loss_terms import BalancedAccuracy, ClassLoss, LabelLoss, LossTerms
from tltk.tasks.objective import NO_OBJECTIVE, ExampleBatch, Objective
from tltk.tasks.objective_check import with_objective
from tltk.tasks.records import Monitor, Prediction
from tltk.tasks.registry import register_default, register_task
from tltk.tasks.uneven import LOSSES, SAMPLING, WEIGHTS, describe_decision

_AFTERWARDS = ("logit_adjustment", "crt", "tau_normalization", "nothing", "auto")
# Label type → what the labels are, and the task to use instead.
_OTHER_TASKS = {
    "regression": ("numbers", "regression(labels)"),
    "entities": ("types of entities", "token_classification(labels)"),
    "answers": ("answers", "question_answering()"),
}


class _ClassTask(Task):
    """Base class of both classification tasks: the outputs are one probability per class."""

    constant_columns: ClassVar[tuple[str, ...]] = ("labels",)
    class_targets: ClassVar[bool] = True
    activation: ClassVar[str]
    head: heads.Head
    pairs: bool

    def input_spec(self, spec: Any) -> Any:
        """Expect one input per example or, with `pairs`, two texts."""
        return modality_of(spec).with_pairs(spec) if self.pairs else spec

    def outputs(
        self, features: dict[str, keras.KerasTensor], *, mask: keras.KerasTensor | None = None, seed: int = 0
    ) -> keras.KerasTensor:
        """Build the head, which outputs probabilities, float32 [batch, classes]."""
        logits = heads.attach(self.head, last_features(features), units=len(self.labels), mask=mask, seed=seed)
        return keras.layers.Activation(self.activation, dtype="float32", name="head_probabilities")(logits)

    def adopt_outputs(self, outputs: Any, *, from_logits: bool | None = None) -> Any:
        """Turn logits, or the probability of the second of two classes, into probabilities of all classes."""
        return probabilities(outputs, self.labels.names, activation=self.activation, from_logits=from_logits)

    def describe_outputs(self) -> dict[str, tuple[str, ...]]:
        """Name the probabilities after the classes."""
        return {"probabilities": self.labels.names}

    def example_batch(self) -> ExampleBatch:
        """Return one example per class, and one more of the first."""
        count = len(self.labels)
        targets = np.eye(count, dtype="float32")[[*range(count), 0]]
        scores = 0.4 * targets + np.linspace(0.1, 0.2, targets.size, dtype="float32").reshape(targets.shape)
        outputs = scores / scores.sum(-1, keepdims=True) if self.activation == "softmax" else scores
        return ExampleBatch(targets, outputs, "probabilities")

    def scores(self, probabilities: np.ndarray) -> list[dict[str, float]]:
        """Map class names to probabilities for each example, the most likely class first."""
        names = self.labels.names
        orders = np.argsort(-probabilities, axis=-1, kind="stable")
        return [
            {names[index]: float(row[index]) for index in order}
            for row, order in zip(probabilities, orders, strict=True)
        ]


@register_task
@dataclass(frozen=True)
class Classification(_ClassTask):
    """Single-label classification: softmax and cross-entropy.

    Args:
        labels: Class names, type "categorical".
        head: Head from `tltk.head`.
        label_smoothing: Fraction of each target spread over all classes, in [0, 1).
        pairs: Whether an example is a pair of texts.
        objective: Loss and metrics of the user's own.
        prior: Frequencies of classes that the outputs assume, from `fit(balance=)`; () for those of training.
        factors: The class with the largest factor · probability is predicted; () for the most likely class.
        costs: Cost of each mistake, by true and predicted class; the lowest expected cost decides. () for equal costs.
    """

    name: ClassVar[str] = "classification"
    monitor: ClassVar[Monitor] = Monitor("accuracy", "max")
    score_name: ClassVar[str] = "accuracy"
    activation: ClassVar[str] = "softmax"
    balance_methods: ClassVar[tuple[str, ...]] = (*WEIGHTS, *SAMPLING, *LOSSES, *_AFTERWARDS)
    balance_options: ClassVar[tuple[str, ...]] = ("thresholds", "costs", "calibrate")
    probe_kind: ClassVar[str] = "categorical"

    labels: LabelSpec
    head: heads.Head = field(default_factory=heads.head)
    label_smoothing: float = 0.0
    pairs: bool = False
    objective: Objective = NO_OBJECTIVE
    prior: tuple[float, ...] = ()
    factors: tuple[float, ...] = ()
    costs: Matrix = ()

    def target_problem(self, targets: Any) -> str:
        """Require class indices or names, or rows of probabilities."""
        return class_problem(targets, self.labels.names)

    def read_targets(self, targets: Any) -> Any:
        """Convert class names to class indices."""
        return named_classes(self.labels.names, targets)

    def class_weights(self, class_weight: Any, targets: Targets | None) -> np.ndarray:
        """Return the weight of each class, float32 [classes]: 1 if it is not in `class_weight`."""
        return weights_of_classes(class_weight, self.labels.names, None if targets is None else np.asarray(targets))

    def class_rows(self, targets: Targets) -> np.ndarray:
        """Return one-hot rows of the classes."""
        return np.eye(len(self.labels), dtype=np.float32)[class_indices(np.asarray(targets), len(self.labels))]

    def balanced_loss(self, terms: LossTerms) -> keras.losses.Loss:
        """Return the cross-entropy with other terms."""
        return ClassLoss(terms, self.label_smoothing)

    def balanced_metrics(self) -> list[keras.metrics.Metric]:
        """Return the balanced accuracy."""
        return [BalancedAccuracy(len(self.labels))]

    def balanced_monitor(self) -> Monitor:
        """Choose the best epoch by the balanced accuracy."""
        return Monitor("balanced_accuracy", "max")

    def encode(self, targets: Any) -> Any:
        """Encode class indices as one-hot vectors, float32 [batch, classes]."""
        return one_hot(len(self.labels))(targets)

    def loss(self) -> keras.losses.Loss:
        """Return the cross-entropy with one-hot or blended targets."""
        return keras.losses.CategoricalCrossentropy(label_smoothing=self.label_smoothing)

    def guessing_loss(self) -> float | None:
        """Return the cross-entropy of equal probabilities, ln(classes); None with a loss of the user's own."""
        return math.log(len(self.labels)) if self.objective.loss is None else None

    def metrics(self) -> list[keras.metrics.Metric]:
        """Return accuracy and, for 10 classes or more, top-5 accuracy."""
        top5 = [keras.metrics.TopKCategoricalAccuracy(5, name="top5_accuracy")] if len(self.labels) >= 10 else []
        return [keras.metrics.CategoricalAccuracy(name="accuracy"), *top5]

    def decode(self, outputs: tf.Tensor, context: Context) -> dict[str, tf.Tensor]:
        """Return "label", "probability" [n], and "probabilities" and "labels" [n, classes]."""
        probabilities = context.average(outputs)
        best, probability = decide(probabilities, self.factors, self.costs)
        return {
            "label": tf.gather(tf.constant(self.labels.names), best),
            "probability": probability,
            "probabilities": probabilities,
            "labels": repeated(self.labels.names, probabilities),
        }

    def predictions(self, decoded: Mapping[str, np.ndarray], ids: Sequence[str]) -> list[Prediction]:
        """Return the class of each example, the most likely one by default, and all probabilities, sorted."""
        rows = zip(ids, decoded["label"], decoded["probability"], self.scores(decoded["probabilities"]), strict=True)
        return [
            Prediction(example_id, label, float(probability), scores) for example_id, label, probability, scores in rows
        ]

    def evaluator(self) -> ClassEvaluator:
        """Return the evaluator: accuracy, F1, log loss, calibration, confusion and the most confident mistakes."""
        return ClassEvaluator(self.labels.names, uses_labels=bool(self.factors or self.costs))

    def describe_decoding(self) -> dict[str, Any]:
        """Return prior, factors and costs by class name, if there are any."""
        decision = {"prior": self.prior, "factors": self.factors}
        costs = {name: dict(zip(self.labels.names, row, strict=True)) for name, row in self._cost_rows()}
        return describe_decision(self.labels.names, decision) | ({"costs": costs} if costs else {})

    def _cost_rows(self) -> list[tuple[str, tuple[float, ...]]]:
        return list(zip(self.labels.names, self.costs, strict=True)) if self.costs else []

    def agrees(self, answer: Mapping[str, Any], other: Mapping[str, Any], tolerance: float) -> str:
        """Compare probabilities; labels may differ if they are equally likely within the tolerance."""
        probabilities = np.asarray(answer["probabilities"])
        message = difference("probabilities", probabilities, other["probabilities"], tolerance)
        index = self.labels.names.index(str(other["label"]))
        scores = decision_scores(probabilities[None], self.factors, self.costs)[0]
        scale = max((1.0, *self.factors, *(cost for row in self.costs for cost in row)))
        if message or scores[index] >= scores.max() - tolerance * scale:
            return message
        return f"{other['label']!r} is not {answer['label']!r}"


@register_task
@dataclass(frozen=True)
class MultilabelClassification(_ClassTask):
    """Multilabel classification, with zero or more labels per example: sigmoid and binary cross-entropy.

    Args:
        labels: Label names, type "multilabel".
        head: Head from `tltk.head`.
        label_smoothing: Fraction by which targets move towards 0.5, in [0, 1).
        threshold: Probability above which a label is predicted.
        pairs: Whether an example is a pair of texts.
        objective: Loss and metrics of the user's own.
        prior: Frequency of each label that the outputs assume, from `fit(balance=)`; () for those of training.
        thresholds: Threshold of each label, used instead of `threshold`; () for none.
    """

    name: ClassVar[str] = "multilabel_classification"
    monitor: ClassVar[Monitor] = Monitor("macro_f1", "max")
    score_name: ClassVar[str] = "macro_f1"
    activation: ClassVar[str] = "sigmoid"
    balance_methods: ClassVar[tuple[str, ...]] = (*WEIGHTS, *LOSSES, "logit_adjustment", "nothing", "auto")
    balance_options: ClassVar[tuple[str, ...]] = ("thresholds", "calibrate")
    why_unbalanced: ClassVar[str] = "an example may have several labels"
    exclusive_classes: ClassVar[bool] = False
    probe_kind: ClassVar[str] = "multilabel"

    labels: LabelSpec
    head: heads.Head = field(default_factory=heads.head)
    label_smoothing: float = 0.0
    threshold: float = 0.5
    pairs: bool = False
    objective: Objective = NO_OBJECTIVE
    prior: tuple[float, ...] = ()
    thresholds: tuple[float, ...] = ()

    @property
    def label_thresholds(self) -> np.ndarray:
        """Probability above which each label is predicted, float32 [labels]."""
        return np.asarray(self.thresholds or (self.threshold,) * len(self.labels), np.float32)

    def class_rows(self, targets: Targets) -> np.ndarray:
        """Return the 0/1 vectors."""
        return np.asarray(targets, np.float32).reshape(-1, len(self.labels))

    def balanced_loss(self, terms: LossTerms) -> keras.losses.Loss:
        """Return the binary cross-entropy with other terms."""
        return LabelLoss(terms, self.label_smoothing)

    def target_problem(self, targets: Any) -> str:
        """Require one value from 0 to 1 per label."""
        return label_problem(targets, self.labels.names)

    def encode(self, targets: Any) -> Any:
        """Encode 0/1 vectors as float32 [batch, labels]."""
        return as_float(len(self.labels))(targets)

    def loss(self) -> keras.losses.Loss:
        """Return the binary cross-entropy, averaged over labels."""
        return keras.losses.BinaryCrossentropy(label_smoothing=self.label_smoothing)

    def metrics(self) -> list[keras.metrics.Metric]:
        """Return macro F1 and binary accuracy at the threshold."""
        return [
            keras.metrics.F1Score(average="macro", threshold=self.threshold, name="macro_f1"),
            keras.metrics.BinaryAccuracy(threshold=self.threshold, name="binary_accuracy"),
        ]

    def decode(self, outputs: tf.Tensor, context: Context) -> dict[str, tf.Tensor]:
        """Return "probabilities", "labels" and "chosen" (above the threshold), [n, labels] each."""
        probabilities = context.average(outputs)
        labels = repeated(self.labels.names, probabilities)
        return {"probabilities": probabilities, "labels": labels, "chosen": probabilities > self.label_thresholds}

    def describe_decoding(self) -> dict[str, Any]:
        """Return the threshold, those of the labels, and the prior, if there are any."""
        decision = {"prior": self.prior, "thresholds": self.thresholds}
        return {"threshold": self.threshold, **describe_decision(self.labels.names, decision)}

    def predictions(self, decoded: Mapping[str, np.ndarray], ids: Sequence[str]) -> list[Prediction]:
        """Return the labels above the threshold, and the probabilities of all labels, sorted."""
        limits = dict(zip(self.labels.names, self.label_thresholds.tolist(), strict=True))
        return [
            Prediction(
                example_id, ", ".join(label for label, score in scores.items() if score > limits[label]), None, scores
            )
            for example_id, scores in zip(ids, self.scores(decoded["probabilities"]), strict=True)
        ]

    def fields(self, decoded: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Return "probabilities" and "labels": the names above the threshold, in class order."""
        labels = [
            tuple(name for name, is_chosen in zip(self.labels.names, row, strict=True) if is_chosen)
            for row in decoded["chosen"]
        ]
        return {"probabilities": decoded["probabilities"], "labels": tuple(labels)}

    def evaluator(self) -> MultilabelEvaluator:
        """Return the evaluator: exact match, F1, mean average precision and area under the ROC curve."""
        return MultilabelEvaluator(self.labels.names, self.label_thresholds)

    def agrees(self, answer: Mapping[str, Any], other: Mapping[str, Any], tolerance: float) -> str:
        """Compare probabilities, and the chosen labels except where the probability is at the threshold."""
        probabilities = np.asarray(answer["probabilities"])
        clear = np.abs(probabilities - self.label_thresholds) > tolerance
        differs = clear & (np.asarray(answer["chosen"]) != np.asarray(other["chosen"]))
        names = [name for name, label_differs in zip(self.labels.names, differs, strict=True) if label_differs]
        return difference("probabilities", probabilities, other["probabilities"], tolerance) or (
            f"`chosen` differs for {names}" if names else ""
        )


@familiar.arguments
def classification(
    labels: Labels,
    *,
    head: heads.Head | None = None,
    label_smoothing: float = 0.0,
    threshold: float = 0.5,
    pairs: bool = False,
    loss: Any = None,
    metrics: Sequence[Any] = (),
) -> Classification | MultilabelClassification:
    """Build a classification task.

    Args:
        labels: `source.labels`, a list of class names, a source, or a dataset of
            `keras.utils.image_dataset_from_directory`, which has `class_names`. Labels of type "categorical" mean one
            class per example, "multilabel" any number.
        head: Head from `tltk.head`; default: `tltk.head()`.
        label_smoothing: Fraction of each target spread over all classes, in [0, 1).
        threshold: Probability above which a label is predicted (multilabel only).
        pairs: Whether an example is a pair of texts, such as a premise and a hypothesis.
        loss: A Keras loss, its name, or a function of (targets, outputs), instead of the cross-entropy. It gets one-hot
            vectors or 0/1 vectors, and probabilities [batch, classes].
        metrics: Keras metrics, names or functions of the same targets and outputs, which `fit` and `evaluate` report in
            addition.

    Returns:
        A task for `assemble`.

    Raises:
        InvalidType: If `labels` has no names, as for a source without labels.
        InvalidInput: If the labels are not classes, a value is out of range, or a loss or metric does not fit.

    Examples:
        >>> classification(["cat", "dog"]).labels.names
        ('cat', 'dog')
    """
    spec = label_spec(labels, "categorical")
    problems = check.Problems()
    if spec.type in _OTHER_TASKS:
        meaning, call = _OTHER_TASKS[spec.type]
        problems.add(f"`labels` are {meaning} ({check.listing(spec.names)}), not classes. Use tltk.{call}.")
    if spec.type == "categorical" and len(spec) < 2:
        problems.add(f"classification needs at least 2 classes. Received: {check.listing(spec.names)}")
    for name, value in (("label_smoothing", label_smoothing), ("threshold", threshold)):
        if not check.is_number(value) or not 0 <= value < 1:
            problems.add(f"`{name}` must be at least 0 and below 1. Received: {value!r}")
    problems.raise_if_any()
    head = heads.head() if head is None else head
    if spec.type == "multilabel":
        return with_objective(MultilabelClassification(spec, head, label_smoothing, threshold, pairs), loss, metrics)
    return with_objective(Classification(spec, head, label_smoothing, pairs), loss, metrics)


def _for_source(source: Source) -> Task:
    labels: Any = source.labels
    return classification(labels, pairs=named_modality(source.modality).has_pairs(source))


register_default("categorical", _for_source)
register_default("multilabel", _for_source)
