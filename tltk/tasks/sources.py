"""Check that the labels of a source, or of a user's own dataset, match those of a task."""

from dataclasses import replace

import tensorflow as tf

from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.pipeline.user_dataset import parts_of
from tltk.specs import LabelSpec
from tltk.tasks.base import Task
from tltk.tasks.label_spec import class_names

_WITH_CLASSES = ("categorical", "multilabel", "boxes", "masks")  # types whose targets are numbers of the labels


def require_labels(task: Task, data: Source | tf.data.Dataset, name: str) -> None:
    """Raise unless data has targets, with the labels of a task.

    Args:
        task: Task of the model.
        data: A source, or a user's own dataset: its targets are checked while it is read, but the order of classes is
            known only for a dataset with `class_names`.
        name: Argument that holds the data, for the error message.

    Raises:
        InvalidInput: If the data has no targets, or its labels differ; every differing name is listed.
    """
    if isinstance(data, tf.data.Dataset):
        _require_dataset_labels(task, data, name)
        return
    if data.targets is None or data.labels is None:
        raise InvalidInput(f"`{name}` has no labels: {data.describe().splitlines()[0]}")
    task.check_labels(data.labels, name)


def with_labels_of(task: Task, data: Source | tf.data.Dataset) -> Source | tf.data.Dataset:
    """Return data for evaluation whose classes are those of a task, in its order.

    A test set may lack some classes, or have them in another order. Data that does not fit is returned unchanged, so
    that `require_labels` can tell why.
    """
    hint = "Pass a source, such as tltk.from_folder(...) or tltk.from_arrays(x, y), or a tf.data.Dataset."
    check.instance_of("data", data, (Source, tf.data.Dataset), hint=hint)
    labels = data.labels if isinstance(data, Source) else None
    if labels is None or labels == task.labels or labels.type not in _WITH_CLASSES:
        return data
    if labels.type != task.labels.type or not set(labels.names) <= set(task.labels.names):
        return data
    return replace(data, targets=data.targets.relabelled(labels, task.labels), labels=task.labels)


def _require_dataset_labels(task: Task, data: tf.data.Dataset, name: str) -> None:
    if len(parts_of(data.element_spec)) < 2:
        raise InvalidInput(
            f"`{name}` has no targets: it must yield (inputs, targets), such as dataset.map(lambda image, label: "
            f"(image, label)). Received: {data.element_spec}"
        )
    names = class_names(data)
    if names is not None and task.labels.type in _WITH_CLASSES:
        task.check_labels(LabelSpec(names, task.labels.type), name)
