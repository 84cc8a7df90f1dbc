"""What every task offers: a head with its activation, a loss, metrics, target encoding and decoding."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import keras
import numpy as np

from tltk.data.source import TEXT_KINDS, Source
from tltk.foundation import checks as check
from tltk.heads.builder import Head
from tltk.modalities.text.encoding import tokenized
from tltk.specs import ImageSpec, LabelSpec, Span, TextSpec


@dataclass(frozen=True)
class Prediction:
    """What a model says of one example.

    Args:
        example_id: the example's path or row.
        label: the most likely class; for several labels at once, those above the threshold joined by ", ";
            for numbers, the numbers.
        probability: of `label` (single label only), else None.
        scores: label or column name → probability or value, most likely first; for answers, text → probability.
        spans: the entities of the text in its order, or the answer; each with its probability.
    """

    example_id: str
    label: str
    probability: float | None
    scores: dict[str, float]
    spans: tuple[Span, ...] = ()


class Task(Protocol):
    """The part of a model that depends on what is asked of it."""

    @property
    def name(self) -> str: ...

    @property
    def labels(self) -> LabelSpec: ...

    @property
    def units(self) -> int:
        """Outputs an example or, `per_token`, a token."""

    @property
    def per_token(self) -> bool:
        """Whether there is an output for each token of a text; then it is a `TokenTask`."""

    def reads(self, spec: ImageSpec | TextSpec) -> ImageSpec | TextSpec:
        """Say what an example is made of, for a backbone that eats `spec`: one text, two, or windows."""

    @property
    def head(self) -> Head: ...

    @property
    def monitor(self) -> tuple[str, str]:
        """The metric that decides between two epochs, and "max" or "min"."""

    @property
    def encode(self) -> Callable[[Any], Any]:
        """Turn a batch of raw targets into what `loss` takes, in tf.data."""

    def outputs(
        self, features: keras.KerasTensor, *, mask: keras.KerasTensor | None = None, seed: int = 0
    ) -> keras.KerasTensor:
        """Put the head and its activation on features, padding left out: float32 [batch, outputs]."""

    def loss(self) -> keras.losses.Loss: ...

    def metrics(self) -> list[keras.metrics.Metric]: ...

    def to_config(self) -> dict: ...


class ExampleTask(Task, Protocol):
    """A task with outputs for each example; `classification` and `regression` make them."""

    def decode(self, outputs: np.ndarray, example_ids: list[str]) -> list[Prediction]:
        """Turn float32 [n, outputs] into one prediction an example."""


class TokenTask(Task, Protocol):
    """A task with an output for each token of a text; `token_classification` and `question_answering` make them."""

    def align(self, made: Source, source: Source) -> np.ndarray:
        """Turn the spans of a source into targets of its tokens: int32 [frames, …]."""

    def find(self, outputs: np.ndarray, made: Source, source: Source) -> list[tuple[Span, ...]]:
        """Turn outputs, float32 [all tokens, units], into the spans of each text."""

    def shown(self, spans: list[tuple[Span, ...]], source: Source) -> list[Prediction]:
        """Turn the spans of each text into one prediction a text."""


def examples(task: Task, source: Source, spec: ImageSpec | TextSpec, *, labelled: bool = True) -> Source:
    """Turn a source into what a model is fed with: pictures as they are, texts as tokens, one frame or window each.

    Args:
        task: knows what its targets are.
        source: that the user gave.
        spec: of the model.
        labelled: whether targets go along, if there are any.

    Returns:
        The source, or one of kind "tokens".
    """
    if not isinstance(spec, TextSpec) or source.kind == "tokens":
        return source
    made = tokenized(source, spec)
    if not labelled or source.targets is None:
        return replace(made, targets=None, labels=None)
    return replace(made, targets=cast(TokenTask, task).align(made, source)) if task.per_token else made


def of_pairs(spec: ImageSpec | TextSpec) -> TextSpec:
    """Make two texts an example.

    Raises:
        ValueError: if the backbone eats pictures.
    """
    if not isinstance(spec, TextSpec):
        raise ValueError("`pairs=True` is of texts; the backbone eats pictures.")
    return replace(spec, pairs=True)


def windowed(spec: ImageSpec | TextSpec, name: str) -> TextSpec:
    """Read longer texts in windows that share an eighth of their tokens, unless the user set another stride.

    Raises:
        ValueError: if the backbone eats pictures.
    """
    if not isinstance(spec, TextSpec):
        raise ValueError(f"{name} is of texts; the backbone eats pictures.")
    return spec if spec.stride is not None else replace(spec, stride=spec.sequence_length // 8)


def require_kind(source: Source, spec: ImageSpec | TextSpec, name: str) -> None:
    """Raise unless a source holds what a model eats.

    Raises:
        ValueError: with the way out.
    """
    texts = source.kind in TEXT_KINDS
    if texts != isinstance(spec, TextSpec):
        held, eaten = ("texts", "pictures") if texts else ("pictures", "texts")
        raise ValueError(f"`{name}` holds {held}, and the model eats {eaten}.")
    if isinstance(spec, TextSpec) and spec.pairs != (source.kind == "pairs") and source.kind != "tokens":
        pairs = source.kind == "pairs"
        held, eaten = ("pairs of texts", "single texts") if pairs else ("single texts", "pairs of them")
        way = "Make its task with `pairs=True`." if pairs else "Pass tuples of two texts."
        raise ValueError(f"`{name}` holds {held}, and the model reads {eaten}. {way}")


def require_labels(task: Task, source: Any, name: str) -> None:
    """Raise unless a source carries targets that mean what the task's outputs mean.

    Args:
        task: of the model.
        source: with `targets` and `labels`.
        name: the argument it came in, for the error.

    Raises:
        ValueError: if it has no targets, or other labels, naming the ones that differ.
    """
    if source.targets is None or source.labels is None:
        raise ValueError(f"`{name}` has no labels: {source.describe().splitlines()[0]}")
    theirs, ours = source.labels, task.labels
    if theirs.type != ours.type:
        raise ValueError(f"`{name}` has labels of type {theirs.type!r}, the model's task has {ours.type!r}.")
    if theirs.names == ours.names:
        return
    if theirs.type == "entities" and set(theirs.names) <= set(ours.names):
        return  # a file need not hold every type; types go by their names
    missing = [label for label in ours.names if label not in theirs.names]
    unknown = [label for label in theirs.names if label not in ours.names]
    problems = check.Problems()
    if unknown:
        problems.add(f"`{name}` has labels that the model does not know: {check.listing(unknown)}")
    if missing:
        problems.add(f"`{name}` lacks labels that the model knows: {check.listing(missing)}")
    if not problems.found:
        problems.add(f"`{name}` has the model's labels in another order: {check.listing(theirs.names)}")
    problems.raise_if_any(f"`{name}` and the model have different labels:")
