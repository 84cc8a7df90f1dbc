"""Check that the labels of a source match those of a task."""

from tltk.data.source import Source
from tltk.foundation.errors import InvalidInput
from tltk.tasks.base import Task


def require_labels(task: Task, source: Source, name: str) -> None:
    """Raise unless a source has targets, with the labels of a task.

    Args:
        task: Task of the model.
        source: Source to check.
        name: Argument that holds the source, for the error message.

    Raises:
        InvalidInput: If the source has no targets, or its labels differ; every differing name is listed.
    """
    if source.targets is None or source.labels is None:
        raise InvalidInput(f"`{name}` has no labels: {source.describe().splitlines()[0]}")
    task.check_labels(source.labels, name)
