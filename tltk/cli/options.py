"""What the command line's options mean: a source, a recipe."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tltk.data.source import Source
    from tltk.models.transfer_model import TransferModel
    from tltk.recipes import Recipe
    from tltk.specs import LabelSpec

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
    takes: str | None = None,
) -> "Source":
    """Read a table, a file of entities or questions, or a folder.

    Args:
        path: .csv, .tsv or .jsonl; .conll (entities) or .json (SQuAD); else a folder with a sub-folder a class.
        label: column of the labels.
        input_column: column of the paths of pictures.
        label_type: what the labels are.
        text: column of texts, in the place of pictures, or two joined by a comma; None for pictures.
        labels: those of a model that is judged; None means those that occur.
        takes: the modality of the model that will read them; None while there is no model.

    Raises:
        ValueError: if `text` is given for a folder, is missing for a model of texts, or the file does not hold what is
            asked for.
        OSError: if there is nothing.
    """
    import tltk
    from tltk.data.formats.registry import format_of

    if path.is_dir():
        if text is not None:
            raise ValueError(f"`--text` names a column of a table. Received the folder {path}")
        photos = tltk.from_folder(path)
        same = labels is not None and photos.labels is not None and set(photos.labels.names) == set(labels.names)
        # In the order of the model's outputs.
        return tltk.from_folder(path, classes=labels.names) if same and labels is not None else photos
    file_format = format_of(path)
    if file_format is None or not file_format.has_columns:
        if text is not None:
            raise ValueError(f"`--text` names a column of a table, such as a .csv or .jsonl file. Received: {path}")
        return tltk.from_file(path)
    if text is None and takes == "text":
        raise ValueError(f"this run reads texts: name their column of {path.name} with --text.")
    column = input_column if text is None else tuple(part.strip() for part in text.split(","))
    modality = takes or ("image" if text is None else "text")
    return tltk.from_file(path, input=column, label=label, label_type=label_type, modality=modality, labels=labels)


def examples(inputs: list[str], model: "TransferModel", text: str | None) -> "list | Source":
    """Turn the arguments of `tltk predict` into examples: as they are, or two by two for a model that reads pairs.

    Args:
        inputs: images, texts, or one file of a format such as .csv or .conll.
        model: that reads them.
        text: column of the texts, or two joined by a comma.

    Raises:
        ValueError: if one of a pair is missing, or a text is the name of a file.
    """
    from tltk.data.formats.registry import format_of
    from tltk.modalities.modality import modality_of

    takes = modality_of(model.input).name
    file = next((Path(each) for each in inputs if os.path.isfile(each) and Path(each).suffix), None)  # noqa: PTH113 - a text may be too long for a path
    if text is not None or (file and format_of(file)):
        if len(inputs) != 1:
            raise ValueError(f"a file of examples comes alone. Received: {len(inputs)} inputs")
        return source(
            Path(inputs[0]), label=None, input_column="path", label_type="categorical", text=text, takes=takes
        )
    if file and takes == "text":
        raise ValueError(f"{file} is a file, and would be read as a text.")
    if not getattr(model.input, "pairs", False):
        return inputs
    if len(inputs) % 2:
        raise ValueError(f"this model reads pairs of texts. Received: {len(inputs)} texts")
    return list(zip(inputs[::2], inputs[1::2], strict=True))


def batch_size(text: str) -> int | str:
    """Read `--batch-size`: a number of examples, or a budget such as "2048 tokens", which `tltk.fit` checks."""
    return int(text) if text.isascii() and text.isdigit() else text


RECIPES = ("fine_tune", "linear_probe", "full", "bert", "few_shot")


def check_recipe(name: str | None, *, unfreeze: str | None) -> None:
    """Check the options of a recipe, before any data is read.

    Raises:
        ValueError: for an unknown name, or an option that the recipe has not.
    """
    from tltk.foundation import checks as check

    if name is not None:
        check.one_of("recipe", name, RECIPES)
    if unfreeze and name not in (None, "fine_tune"):
        raise ValueError(f"`--unfreeze` goes with --recipe fine_tune. Received: --recipe {name}")


def recipe(
    name: str | None,
    *,
    epochs: int | None,
    learning_rate: float | None,
    unfreeze: str | None,
    default_rate: float | None = None,
) -> "Recipe":
    """Make a recipe of its name and the options that were given; the default is that of `tltk.fit`.

    Args:
        name: of the recipe; None for the default.
        epochs: of the last phase.
        learning_rate: highest of the last phase.
        unfreeze: lowest stage that trains.
        default_rate: the learning rate of the default recipe, see `Modality.learning_rate`.

    Raises:
        ValueError: for an unknown name, or an option that the recipe has not.
    """
    from tltk import recipes

    check_recipe(name, unfreeze=unfreeze)
    if name is None:
        learning_rate = learning_rate or default_rate
    given: dict[str, Any] = {"epochs": epochs, "learning_rate": learning_rate, "unfreeze": unfreeze}
    return getattr(recipes, name or "fine_tune")(**{key: value for key, value in given.items() if value is not None})
