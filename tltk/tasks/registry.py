"""The registry of tasks by name, and the default task for each type of labels."""

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from typing import Any, TypeVar

from tltk.data.source import Source
from tltk.foundation.errors import InvalidInput, InvalidType
from tltk.foundation.registry import Registry, is_redefinition
from tltk.tasks.base import Task

TaskClass = TypeVar("TaskClass", bound=type[Task])

TASKS: Registry[type[Task]] = Registry("task", "tltk.register_task(MyTask)")
DEFAULTS: Registry[Callable[[Source], Task]] = Registry(
    "default task for labels of type", "tltk.tasks.register_default(label_type, constructor)"
)


def register_task(task_class: TaskClass) -> TaskClass:
    """Register a task under its name, so that runs which store it can be loaded.

    Args:
        task_class: A frozen dataclass that derives from `tltk.tasks.Task` and has a `name`.

    Returns:
        The class, so that the function can be used as a decorator.

    Raises:
        InvalidType: If the class does not derive from `Task`, is not a frozen dataclass or lacks a method.
        InvalidInput: If the name is missing or taken.

    Examples:
        >>> register_task(type("Nameless", (), {}))
        Traceback (most recent call last):
        ...
        tltk.errors.InvalidType: `task_class` must be a class that derives from tltk.tasks.Task. Received: ...
    """
    if not isinstance(task_class, type) or not issubclass(task_class, Task):
        raise InvalidType(f"`task_class` must be a class that derives from tltk.tasks.Task. Received: {task_class!r}")
    missing = sorted(getattr(task_class, "__abstractmethods__", ()))
    if missing:
        raise InvalidType(f"{task_class.__name__} must define {', '.join(missing)}.")
    if not is_dataclass(task_class) or not task_class.__dataclass_params__.frozen:
        raise InvalidType(f"{task_class.__name__} must be a frozen dataclass: its fields are what a run stores.")
    TASKS.register(getattr(task_class, "name", ""), task_class)
    return task_class


def require_task(task: object) -> None:
    """Raise unless an object is a task whose class is registered.

    Raises:
        InvalidType: If it is not a task.
        InvalidInput: If its class is not registered.
    """
    if not isinstance(task, Task):
        raise InvalidType(
            "`task` must be a task, such as tltk.classification(labels), or a task of your own that derives from "
            f"tltk.tasks.Task. Received: {type(task).__name__}"
        )
    task_class = type(task)
    if task_class in TASKS.search():
        return
    if task.name in TASKS and is_redefinition(task_class, TASKS.get(task.name)):
        raise InvalidInput(
            f"the class {task_class.__name__} has been defined again since this task was created: create the task, and "
            "the model that has it, again."
        )
    raise InvalidInput(
        f"task {task.name!r} is not registered: register it with tltk.register_task({task_class.__name__})."
    )


def from_config(config: Mapping[str, Any]) -> Task:
    """Rebuild a task from the result of its `to_config`.

    Args:
        config: JSON values: "name" and the fields of the task.

    Returns:
        A task equal to the original.

    Raises:
        InvalidInput: If no task is registered under the name.
        InvalidType: If `config` has a key that is not a field of the task.
    """
    return TASKS.get(config["name"]).from_config(config)


def register_default(label_type: str, constructor: Callable[[Source], Task]) -> None:
    """Register the default task for a type of labels, as used by `tltk train`.

    Args:
        label_type: `LabelSpec.type`.
        constructor: Labelled source → task.

    Raises:
        InvalidInput: If the type has another default task.
    """
    DEFAULTS.register(label_type, constructor)


def for_source(source: Source) -> Task:
    """Build the default task for the labels of a source.

    Raises:
        InvalidInput: If the source has no labels, or labels of a type without a default task.

    Examples:
        >>> from tltk.data.formats.arrays import from_arrays
        >>> for_source(from_arrays(["a text", "another"], ["good", "bad"])).name
        'classification'
    """
    if source.labels is None:
        raise InvalidInput("training needs labels, and the source has none: pass the name of their column as `label`.")
    return DEFAULTS.get(source.labels.type)(source)
