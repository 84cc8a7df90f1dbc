"""Turns command-line options into sources, examples, batch sizes and recipes."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tltk.foundation.errors import InvalidInput

if TYPE_CHECKING:
    from tltk.data.source import Source
    from tltk.models.transfer_model import TransferModel
    from tltk.recipes import Recipe
    from tltk.specs import LabelSpec

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
RunFolder = Annotated[Path, typer.Argument(help="Folder of a run, written by `tltk train --out`.")]

LabelColumn = Annotated[str, typer.Option("--label", help="Column of the labels (.csv, .jsonl).")]
InputColumn = Annotated[str, typer.Option("--input", help="Column of the image paths (.csv, .jsonl).")]
TextColumn = Annotated[
    str | None,
    typer.Option("--text", help="Column of the texts (.csv, .jsonl); for pairs two columns: a,b."),
]
WeightColumn = Annotated[
    str | None,
    typer.Option("--sample-weight", help="Column with the weight of each example in loss and metrics (.csv, .jsonl)."),
]
DataPath = Annotated[
    Path,
    typer.Argument(
        help="Folder with a sub-folder per class (or train/ val/ test/), or a .csv, .jsonl, .conll or SQuAD .json file."
    ),
]
LabelType = Annotated[
    str, typer.Option(help="Type of the labels (.csv, .jsonl): categorical, multilabel (a;b), regression or entities.")
]


def source(
    path: Path,
    *,
    label: str | None,
    input_column: str,
    label_type: str,
    text: str | None,
    labels: "LabelSpec | None" = None,
    modality: str | None = None,
    sample_weight: str | None = None,
) -> "Source":
    """Read a folder of images, a table, or a file of entities or questions.

    Args:
        path: Folder with one sub-folder per class; .csv, .tsv or .jsonl; .conll (entities) or .json (SQuAD).
        label: Column of the labels.
        input_column: Column of the image paths.
        label_type: Type of the labels.
        text: Column of the texts, or two columns joined by a comma; None for images.
        labels: Labels of an existing model; None takes the labels that occur.
        modality: Modality of an existing model; None before there is one.
        sample_weight: Column of the sample weights.

    Returns:
        The source.

    Raises:
        InvalidInput: If a column is given without a table, does not exist, or `text` is missing for a text model.
        FileError: If the path does not exist.
    """
    import tltk
    from tltk.data.formats.registry import format_of

    file_format = None if path.is_dir() else format_of(path)
    has_columns = file_format is not None and file_format.has_columns
    for option, name in (("--text", text), ("--sample-weight", sample_weight)):
        if name is not None and not has_columns:
            received = f"the folder {path}" if path.is_dir() else path
            raise InvalidInput(
                f"`{option}` names a column of a table, such as a .csv or .jsonl file. Received: {received}"
            )
    if path.is_dir():
        images = tltk.from_folder(path)
        if labels is not None and images.labels is not None and set(images.labels.names) == set(labels.names):
            return tltk.from_folder(path, classes=labels.names)  # classes in the order of the model's outputs
        return images
    if not has_columns:
        return tltk.from_file(path)
    if text is None and modality == "text":
        raise InvalidInput(f"the model reads texts: name the column of the texts in {path.name} with --text.")
    column = input_column if text is None else tuple(part.strip() for part in text.split(","))
    modality = modality or ("image" if text is None else "text")
    columns: dict[str, Any] = {"input": column, "label": label}
    # Only if it is given: a registered format need not have it.
    columns |= {} if sample_weight is None else {"sample_weight": sample_weight}
    return tltk.from_file(path, label_type=label_type, modality=modality, labels=labels, **columns)


def examples(inputs: list[str], model: "TransferModel", text: str | None) -> "list | Source":
    """Turn the arguments of `tltk predict` into examples.

    Args:
        inputs: Images or texts, or one file such as a .csv; for a model of pairs, every two texts are one pair.
        model: Model that predicts them.
        text: Column of the texts, or two columns joined by a comma.

    Returns:
        The inputs themselves, pairs of them, or a source for a file.

    Raises:
        InvalidInput: If the second text of a pair is missing, or a text is the name of a file.
    """
    from tltk.data.formats.registry import format_of
    from tltk.modalities.modality import modality_of

    modality = modality_of(model.input_spec).name
    # `Path.is_file` would raise for texts that are too long for a path.
    file = next((Path(item) for item in inputs if os.path.isfile(item) and Path(item).suffix), None)  # noqa: PTH113
    if text is not None or (file and format_of(file)):
        if len(inputs) != 1:
            raise InvalidInput(f"a file of examples must be the only input. Received: {len(inputs)} inputs")
        return source(
            Path(inputs[0]), label=None, input_column="path", label_type="categorical", text=text, modality=modality
        )
    if file and modality == "text":
        raise InvalidInput(f"the model reads texts, or files of a known format such as .csv. Received: the file {file}")
    if not getattr(model.input_spec, "pairs", False):
        return inputs
    if len(inputs) % 2:
        raise InvalidInput(f"the model reads pairs of texts: pass an even number. Received: {len(inputs)} texts")
    return list(zip(inputs[::2], inputs[1::2], strict=True))


def batch_size(text: str) -> int | str:
    """Parse `--batch-size`: a number of examples, or a budget such as "2048 tokens", which `tltk.fit` checks."""
    return int(text) if text.isascii() and text.isdigit() else text


LABEL_TYPES = ("categorical", "multilabel", "regression", "entities")
RECIPES = ("fine_tune", "linear_probe", "full", "bert", "few_shot")


def check_recipe(name: str | None, *, unfreeze: str | None) -> None:
    """Check the options of a recipe before any data is read.

    Args:
        name: Value of `--recipe`; None for the default recipe.
        unfreeze: Value of `--unfreeze`.

    Raises:
        InvalidInput: If the name is unknown, or the recipe does not have the option.
    """
    from tltk.foundation import checks as check

    if name is not None:
        check.one_of("recipe", name, RECIPES)
    if unfreeze and name not in (None, "fine_tune"):
        raise InvalidInput(f"`--unfreeze` requires --recipe fine_tune. Received: --recipe {name}")


def recipe(
    name: str | None,
    *,
    epochs: int | None,
    learning_rate: float | None,
    unfreeze: str | None,
    default_rate: float | None = None,
) -> "Recipe":
    """Build a recipe from its name and options.

    Args:
        name: Name of the recipe; None for the default of `tltk.fit`.
        epochs: Epochs of the last phase; None keeps the default of the recipe, as for the other options.
        learning_rate: Highest learning rate of the last phase.
        unfreeze: Lowest stage that is trained.
        default_rate: Learning rate of the default recipe, see `Modality.learning_rate`.

    Returns:
        The recipe.

    Raises:
        InvalidInput: If the name is unknown, or the recipe does not have an option.
    """
    from tltk import recipes

    check_recipe(name, unfreeze=unfreeze)
    if name is None:
        learning_rate = learning_rate or default_rate
    arguments: dict[str, Any] = {"epochs": epochs, "learning_rate": learning_rate, "unfreeze": unfreeze}
    arguments = {key: value for key, value in arguments.items() if value is not None}
    return getattr(recipes, name or "fine_tune")(**arguments)
