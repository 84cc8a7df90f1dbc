"""What every task offers: a head with its activation, a loss, metrics, target encoding and decoding."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np

from tltk import _check as check
from tltk.heads import Head
from tltk.specs import Labels


@dataclass(frozen=True)
class Prediction:
    """What a model says of one example.

    Args:
        where: the example's path or row.
        label: the most likely class; for several labels at once, those above the threshold joined by ", ";
            for numbers, the numbers.
        probability: of `label` (single label only), else None.
        scores: label or column name → probability or value, most likely first.
    """

    where: str
    label: str
    probability: float | None
    scores: dict[str, float]


class Task(Protocol):
    """The part of a model that depends on what is asked of it; `classify` and `regress` make them."""

    @property
    def name(self) -> str: ...

    @property
    def labels(self) -> Labels: ...

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

    def decode(self, outputs: np.ndarray, where: list[str]) -> list[Prediction]:
        """Turn float32 [n, outputs] into one prediction an example."""

    def to_config(self) -> dict: ...


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
    if theirs.kind != ours.kind:
        raise ValueError(f"`{name}` has labels of kind {theirs.kind!r}, the model's task has {ours.kind!r}.")
    if theirs.names == ours.names:
        return
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
