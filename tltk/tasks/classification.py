"""Classification: one class an example, or any number of labels an example."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import keras
import numpy as np

from tltk.foundation import checks as check
from tltk.heads import builder as heads
from tltk.specs import ImageSpec, LabelSpec, TextSpec
from tltk.tasks.base import Prediction, of_pairs
from tltk.tasks.encodings import as_float, one_hot


@dataclass(frozen=True)
class Classification:
    """Exactly one class an example: softmax and cross-entropy."""

    labels: LabelSpec
    head: heads.Head
    label_smoothing: float = 0.0
    pairs: bool = False
    name: str = "classification"
    monitor: tuple[str, str] = ("accuracy", "max")
    per_token: ClassVar[bool] = False

    @property
    def units(self) -> int:
        """One output a label."""
        return len(self.labels)

    def reads(self, spec: ImageSpec | TextSpec) -> ImageSpec | TextSpec:
        """One text an example or, with `pairs`, two."""
        return of_pairs(spec) if self.pairs else spec

    @property
    def encode(self) -> Callable[[Any], Any]:
        """Class indices to float32 [batch, classes]."""
        return one_hot(len(self.labels))

    def outputs(
        self, features: keras.KerasTensor, *, mask: keras.KerasTensor | None = None, seed: int = 0
    ) -> keras.KerasTensor:
        """Probabilities, float32 [batch, classes]."""
        logits = heads.attach(self.head, features, units=len(self.labels), mask=mask, seed=seed)
        return keras.layers.Activation("softmax", dtype="float32", name="head_probabilities")(logits)

    def loss(self) -> keras.losses.Loss:
        """Cross-entropy of one-hot or mixed targets."""
        return keras.losses.CategoricalCrossentropy(label_smoothing=self.label_smoothing)

    def metrics(self) -> list[keras.metrics.Metric]:
        """Accuracy, and top-5 accuracy from 10 classes on."""
        wide = [keras.metrics.TopKCategoricalAccuracy(5, name="top5_accuracy")] if len(self.labels) >= 10 else []
        return [keras.metrics.CategoricalAccuracy(name="accuracy"), *wide]

    def decode(self, outputs: np.ndarray, example_ids: list[str]) -> list[Prediction]:
        """Most likely class and every class's probability, sorted."""
        found = []
        for name, row in zip(example_ids, outputs, strict=True):
            order = np.argsort(-row, kind="stable")
            scores = {self.labels.names[index]: float(row[index]) for index in order}
            best = next(iter(scores))
            found.append(Prediction(name, best, scores[best], scores))
        return found

    def to_config(self) -> dict:
        """Plain JSON values that `tltk.tasks.from_config` takes back."""
        return {"name": self.name, **_shared_config(self), "label_smoothing": self.label_smoothing}


@dataclass(frozen=True)
class MultilabelClassification:
    """Any number of labels an example, none included: a sigmoid and binary cross-entropy for each."""

    labels: LabelSpec
    head: heads.Head
    label_smoothing: float = 0.0
    threshold: float = 0.5
    pairs: bool = False
    name: str = "multilabel_classification"
    monitor: tuple[str, str] = ("macro_f1", "max")
    per_token: ClassVar[bool] = False

    @property
    def units(self) -> int:
        """One output a label."""
        return len(self.labels)

    def reads(self, spec: ImageSpec | TextSpec) -> ImageSpec | TextSpec:
        """One text an example or, with `pairs`, two."""
        return of_pairs(spec) if self.pairs else spec

    @property
    def encode(self) -> Callable[[Any], Any]:
        """0/1 vectors to float32 [batch, labels]."""
        return as_float(len(self.labels))

    def outputs(
        self, features: keras.KerasTensor, *, mask: keras.KerasTensor | None = None, seed: int = 0
    ) -> keras.KerasTensor:
        """Independent probabilities, float32 [batch, labels]."""
        logits = heads.attach(self.head, features, units=len(self.labels), mask=mask, seed=seed)
        return keras.layers.Activation("sigmoid", dtype="float32", name="head_probabilities")(logits)

    def loss(self) -> keras.losses.Loss:
        """Binary cross-entropy, averaged over labels."""
        return keras.losses.BinaryCrossentropy(label_smoothing=self.label_smoothing)

    def metrics(self) -> list[keras.metrics.Metric]:
        """Macro F1 at the threshold and accuracy a label."""
        return [
            keras.metrics.F1Score(average="macro", threshold=self.threshold, name="macro_f1"),
            keras.metrics.BinaryAccuracy(threshold=self.threshold, name="binary_accuracy"),
        ]

    def decode(self, outputs: np.ndarray, example_ids: list[str]) -> list[Prediction]:
        """Labels above the threshold and every label's probability, sorted."""
        found = []
        for name, row in zip(example_ids, outputs, strict=True):
            order = np.argsort(-row, kind="stable")
            scores = {self.labels.names[index]: float(row[index]) for index in order}
            chosen = ", ".join(label for label, score in scores.items() if score > self.threshold)
            found.append(Prediction(name, chosen, None, scores))
        return found

    def to_config(self) -> dict:
        """Plain JSON values that `tltk.tasks.from_config` takes back."""
        extra = {"label_smoothing": self.label_smoothing, "threshold": self.threshold}
        return {"name": self.name, **_shared_config(self), **extra}


def classification(
    labels: LabelSpec,
    *,
    head: heads.Head | None = None,
    label_smoothing: float = 0.0,
    threshold: float = 0.5,
    pairs: bool = False,
) -> Classification | MultilabelClassification:
    """Make a classification task for a source's labels.

    Args:
        labels: `source.labels`; type "categorical" gives one class an example, "multilabel" any number.
        head: from `tltk.head`; the default is a linear probe's.
        label_smoothing: share of each target spread over all classes, in [0, 1).
        threshold: probability above which a label counts (multi-label only).
        pairs: whether an example is two texts, such as a premise and a hypothesis.

    Returns:
        A task for `assemble`.

    Raises:
        TypeError: if `labels` is no Labels record, as when the source has none.
        ValueError: if the labels are numbers, or a number is out of range.

    Example:
        >>> classification(LabelSpec(("cat", "dog"))).labels.names
        ('cat', 'dog')
    """
    hint = "Pass `source.labels`; a list of names goes in as tltk.specs.LabelSpec(('cat', 'dog'))."
    check.kind_of("labels", labels, LabelSpec, hint=hint)
    problems = check.Problems()
    other = {"regression": "numbers", "entities": "types of entities", "answers": "answers"}.get(labels.type)
    if other:
        way = {
            "regression": "regression(labels)",
            "entities": "token_classification(labels)",
            "answers": "question_answering()",
        }[labels.type]
        problems.add(f"`labels` are {other} ({check.listing(labels.names)}), not classes. Use tltk.{way}.")
    if labels.type == "categorical" and len(labels) < 2:
        problems.add(f"a classifier needs at least 2 classes. Received: {check.listing(labels.names)}")
    for name, value in (("label_smoothing", label_smoothing), ("threshold", threshold)):
        if not check.is_number(value) or not 0 <= value < 1:
            problems.add(f"`{name}` must be at least 0 and below 1. Received: {value!r}")
    problems.raise_if_any()
    chosen = heads.head() if head is None else head
    if labels.type == "multilabel":
        return MultilabelClassification(labels, chosen, label_smoothing, threshold, pairs)
    return Classification(labels, chosen, label_smoothing, pairs)


def _shared_config(task: Classification | MultilabelClassification) -> dict:
    return {"labels": asdict(task.labels), "head": asdict(task.head), "pairs": task.pairs}
