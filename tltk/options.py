"""What the command line's options mean: a source, a recipe, a task."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tltk.data.sources import Source
    from tltk.recipes import Recipe
    from tltk.tasks import Task


def source(path: Path, *, label: str, input_column: str, kind: str, text: str | None) -> "Source":
    """Read a table or a folder.

    Args:
        path: .csv, .tsv or .jsonl, else a folder with a sub-folder a class.
        label: column of the labels.
        input_column: column of the paths of pictures.
        kind: what the labels are.
        text: column of texts, in the place of pictures; None for pictures.

    Raises:
        ValueError: if `text` is given for a folder, or the file does not hold what is asked for.
        OSError: if there is nothing.
    """
    import tltk

    column = text or input_column
    if path.suffix.lower() in (".csv", ".tsv"):
        return tltk.from_csv(path, input=column, label=label, kind=kind, text=text is not None)
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return tltk.from_jsonl(path, input=column, label=label, kind=kind, text=text is not None)
    if text is not None:
        raise ValueError(f"`--text` names a column of a .csv, .tsv or .jsonl file. Received: {path}")
    return tltk.from_folder(path)


def recipe(name: str, *, epochs: int | None, learning_rate: float | None, unfreeze: str | None) -> "Recipe":
    """Make a recipe of its name and the options that were given.

    Raises:
        ValueError: for an unknown name, or an option that the recipe has not.
    """
    from tltk import _check as check

    names = ("fine_tune", "linear_probe", "full", "bert")
    check.one_of("recipe", name, names)
    if unfreeze and name != "fine_tune":
        raise ValueError(f"`--unfreeze` goes with --recipe fine_tune. Received: --recipe {name}")
    from tltk import recipes

    given: dict[str, Any] = {"epochs": epochs, "learning_rate": learning_rate, "unfreeze": unfreeze}
    return getattr(recipes, name)(**{key: value for key, value in given.items() if value is not None})


def task(examples: "Source") -> "Task":
    """Choose the task that fits the labels of a source.

    Raises:
        ValueError: if it has none.
    """
    import tltk

    if examples.labels is None:
        raise ValueError("training needs labels; name their column with --label.")
    return tltk.regress(examples.labels) if examples.labels.kind == "number" else tltk.classify(examples.labels)
