"""Regression: one or several numbers per example."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation import familiar
from tltk.foundation.errors import InvalidInput
from tltk.heads import builder as heads
from tltk.modalities.context import Context
from tltk.modalities.modality import modality_of, named_modality
from tltk.specs import LabelSpec
from tltk.tasks.answers import moved_scores
from tltk.tasks.base import Task, last_features, repeated
from tltk.tasks.class_scores import weights_or_ones
from tltk.tasks.dataset_targets import number_problem
from tltk.tasks.encodings import as_float
from tltk.tasks.label_spec import Labels, label_spec
from tltk.tasks.objective import NO_OBJECTIVE, ExampleBatch, Objective
from tltk.tasks.objective_check import with_objective
from tltk.tasks.records import Monitor, Prediction, ReportParts
from tltk.tasks.registry import register_default, register_task


@keras.saving.register_keras_serializable(package="tltk")
class StandardizedSquaredError(keras.losses.Loss):
    """Squared error in units of each column's standard deviation, so that prices and ages have equal weight."""

    def __init__(self, std: tuple[float, ...], name: str = "standardized_squared_error") -> None:
        super().__init__(name=name)
        self.std = tuple(float(value) for value in std)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the mean over columns of ((y_true - y_pred) / std)², float32 [batch]."""
        scale = keras.ops.convert_to_tensor(self.std, dtype="float32")
        difference = (keras.ops.cast(y_true, "float32") - keras.ops.cast(y_pred, "float32")) / scale
        return keras.ops.mean(keras.ops.square(difference), axis=-1)

    def get_config(self) -> dict:
        return {"std": self.std, "name": self.name}


@register_task
@dataclass(frozen=True)
class Regression(Task):
    """Regression in the units of the targets; internally, the network predicts standardized values.

    Args:
        labels: Column names, type "regression", with the mean and standard deviation of each column.
        head: Head from `tltk.head`.
        pairs: Whether an example is a pair of texts.
        objective: Loss and metrics of the user's own.
    """

    name: ClassVar[str] = "regression"
    monitor: ClassVar[Monitor] = Monitor("mae", "min")
    score_name: ClassVar[str] = "mae"
    constant_columns: ClassVar[tuple[str, ...]] = ("labels",)
    probe_kind: ClassVar[str] = "regression"

    labels: LabelSpec
    head: heads.Head = field(default_factory=heads.head)
    pairs: bool = False
    objective: Objective = NO_OBJECTIVE

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each column; 1 if the labels do not include it."""
        return self.labels.std or (1.0,) * len(self.labels)

    def input_spec(self, spec: Any) -> Any:
        """Expect one input per example or, with `pairs`, two texts."""
        return modality_of(spec).with_pairs(spec) if self.pairs else spec

    def outputs(
        self, features: dict[str, keras.KerasTensor], *, mask: keras.KerasTensor | None = None, seed: int = 0
    ) -> keras.KerasTensor:
        """Build the head, which outputs values in the units of the targets, float32 [batch, columns]."""
        standardized = heads.attach(self.head, last_features(features), units=len(self.labels), mask=mask, seed=seed)
        mean = self.labels.mean or (0.0,) * len(self.labels)
        return keras.layers.Rescaling(list(self.std), list(mean), dtype="float32", name="head_units")(standardized)

    def target_problem(self, targets: Any) -> str:
        """Require one finite number per column."""
        return number_problem(targets, self.labels.names)

    def encode(self, targets: Any) -> Any:
        """Cast targets to float32 [batch, columns]."""
        return as_float(len(self.labels))(targets)

    def probe_targets(self, targets: np.ndarray) -> np.ndarray:
        """Return standardized targets: the layer after the last linear one restores their units."""
        mean = np.array(self.labels.mean or [0.0] * len(self.labels), np.float32)
        return (targets - mean) / np.array(self.std, np.float32)

    def loss(self) -> keras.losses.Loss:
        """Return the squared error in units of standard deviations."""
        return StandardizedSquaredError(self.std)

    def metrics(self) -> list[keras.metrics.Metric]:
        """Return the mean absolute and the root mean squared error, in the units of the targets."""
        return [keras.metrics.MeanAbsoluteError(name="mae"), keras.metrics.RootMeanSquaredError(name="rmse")]

    def example_batch(self) -> ExampleBatch:
        """Return values near the means of the columns."""
        columns = len(self.labels)
        mean, std = np.array(self.labels.mean or [0.0] * columns), np.array(self.std)
        targets = (mean + std * np.linspace(-1, 1, columns + 1)[:, None]).astype("float32")
        return ExampleBatch(targets, (targets + 0.1 * std).astype("float32"), "values")

    def describe_outputs(self) -> dict[str, tuple[str, ...]]:
        """Name the values after the columns."""
        return {"values": self.labels.names}

    def decode(self, outputs: tf.Tensor, context: Context) -> dict[str, tf.Tensor]:
        """Return "values" and "labels", [n, columns] each."""
        values = context.average(outputs)
        return {"values": values, "labels": repeated(self.labels.names, values)}

    def predictions(self, decoded: Mapping[str, np.ndarray], ids: Sequence[str]) -> list[Prediction]:
        """Return the value of each column."""
        predictions = []
        for example_id, row in zip(ids, decoded["values"], strict=True):
            scores = {column: float(value) for column, value in zip(self.labels.names, row, strict=True)}
            label = ", ".join(f"{value:.6g}" for value in scores.values())
            predictions.append(Prediction(example_id, label, None, scores))
        return predictions

    def changed_answers(self, predictions: Sequence[Prediction], others: Sequence[Prediction]) -> np.ndarray:
        """Tell which values moved by more than a tenth of their standard deviation over the examples."""
        return moved_scores(predictions, others)

    def evaluator(self) -> "RegressionEvaluator":
        """Return the evaluator: mean absolute error, root mean squared error and R²."""
        return RegressionEvaluator(self.labels.names)


class RegressionEvaluator:
    """Computes regression metrics from sums in float64; with weights, as the `sample_weight` of scikit-learn.

    Args:
        names: Column names.

    Examples:
        >>> evaluator = RegressionEvaluator(["age"])
        >>> evaluator.update([[1.0], [3.0]], {"values": np.array([[1.0], [2.0]])}, ["a", "b"])
        >>> evaluator.result().metrics
        {'mae': 0.5, 'rmse': 0.7071067811865476, 'r2': 0.5}
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.total = 0.0  # sum of the weights; each example weighs 1 without weights
        # Per column: sums of absolute and squared errors; mean of the targets and sum of squared distances from it.
        self.absolute, self.squared, self.mean, self.spread = np.zeros((4, len(names)))
        self.lowest, self.highest = np.full(len(names), np.inf), np.full(len(names), -np.inf)

    def update(
        self,
        targets: Any,
        decoded: Mapping[str, np.ndarray],
        ids: Sequence[str],
        sample_weight: np.ndarray | None = None,
    ) -> None:
        """Add a batch of examples.

        Args:
            targets: [n, columns] or, for one column, [n].
            decoded: "values", [n, columns].
            ids: Id of each example.
            sample_weight: Weight of each example, float32 [n]; None if all count the same.
        """
        values = decoded["values"].astype("float64")
        true = np.asarray(targets, "float32").astype("float64").reshape(values.shape)
        weights = weights_or_ones(sample_weight, len(true)).astype(np.float64)
        self.absolute += weights @ np.abs(values - true)
        self.squared += weights @ np.square(values - true)
        self.lowest, self.highest = np.minimum(self.lowest, true.min(0)), np.maximum(self.highest, true.max(0))
        # Numerically stable update of mean and squared distances (Chan, Golub and LeVeque 1983).
        weight = weights.sum()
        mean, total = weights @ true / weight, self.total + weight
        self.spread += weights @ np.square(true - mean) + np.square(mean - self.mean) * self.total * weight / total
        self.mean += (mean - self.mean) * weight / total
        self.total = total

    def result(self) -> ReportParts:
        """Return each metric averaged over columns, and one row per column; R² only if the targets vary."""
        varies = self.highest > self.lowest
        r2 = np.where(varies, 1 - self.squared / np.where(varies, self.spread, 1), np.nan)
        columns = {"mae": self.absolute / self.total, "rmse": np.sqrt(self.squared / self.total), "r2": r2}
        rows = tuple(
            {"name": name, **{metric: float(values[column]) for metric, values in columns.items()}}
            for column, name in enumerate(self.names)
        )
        means = {metric: float(values.mean()) for metric, values in columns.items()}
        equal = [repr(name) for name, column_varies in zip(self.names, varies, strict=True) if not column_varies]
        notes = (f"all examples have the same value of {check.listing(equal)}: r2 is not defined",) if equal else ()
        defined = {metric: value for metric, value in means.items() if not np.isnan(value)}
        return ReportParts(defined, rows, "Columns", notes=notes)


@familiar.arguments
def regression(
    labels: Labels,
    *,
    head: heads.Head | None = None,
    pairs: bool = False,
    loss: Any = None,
    metrics: Sequence[Any] = (),
) -> Regression:
    """Build a regression task.

    Args:
        labels: `source.labels` of type "regression", with the mean and standard deviation of each column; or a list of
            column names, in which case the targets are not standardized.
        head: Head from `tltk.head`; default: `tltk.head()`.
        pairs: Whether an example is a pair of texts, such as two sentences with a similarity score.
        loss: A Keras loss, its name, or a function of (targets, outputs), instead of the squared error. It gets
            numbers in the units of the targets, [batch, columns].
        metrics: Keras metrics, names or functions of the same targets and outputs, which `fit` and `evaluate` report in
            addition.

    Returns:
        A task for `assemble`.

    Raises:
        InvalidType: If `labels` has no names.
        InvalidInput: If the labels are classes, or a loss or metric does not fit.

    Examples:
        >>> regression(LabelSpec(("age",), "regression", (40.0,), (12.0,))).std
        (12.0,)
    """
    spec = label_spec(labels, "regression")
    if spec.type != "regression":
        raise InvalidInput(
            f"`labels` are classes ({check.listing(spec.names, limit=6)}), not numbers. "
            "Use tltk.classification(labels), or read the column with label_type='regression'."
        )
    return with_objective(Regression(spec, heads.head() if head is None else head, pairs), loss, metrics)


def _for_source(source: Source) -> Task:
    labels: Any = source.labels
    return regression(labels, pairs=named_modality(source.modality).has_pairs(source))


register_default("regression", _for_source)
