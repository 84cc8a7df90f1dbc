"""Classification: one class an example, or any number of labels an example."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.heads import builder as heads
from tltk.modalities.context import Context
from tltk.modalities.modality import modality_of, named_modality
from tltk.specs import LabelSpec
from tltk.tasks.base import Monitor, Prediction, Task, difference, label_spec, last_features, repeated
from tltk.tasks.class_scores import ClassEvaluator, MultilabelEvaluator
from tltk.tasks.encodings import as_float, one_hot
from tltk.tasks.registry import register_default, register_task

_OTHER_TASKS = {
    "regression": ("numbers", "regression(labels)"),
    "entities": ("types of entities", "token_classification(labels)"),
    "answers": ("answers", "question_answering()"),
}


class _ClassTask(Task):
    """What both kinds of classification share: outputs are probabilities, one a class."""

    constant_columns: ClassVar[tuple[str, ...]] = ("labels",)
    class_targets: ClassVar[bool] = True
    activation: ClassVar[str]
    head: heads.Head
    pairs: bool

    def input_spec(self, spec: Any) -> Any:
        """One text an example or, with `pairs`, two."""
        return modality_of(spec).paired(spec) if self.pairs else spec

    def outputs(
        self, features: dict[str, keras.KerasTensor], *, mask: keras.KerasTensor | None = None, seed: int = 0
    ) -> keras.KerasTensor:
        """Build the head: probabilities, float32 [batch, classes]."""
        logits = heads.attach(self.head, last_features(features), units=len(self.labels), mask=mask, seed=seed)
        return keras.layers.Activation(self.activation, dtype="float32", name="head_probabilities")(logits)

    def describe_outputs(self) -> dict[str, tuple[str, ...]]:
        """One probability a class."""
        return {"probabilities": self.labels.names}

    def scores(self, probabilities: np.ndarray) -> list[dict[str, float]]:
        """Return each example's probabilities by class, the most likely first."""
        names = self.labels.names
        orders = np.argsort(-probabilities, axis=-1, kind="stable")
        return [
            {names[index]: float(row[index]) for index in order}
            for row, order in zip(probabilities, orders, strict=True)
        ]


@register_task
@dataclass(frozen=True)
class Classification(_ClassTask):
    """Exactly one class an example: softmax and cross-entropy.

    Args:
        labels: of type "categorical".
        head: from `tltk.head`.
        label_smoothing: fraction of each target spread over all classes, in [0, 1).
        pairs: whether an example is two texts.
    """

    name: ClassVar[str] = "classification"
    monitor: ClassVar[Monitor] = Monitor("accuracy", "max")
    score_name: ClassVar[str] = "accuracy"
    activation: ClassVar[str] = "softmax"

    labels: LabelSpec
    head: heads.Head = field(default_factory=heads.head)
    label_smoothing: float = 0.0
    pairs: bool = False

    def encode(self, targets: Any) -> Any:
        """Class indices to float32 [batch, classes]."""
        return one_hot(len(self.labels))(targets)

    def loss(self) -> keras.losses.Loss:
        """Cross-entropy of one-hot or blended targets."""
        return keras.losses.CategoricalCrossentropy(label_smoothing=self.label_smoothing)

    def metrics(self) -> list[keras.metrics.Metric]:
        """Accuracy, and top-5 accuracy from 10 classes on."""
        top5 = [keras.metrics.TopKCategoricalAccuracy(5, name="top5_accuracy")] if len(self.labels) >= 10 else []
        return [keras.metrics.CategoricalAccuracy(name="accuracy"), *top5]

    def decode(self, outputs: tf.Tensor, context: Context) -> dict[str, tf.Tensor]:
        """Return "label", "probability" [n], and "probabilities" and "labels" [n, classes]."""
        probabilities = context.average(outputs)
        best = tf.argmax(probabilities, -1)
        return {
            "label": tf.gather(tf.constant(self.labels.names), best),
            "probability": tf.reduce_max(probabilities, -1),
            "probabilities": probabilities,
            "labels": repeated(self.labels.names, probabilities),
        }

    def predictions(self, decoded: Mapping[str, np.ndarray], ids: Sequence[str]) -> list[Prediction]:
        """Most likely class, and the probability of every class, sorted."""
        rows = zip(ids, decoded["label"], decoded["probability"], self.scores(decoded["probabilities"]), strict=True)
        return [Prediction(example_id, label, float(best), scores) for example_id, label, best, scores in rows]

    def evaluator(self) -> ClassEvaluator:
        """Accuracy, F1, log loss, calibration, confusion and the most confident mistakes."""
        return ClassEvaluator(self.labels.names)

    def agrees(self, answer: Mapping[str, Any], other: Mapping[str, Any], tolerance: float) -> str:
        """Compare probabilities; another label counts as equal if it is as likely within the tolerance."""
        probabilities = np.asarray(answer["probabilities"])
        differs = difference("probabilities", probabilities, other["probabilities"], tolerance)
        index = self.labels.names.index(str(other["label"]))
        if differs or probabilities[index] >= probabilities.max() - tolerance:
            return differs
        return f"{other['label']!r} is not {answer['label']!r}"


@register_task
@dataclass(frozen=True)
class MultilabelClassification(_ClassTask):
    """Any number of labels an example, none included: a sigmoid and binary cross-entropy for each.

    Args:
        labels: of type "multilabel".
        head: from `tltk.head`.
        label_smoothing: fraction by which targets move towards 0.5, in [0, 1).
        threshold: probability above which a label counts.
        pairs: whether an example is two texts.
    """

    name: ClassVar[str] = "multilabel_classification"
    monitor: ClassVar[Monitor] = Monitor("macro_f1", "max")
    score_name: ClassVar[str] = "macro_f1"
    activation: ClassVar[str] = "sigmoid"

    labels: LabelSpec
    head: heads.Head = field(default_factory=heads.head)
    label_smoothing: float = 0.0
    threshold: float = 0.5
    pairs: bool = False

    def encode(self, targets: Any) -> Any:
        """0/1 vectors to float32 [batch, labels]."""
        return as_float(len(self.labels))(targets)

    def loss(self) -> keras.losses.Loss:
        """Binary cross-entropy, averaged over labels."""
        return keras.losses.BinaryCrossentropy(label_smoothing=self.label_smoothing)

    def metrics(self) -> list[keras.metrics.Metric]:
        """Macro F1 at the threshold, and accuracy of single labels."""
        return [
            keras.metrics.F1Score(average="macro", threshold=self.threshold, name="macro_f1"),
            keras.metrics.BinaryAccuracy(threshold=self.threshold, name="binary_accuracy"),
        ]

    def decode(self, outputs: tf.Tensor, context: Context) -> dict[str, tf.Tensor]:
        """Return "probabilities", "labels" and "chosen" (above the threshold), [n, labels] each."""
        probabilities = context.average(outputs)
        labels = repeated(self.labels.names, probabilities)
        return {"probabilities": probabilities, "labels": labels, "chosen": probabilities > self.threshold}

    def predictions(self, decoded: Mapping[str, np.ndarray], ids: Sequence[str]) -> list[Prediction]:
        """Labels above the threshold, and the probability of every label, sorted."""
        return [
            Prediction(
                example_id, ", ".join(label for label, score in scores.items() if score > self.threshold), None, scores
            )
            for example_id, scores in zip(ids, self.scores(decoded["probabilities"]), strict=True)
        ]

    def evaluator(self) -> MultilabelEvaluator:
        """Exact match, F1, and areas under curves."""
        return MultilabelEvaluator(self.labels.names, self.threshold)

    def agrees(self, answer: Mapping[str, Any], other: Mapping[str, Any], tolerance: float) -> str:
        """Compare probabilities, and which labels are chosen where that is not a tie within the tolerance."""
        probabilities = np.asarray(answer["probabilities"])
        clear = np.abs(probabilities - self.threshold) > tolerance
        wrong = clear & (np.asarray(answer["chosen"]) != np.asarray(other["chosen"]))
        names = [name for name, differs in zip(self.labels.names, wrong, strict=True) if differs]
        return difference("probabilities", probabilities, other["probabilities"], tolerance) or (
            f"`chosen` differs for {names}" if names else ""
        )


def classification(
    labels: LabelSpec | Sequence[str],
    *,
    head: heads.Head | None = None,
    label_smoothing: float = 0.0,
    threshold: float = 0.5,
    pairs: bool = False,
) -> Classification | MultilabelClassification:
    """Build a classification task.

    Args:
        labels: `source.labels`, or a list of class names. Type "categorical" gives one class an example, "multilabel"
            any number.
        head: from `tltk.head`; the default is that of a linear probe.
        label_smoothing: fraction of each target spread over all classes, in [0, 1).
        threshold: probability above which a label counts (multilabel only).
        pairs: whether an example is two texts, such as a premise and a hypothesis.

    Returns:
        A task for `assemble`.

    Raises:
        TypeError: if `labels` is not a LabelSpec or a list of names, as when the source has none.
        ValueError: if the labels are not classes, or a number is out of range.

    Example:
        >>> classification(["cat", "dog"]).labels.names
        ('cat', 'dog')
    """
    labels = label_spec(labels, "categorical")
    problems = check.Problems()
    if labels.type in _OTHER_TASKS:
        meaning, call = _OTHER_TASKS[labels.type]
        problems.add(f"`labels` are {meaning} ({check.listing(labels.names)}), not classes. Use tltk.{call}.")
    if labels.type == "categorical" and len(labels) < 2:
        problems.add(f"a classifier needs at least 2 classes. Received: {check.listing(labels.names)}")
    for name, value in (("label_smoothing", label_smoothing), ("threshold", threshold)):
        if not check.is_number(value) or not 0 <= value < 1:
            problems.add(f"`{name}` must be at least 0 and below 1. Received: {value!r}")
    problems.raise_if_any()
    head = heads.head() if head is None else head
    if labels.type == "multilabel":
        return MultilabelClassification(labels, head, label_smoothing, threshold, pairs)
    return Classification(labels, head, label_smoothing, pairs)


def _for_source(source: Source) -> Task:
    labels: Any = source.labels
    return classification(labels, pairs=named_modality(source.modality).pairs(source))


register_default("categorical", _for_source)
register_default("multilabel", _for_source)
