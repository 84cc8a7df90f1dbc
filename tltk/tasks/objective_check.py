"""Checks of a loss and metrics of the user's own, on a small batch of a task: mistakes are found before training."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import keras
import numpy as np

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.tasks.aligned import AlignedMetric
from tltk.tasks.base import Task
from tltk.tasks.objective import ExampleBatch, as_objective

AnyTask = TypeVar("AnyTask", bound=Task)

_OF_CLASSES = ("from_logits", "threshold", "thresholds", "num_classes")  # settings of losses and metrics of classes


def with_objective(task: AnyTask, loss: Any, metrics: Any) -> AnyTask:
    """Return a task with a loss and metrics of the user's own.

    Args:
        task: A built-in task.
        loss: Value of the argument `loss` of its constructor; None for the loss of the task.
        metrics: Value of the argument `metrics`, in addition to those of the task.

    Raises:
        InvalidType: If an argument has the wrong type.
        InvalidInput: If a name is unknown, or a loss or metric does not fit the outputs of the task.
    """
    objective = as_objective(loss, metrics)
    if not objective:
        return task
    record: Any = task
    task = replace(record, objective=objective)
    problems = check.Problems()
    for problem in (*_loss_problems(task), *_metric_problems(task)):
        problems.add(problem)
    problems.raise_if_any()
    return task


def without_weights(task: Task) -> tuple[str, ...]:
    """Return the names of the training metrics that take no sample weights."""
    metrics = [item for item in keras.tree.flatten(task.training_metrics()) if isinstance(item, keras.metrics.Metric)]
    return tuple(metric.name for metric in metrics if not _is_weighted(metric))


def _is_weighted(metric: keras.metrics.Metric) -> bool:
    parameters = inspect.signature(metric.update_state).parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    inner = getattr(metric, "metric", None)  # of an aligned metric
    is_weighted = "sample_weight" in parameters or kinds & {inspect.Parameter.VAR_KEYWORD}
    return bool(is_weighted) and (not isinstance(inner, keras.metrics.Metric) or _is_weighted(inner))


def _loss_problems(task: Task) -> Iterator[str]:
    loss = task.objective.new_loss()
    if loss is None:
        return
    if getattr(task, "label_smoothing", 0):
        yield (
            "`label_smoothing` belongs to the loss of the task, which `loss` replaces: give it to your loss, such as "
            "keras.losses.CategoricalCrossentropy(label_smoothing=0.1)"
        )
    misfit = _misfit(loss, task)
    if misfit:
        yield f"`loss`: {loss.name!r} {misfit}"
        return
    if getattr(loss, "reduction", "sum_over_batch_size") in (None, "none", "sum"):
        yield (
            f"`loss`: {loss.name!r} has reduction={loss.reduction!r}, but the loss of a batch must be the mean over "
            "its examples: use the default, 'sum_over_batch_size'"
        )
        return
    batch = task.example_batch()
    with _explained(f"`loss`: {loss.name!r}", batch):
        value = np.asarray(task.training_loss()(batch.targets, batch.outputs))
    if value.shape != () or not np.isfinite(value):
        yield f"`loss`: {loss.name!r} must return a finite number for each example. Received: {value!r:.80}"


def _metric_problems(task: Task) -> Iterator[str]:
    taken = {"loss", *(metric.name for metric in task.metrics())}
    for metric in task.objective.new_metrics():
        if metric.name in taken:
            yield f"`metrics`: the name {metric.name!r} is taken: give each metric a unique `name`"
            continue
        taken.add(metric.name)
        misfit = _misfit(metric, task)
        if misfit:
            yield f"`metrics`: {metric.name!r} {misfit}"
            continue
        batch = task.example_batch()
        aligned = metric if task.align is None else AlignedMetric(metric, task.align)
        with _explained(f"`metrics`: {metric.name!r}", batch):
            aligned.update_state(batch.targets, batch.outputs)
            result = aligned.result()
            shape = None if isinstance(result, dict) else np.shape(result)
        if shape != ():
            received = "a dict" if shape is None else f"shape {shape}"
            hint = ". Pass average='macro' or 'micro'" if hasattr(metric, "average") else ""
            yield f"`metrics`: {metric.name!r} must return one number. Received: {received}{hint}"


def _misfit(item: Any, task: Task) -> str:
    """Return why a loss or metric makes no sense for the outputs of a task; "" if it may."""
    batch, name = task.example_batch(), type(item).__name__
    config = item.get_config() if type(item).__module__.startswith("keras.") else {}
    is_of_classes = "accuracy" in name.lower() or any(setting in config for setting in _OF_CLASSES)
    logits_needed = batch.output_type == "logits"
    if isinstance(item, keras.metrics.Accuracy):
        return "tests for equality, which outputs of networks never pass"
    if batch.output_type == "values":
        return f"is for classes, and the outputs of {task.name} are numbers" if is_of_classes else ""
    is_of_numbers = isinstance(item, keras.metrics.IoU) and not isinstance(item, keras.metrics.BinaryIoU)
    if is_of_numbers and (item.sparse_y_true, item.sparse_y_pred) != (batch.class_numbers, False):
        fix = "pass sparse_y_pred=False" if batch.class_numbers else "use OneHotIoU or OneHotMeanIoU"
        return f"takes class numbers, but the outputs are {batch.output_type} of every class: {fix}"
    if config.get("from_logits") is (not logits_needed):
        received = config["from_logits"]
        return f"has from_logits={received}, but the outputs are {batch.output_type}: pass from_logits={not received}"
    if "Sparse" in name and not batch.class_numbers:
        return f"takes class numbers, but the targets are vectors [batch, classes]: use {name.replace('Sparse', '')}"
    return ""


@contextmanager
def _explained(what: str, batch: ExampleBatch) -> Iterator[None]:
    """Say which loss or metric failed, and on what."""
    try:
        yield
    except Exception as error:  # a user's own code may raise anything
        shapes = ("[" + ", ".join(map(str, ("batch", *array.shape[1:]))) + "]" for array in batch[:2])
        targets, outputs = shapes
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        received = f"targets {batch.targets.dtype} {targets} and outputs {batch.outputs.dtype} {outputs}"
        raise InvalidInput(f"{what} fails on {received}: {reason}") from error
