"""Tasks by name, and the task that fits a type of labels by default."""

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from typing import Any, TypeVar

from tltk.data.source import Source
from tltk.foundation.registry import Registry
from tltk.tasks.base import Task

TaskClass = TypeVar("TaskClass", bound=type[Task])

TASKS: Registry[type[Task]] = Registry("task", "tltk.register_task(MyTask)")
DEFAULTS: Registry[Callable[[Source], Task]] = Registry(
    "default task for labels of type", "tltk.tasks.register_default(label_type, constructor)"
)


def register_task(task_class: TaskClass) -> TaskClass:
    """Make a task known by its name, so that runs which store it can be loaded.

    Args:
        task_class: a frozen dataclass that derives from `tltk.tasks.Task` and has a `name`.

    Returns:
        The class: the function also serves as a decorator.

    Raises:
        TypeError: if it does not derive from `Task`, is not a frozen dataclass or lacks a method.
        ValueError: if it has no name, or another task has it.

    Example:
        >>> register_task(type("Nameless", (), {}))
        Traceback (most recent call last):
        ...
        TypeError: `task_class` must be a class that derives from tltk.tasks.Task. Received: <class '...Nameless'>
    """
    if not isinstance(task_class, type) or not issubclass(task_class, Task):
        raise TypeError(f"`task_class` must be a class that derives from tltk.tasks.Task. Received: {task_class!r}")
    missing = sorted(getattr(task_class, "__abstractmethods__", ()))
    if missing:
        raise TypeError(f"{task_class.__name__} must define {', '.join(missing)}.")
    if not is_dataclass(task_class) or not task_class.__dataclass_params__.frozen:
        raise TypeError(f"{task_class.__name__} must be a frozen dataclass: its fields are what a run stores.")
    TASKS.register(getattr(task_class, "name", ""), task_class)
    return task_class


def require_task(task: object) -> None:
    """Raise unless an object is a task that is registered.

    Raises:
        TypeError: if it is not a task.
        ValueError: if its class is not registered, with the call that registers it.
    """
    if not isinstance(task, Task):
        raise TypeError(
            "`task` must be a task, such as tltk.classification(labels), or one of your own that derives from "
            f"tltk.tasks.Task. Received: {type(task).__name__}"
        )
    if type(task) not in TASKS.values():
        name = type(task).__name__
        raise ValueError(f"task {task.name!r} is not registered: register it with tltk.register_task({name}).")


def from_config(config: Mapping[str, Any]) -> Task:
    """Rebuild a task from what its `to_config` returned.

    Args:
        config: JSON values, "name" among them.

    Returns:
        An equal task.

    Raises:
        ValueError: for the name of a task that is not registered, with the way to register it.
        TypeError: for fields that the task does not have.
    """
    return TASKS.get(config["name"]).from_config(config)


def register_default(label_type: str, constructor: Callable[[Source], Task]) -> None:
    """Say which task fits the labels of a type where none is named, as in `tltk train`.

    Args:
        label_type: `LabelSpec.type`.
        constructor: labelled source → task.

    Raises:
        ValueError: if the type has another default.
    """
    DEFAULTS.register(label_type, constructor)


def for_source(source: Source) -> Task:
    """Return the task that fits the labels of a source.

    Raises:
        ValueError: if it has no labels, or labels of a type without a default task.

    Example:
        >>> from tltk.data.formats.arrays import from_arrays
        >>> for_source(from_arrays(["a text", "another"], ["good", "bad"])).name
        'classification'
    """
    if source.labels is None:
        raise ValueError("training needs labels, and the source has none: name their column with `label`.")
    return DEFAULTS.get(source.labels.type)(source)
