"""Whether the labels of a source and a task fit together."""

from tltk.data.source import Source
from tltk.tasks.base import Task


def require_labels(task: Task, source: Source, name: str) -> None:
    """Raise unless a source has targets that mean what the outputs of a task mean.

    Args:
        task: of the model.
        source: with or without targets.
        name: argument it came in, for the error.

    Raises:
        ValueError: if it has no targets, or other labels, listing those that differ.
    """
    if source.targets is None or source.labels is None:
        raise ValueError(f"`{name}` has no labels: {source.describe().splitlines()[0]}")
    task.check_labels(source.labels, name)
