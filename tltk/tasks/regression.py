"""Regression: one or several numbers an example."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import keras
import numpy as np

from tltk.foundation import checks as check
from tltk.heads import builder as heads
from tltk.specs import ImageSpec, LabelSpec, TextSpec
from tltk.tasks.base import Prediction, of_pairs
from tltk.tasks.encodings import as_float


@keras.saving.register_keras_serializable(package="tltk")
class StandardizedSquaredError(keras.losses.Loss):
    """Squared error in units of each column's deviation, so that prices and ages weigh the same."""

    def __init__(self, std: tuple[float, ...], name: str = "standardized_squared_error") -> None:
        super().__init__(name=name)
        self.std = tuple(float(value) for value in std)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Mean over columns of ((y_true - y_pred) / deviation)², float32 [batch]."""
        scale = keras.ops.convert_to_tensor(self.std, dtype="float32")
        difference = (keras.ops.cast(y_true, "float32") - keras.ops.cast(y_pred, "float32")) / scale
        return keras.ops.mean(keras.ops.square(difference), axis=-1)

    def get_config(self) -> dict:
        return {"std": self.std, "name": self.name}


@dataclass(frozen=True)
class Regression:
    """Numbers in their own units; the network learns them in deviations from the mean."""

    labels: LabelSpec
    head: heads.Head
    pairs: bool = False
    name: str = "regression"
    monitor: tuple[str, str] = ("mae", "min")
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
        """Numbers to float32 [batch, columns]."""
        return as_float(len(self.labels))

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each column; 1 where the labels state none."""
        return self.labels.std or (1.0,) * len(self.labels)

    def outputs(
        self, features: keras.KerasTensor, *, mask: keras.KerasTensor | None = None, seed: int = 0
    ) -> keras.KerasTensor:
        """Numbers in the targets' units, float32 [batch, columns]."""
        x = heads.attach(self.head, features, units=len(self.labels), mask=mask, seed=seed)
        mean = self.labels.mean or (0.0,) * len(self.labels)
        return keras.layers.Rescaling(list(self.std), list(mean), dtype="float32", name="head_units")(x)

    def loss(self) -> keras.losses.Loss:
        """Squared error in units of deviations."""
        return StandardizedSquaredError(self.std)

    def metrics(self) -> list[keras.metrics.Metric]:
        """Mean absolute and root mean squared error, in the targets' units."""
        return [keras.metrics.MeanAbsoluteError(name="mae"), keras.metrics.RootMeanSquaredError(name="rmse")]

    def decode(self, outputs: np.ndarray, example_ids: list[str]) -> list[Prediction]:
        """Each column's number."""
        found = []
        for name, row in zip(example_ids, outputs, strict=True):
            scores = {column: float(value) for column, value in zip(self.labels.names, row, strict=True)}
            found.append(Prediction(name, ", ".join(f"{value:.6g}" for value in scores.values()), None, scores))
        return found

    def to_config(self) -> dict:
        """Plain JSON values that `tltk.tasks.from_config` takes back."""
        return {"name": self.name, "labels": asdict(self.labels), "head": asdict(self.head), "pairs": self.pairs}


def regression(labels: LabelSpec, *, head: heads.Head | None = None, pairs: bool = False) -> Regression:
    """Make a regression task for a source's numbers.

    Args:
        labels: `source.labels` of type "regression", with the mean and deviation of each column.
        head: from `tltk.head`; the default is one linear layer.
        pairs: whether an example is two texts, such as two sentences whose similarity is asked.

    Returns:
        A task for `assemble`.

    Raises:
        TypeError: if `labels` is no Labels record.
        ValueError: if the labels are classes.

    Example:
        >>> regression(LabelSpec(("age",), "regression", (40.0,), (12.0,))).std
        (12.0,)
    """
    check.kind_of("labels", labels, LabelSpec, hint="Pass `source.labels`.")
    if labels.type != "regression":
        raise ValueError(
            f"`labels` are classes ({check.listing(labels.names, limit=6)}), not numbers. "
            "Use tltk.classification(labels), or read the column with label_type='regression'."
        )
    return Regression(labels, heads.head() if head is None else head, pairs)
