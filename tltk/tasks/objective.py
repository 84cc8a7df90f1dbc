"""A loss and metrics of the user's own for a built-in task: any of Keras, by name, as an instance or as a function."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import keras
import numpy as np

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput, InvalidType

_WORD_STARTS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BY_SHAPE = ("accuracy", "acc", "crossentropy", "ce")  # names that Keras resolves by the shape of the targets


class ExampleBatch(NamedTuple):
    """A small batch in the form that the losses and metrics of a task get, to try a user's own on.

    Attributes:
        targets: Encoded targets [batch, …].
        outputs: Outputs of the network [batch, …].
        output_type: "probabilities", "logits" or "values".
        class_numbers: Whether targets are numbers of classes, as "sparse" losses take them.
    """

    targets: np.ndarray
    outputs: np.ndarray
    output_type: str
    class_numbers: bool = False


@keras.saving.register_keras_serializable(package="tltk")
class FunctionLoss(keras.losses.Loss):
    """A function as a loss.

    Args:
        function: (targets, outputs) → loss of each example, [batch].
        name: Name of the loss.
    """

    def __init__(self, function: Callable[[Any, Any], Any], name: str | None = None) -> None:
        super().__init__(name=name or function.__name__)
        self.function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each example, float32 [batch]."""
        return self.function(y_true, y_pred)

    def get_config(self) -> dict:
        return {"function": keras.saving.serialize_keras_object(self.function), "name": self.name}

    @classmethod
    def from_config(cls, config: dict) -> Self:
        """Rebuild the loss; a function that is not registered must be among the custom objects."""
        return cls(keras.saving.deserialize_keras_object(config["function"]), config["name"])


@dataclass(frozen=True, eq=False)
class Objective:
    """What a user passed as `loss` and `metrics` to the constructor of a task.

    Args:
        loss: Used instead of the loss of the task; a Keras loss or a function; None keeps that of the task.
        metrics: Reported in addition to those of the task; Keras metrics or functions. They are copied before use.
    """

    loss: keras.losses.Loss | Callable[[Any, Any], Any] | None = None
    metrics: tuple[keras.metrics.Metric | Callable[[Any, Any], Any], ...] = ()

    def __bool__(self) -> bool:
        return self.loss is not None or bool(self.metrics)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Objective):
            return NotImplemented
        return self is other or self.to_config() == other.to_config()

    def __hash__(self) -> int:
        return hash(len(self.metrics))

    def __repr__(self) -> str:
        if not self:
            return "Objective()"
        loss = None if self.loss is None else _name_of(self.loss)
        return f"Objective(loss={loss!r}, metrics={tuple(map(_name_of, self.metrics))!r})"

    def new_loss(self) -> keras.losses.Loss | None:
        """Return the loss as a Keras loss; None to use that of the task."""
        loss: Any = self.loss
        return loss if loss is None or isinstance(loss, keras.losses.Loss) else FunctionLoss(loss)

    def new_metrics(self) -> list[keras.metrics.Metric]:
        """Return new metrics, which have seen no batch: Keras trains every phase with new ones."""
        return [_new_metric(metric) for metric in self.metrics]

    def to_config(self) -> dict[str, Any]:
        """Return both as JSON values; see `keras.saving.serialize_keras_object`."""
        return {
            "loss": None if self.loss is None else keras.saving.serialize_keras_object(self.loss),
            "metrics": [keras.saving.serialize_keras_object(metric) for metric in self.metrics],
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Rebuild both, within `keras.saving.custom_object_scope` if they are not registered with Keras."""
        loss, metrics = config["loss"], config["metrics"]
        rebuilt = tuple(keras.saving.deserialize_keras_object(dict(metric)) for metric in metrics)
        return cls(None if loss is None else keras.saving.deserialize_keras_object(dict(loss)), rebuilt)


NO_OBJECTIVE = Objective()


def as_objective(loss: Any, metrics: Any) -> Objective:
    """Convert the arguments `loss` and `metrics` of the constructor of a task.

    Args:
        loss: Keras loss, name of one, or function of (targets, outputs); None for that of the task.
        metrics: Sequence of Keras metrics, names of them, or functions.

    Returns:
        The record.

    Raises:
        InvalidType: If an argument is something else.
        InvalidInput: If a name is unknown, or a function is a lambda, which cannot be saved.

    Examples:
        >>> as_objective("huber", ["mse", keras.metrics.AUC(name="auc")])
        Objective(loss='huber_loss', metrics=('mse', 'auc'))
    """
    if isinstance(metrics, str | dict) or not isinstance(metrics, Sequence):
        raise InvalidType(f"`metrics` must be a list of metrics, names or functions. Received: {metrics!r:.80}")
    return Objective(None if loss is None else _as_loss(loss), tuple(map(_as_metric, metrics)))


def _as_loss(loss: Any) -> Any:
    library = _library_losses()
    if isinstance(loss, str):
        try:
            loss = keras.losses.get(loss)
        except ValueError as error:
            names = check.did_you_mean(loss, [*library, *(item.__name__ for item in library.values())])
            raise InvalidInput(f"`loss`: Keras has no loss {loss!r}.{names}") from error
    if isinstance(loss, keras.losses.Loss):
        return loss
    _require_function("loss", loss, keras.losses.Loss)
    is_of_keras = loss.__name__ in library and keras.losses.get(loss.__name__) is loss
    return library[loss.__name__]() if is_of_keras else loss


def _library_losses() -> dict[str, type]:
    """Return name of the function of each loss of Keras → its class."""
    classes = _classes(keras.losses, keras.losses.Loss)
    return {_WORD_STARTS.sub("_", item.__name__).lower(): item for item in classes}  # Huber().name is "huber_loss"


def _as_metric(metric: Any) -> Any:
    if isinstance(metric, str) and metric in _BY_SHAPE:
        raise InvalidInput(
            f"`metrics`: {metric!r} means several metrics in Keras, depending on the targets. Pass one of them, such "
            "as keras.metrics.CategoricalAccuracy(name='…'); tltk's classification reports accuracy in any case."
        )
    if isinstance(metric, str):
        name = metric
        try:
            metric = keras.metrics.get(name)
        except ValueError as error:
            names = [item.__name__ for item in _classes(keras.metrics, keras.metrics.Metric)]
            hint = check.did_you_mean(name, names)
            if name in _library_losses():
                hint = f" To measure this loss, pass a function of your own that returns keras.losses.{name}(…)."
            raise InvalidInput(f"`metrics`: Keras has no metric {name!r}.{hint}") from error
        if isinstance(metric, keras.metrics.Metric):  # its name has a number if there were others: "auc_1"
            config = {**metric.get_config(), "name": name if name.islower() else re.sub(r"_\d+$", "", metric.name)}
            return type(metric).from_config(config)
    if isinstance(metric, keras.metrics.Metric):
        return metric
    _require_function("metrics", metric, keras.metrics.Metric)
    is_of_keras = metric.__module__.startswith("keras.")
    return _as_metric(metric.__name__) if is_of_keras else metric


def _require_function(argument: str, value: Any, expected: type) -> None:
    if isinstance(value, type) and issubclass(value, expected):
        raise InvalidType(f"`{argument}` must be instances, not classes: pass {value.__name__}(). Received: the class")
    if not inspect.isfunction(value):
        kind = expected.__name__.lower()
        raise InvalidType(
            f"`{argument}`: a {kind} must be a Keras {kind}, the name of one, or a function of (targets, outputs). "
            f"Received: {value!r:.80}"
        )
    if value.__name__ == "<lambda>":
        raise InvalidInput(f"`{argument}`: a lambda cannot be saved with the run. Define a function with a name.")


def _new_metric(metric: Any) -> keras.metrics.Metric:
    if not isinstance(metric, keras.metrics.Metric):
        return keras.metrics.MeanMetricWrapper(metric, name=metric.__name__)
    try:
        return type(metric).from_config(metric.get_config())
    except (TypeError, ValueError, KeyError, NotImplementedError) as error:
        raise InvalidInput(
            f"`metrics`: {metric.name!r} cannot be copied from its `get_config`, which tltk needs for each phase and "
            f"for saved runs: {error}"
        ) from error


def _classes(module: Any, base: type) -> list[type]:
    classes = [item for item in vars(module).values() if isinstance(item, type)]
    return [item for item in classes if issubclass(item, base) and item is not base]


def _name_of(item: Any) -> str:
    return getattr(item, "name", None) or item.__name__
