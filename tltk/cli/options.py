"""What the command line's options mean: a source, a recipe, a task."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tltk.data.formats.folder import Source
    from tltk.models.assemble import TransferModel
    from tltk.recipes import Recipe
    from tltk.specs import LabelSpec
    from tltk.tasks import Task

_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on standard output.")]
RunFolder = Annotated[Path, typer.Argument(help="Folder of a run, as `tltk train --out` wrote it.")]

LabelColumn = Annotated[str, typer.Option("--label", help="Column of the labels (.csv, .jsonl).")]
InputColumn = Annotated[str, typer.Option("--input", help="Column of the picture paths (.csv, .jsonl).")]
TextColumn = Annotated[
    str | None,
    typer.Option("--text", help="Column of the texts (.csv, .jsonl), for pairs two: a,b."),
]


def source(
    path: Path,
    *,
    label: str | None,
    input_column: str,
    label_type: str,
    text: str | None,
    labels: "LabelSpec | None" = None,
) -> "Source":
    """Read a table, a file of entities or questions, or a folder.

    Args:
        path: .csv, .tsv or .jsonl; .conll (entities) or .json (SQuAD); else a folder with a sub-folder a class.
        label: column of the labels.
        input_column: column of the paths of pictures.
        label_type: what the labels are.
        text: column of texts, in the place of pictures, or two joined by a comma; None for pictures.
        labels: those of a model that is judged; None means those that occur.

    Raises:
        ValueError: if `text` is given for a folder, or the file does not hold what is asked for.
        OSError: if there is nothing.
    """
    import tltk

    column = input_column if text is None else tuple(part.strip() for part in text.split(","))
    asked: dict[str, Any] = {
        "input": column,
        "label": label,
        "label_type": label_type,
        "text": text is not None,
        "labels": labels,
    }
    if text is not None and path.suffix.lower() not in _TABLES:
        raise ValueError(f"`--text` names a column of a .csv, .tsv or .jsonl file. Received: {path}")
    if path.suffix.lower() == ".conll":
        return tltk.from_conll(path)
    if path.suffix.lower() == ".json":
        return tltk.from_squad(path)
    if path.suffix.lower() in (".csv", ".tsv"):
        return tltk.from_csv(path, **asked)
    if path.suffix.lower() in _TABLES:
        return tltk.from_jsonl(path, **asked)
    if path.is_file():
        raise ValueError(f"{path} must be a folder or end in .csv, .tsv, .jsonl, .conll (entities) or .json (SQuAD).")
    found = tltk.from_folder(path)
    same = labels is not None and found.labels is not None and set(found.labels.names) == set(labels.names)
    return (
        tltk.from_folder(path, classes=labels.names) if same and labels is not None else found
    )  # in the model's order


def reads_texts(path: Path, text: str | None) -> bool:
    """Tell whether a file holds texts."""
    return text is not None or path.suffix.lower() in (".conll", ".json")


def examples(inputs: list[str], model: "TransferModel", text: str | None) -> "list | Source":
    """Turn the arguments of `tltk predict` into examples: as they are, or two by two for a model that reads pairs.

    Args:
        inputs: pictures, texts, or with `text` a file of texts.
        model: that reads them.
        text: column of the texts, or two joined by a comma.

    Raises:
        ValueError: if one of a pair is missing, or a text is the name of a file.
    """
    reads = model.input.name == "token_ids"
    held = next((Path(each) for each in inputs if reads and Path(each).suffix and Path(each).is_file()), None)
    if text is not None or (held and held.suffix.lower() in (".conll", ".json")):
        if len(inputs) != 1:
            raise ValueError(f"`--text` goes with one file. Received: {len(inputs)} inputs")
        return source(Path(inputs[0]), label=None, input_column="path", label_type="categorical", text=text)
    if held:
        raise ValueError(f"{held} is a file, and would be read as a text; name its column of texts with --text.")
    if not getattr(model.input, "pairs", False):
        return inputs
    if len(inputs) % 2:
        raise ValueError(f"this model reads pairs of texts. Received: {len(inputs)} texts")
    return list(zip(inputs[::2], inputs[1::2], strict=True))


def batch_size(text: str) -> int | str:
    """Read `--batch-size`: a number of examples, or a budget such as "2048 tokens", which `tltk.fit` checks."""
    return int(text) if text.isascii() and text.isdigit() else text


def recipe(
    name: str | None,
    *,
    epochs: int | None,
    learning_rate: float | None,
    unfreeze: str | None,
    texts: bool = False,
) -> "Recipe":
    """Make a recipe of its name and the options that were given; the default is that of `tltk.fit`.

    Raises:
        ValueError: for an unknown name, or an option that the recipe has not.
    """
    from tltk.foundation import checks as check

    if name is None and texts:
        from tltk.training.fit import TEXT_RATE

        learning_rate = learning_rate or TEXT_RATE
    name = name or "fine_tune"
    names = ("fine_tune", "linear_probe", "full", "bert", "few_shot")
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
    if examples.labels.type == "entities":
        return tltk.token_classification(examples.labels)
    if examples.labels.type == "answers" and examples.targets is not None:
        return tltk.question_answering(no_answer=any(not spans for spans in examples.targets))
    make = tltk.regression if examples.labels.type == "regression" else tltk.classification
    return make(examples.labels, pairs=examples.kind == "pairs")
