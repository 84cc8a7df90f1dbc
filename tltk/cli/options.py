"""Turns command-line options into sources, examples, batch sizes and recipes."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tltk.foundation import duration
from tltk.foundation.errors import InvalidInput

if TYPE_CHECKING:
    from tltk.data.formats.registry import Format
    from tltk.data.source import Source
    from tltk.specs import LabelSpec

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Overlap = Annotated[
    float | None,
    typer.Option(help="Read long sounds or texts in windows that share this many seconds or tokens."),
]
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
Delimiter = Annotated[
    str | None, typer.Option(help="Character between the columns of a .csv file, such as ';' or '\\t'.")
]
Separator = Annotated[
    str | None, typer.Option(help="Separator of several labels in one cell (multilabel); default: ';'.")
]
FileFormat = Annotated[
    str | None,
    typer.Option("--format", help="Format of the data (csv, squad, coco, voc …); default: by its name or content."),
]
Images = Annotated[
    Path | None, typer.Option(help="Folder of the images of COCO or VOC annotations; default: the usual folders.")
]
Masks = Annotated[Path | None, typer.Option(help="Folder of masks of the images in DATA, with the same names.")]
Colors = Annotated[
    Path | None, typer.Option(help="With --masks: file with a class and its colour per line, cat:128,0,0.")
]
MaxInvalid = Annotated[
    float, typer.Option(min=0, max=1, help="Largest fraction of examples that may be left out, from 0 to 1.")
]
DataPath = Annotated[
    Path,
    typer.Argument(
        help="Folder with a sub-folder per class (or train/ val/ test/), a .csv, .jsonl, .conll or SQuAD .json file, "
        "or annotations: COCO .json, YOLO .yaml, a folder of VOC, or images with --masks."
    ),
]
OptionalDataPath = Annotated[
    Path | None,
    typer.Argument(
        metavar="DATA",
        help="Folder with a sub-folder per class (or train/ val/ test/), a .csv, .jsonl, .conll or SQuAD .json file, "
        "or annotations: COCO .json, YOLO .yaml, a folder of VOC, or images with --masks; not needed with --resume.",
    ),
]
LabelType = Annotated[
    str, typer.Option(help="Type of the labels (.csv, .jsonl): categorical, multilabel (a;b), regression or entities.")
]

_HOW_TO_NAME_COLUMNS = (
    "Name the column of the labels with --label, that of texts with --text, that of image paths with --input."
)
_BESIDE = {
    "images": "for annotations in another folder than their images, such as COCO",
    "masks": "the folder of masks of a folder of images",
    "colors": "used with --masks",
}
_HOW_TO_NAME_FORMATS = "Formats of annotations: --format coco, coco_masks, voc or yolo; images with --masks."
_HOW_TO_NAME_TABLES = (
    "A table must be called .csv or .jsonl; pass --format jsonl for a JSON list of objects, --format csv for a CSV "
    "file of another name."
)

Exclude = Annotated[
    Path | None, typer.Option(help="File with the ids of examples to leave out, one per line, see `tltk inspect`.")
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
    delimiter: str | None = None,
    separator: str | None = None,
    file_format: str | None = None,
    images: Path | None = None,
    masks: Path | None = None,
    colors: Path | None = None,
) -> "Source":
    """Read a folder of images, a table, a file of entities or questions, or annotations of boxes or masks.

    Args:
        path: Folder with one sub-folder per class; .csv, .tsv or .jsonl; .conll (entities) or .json (SQuAD); COCO,
            VOC or YOLO annotations; folder of images with `masks`.
        label: Column of the labels.
        input_column: Column of the image paths.
        label_type: Type of the labels.
        text: Column of the texts, or two columns joined by a comma; None for images.
        labels: Labels of an existing model; None takes the labels that occur.
        modality: Modality of an existing model; None before there is one.
        sample_weight: Column of the sample weights.
        delimiter: Character between columns; None for that of the format.
        separator: Separator of several labels in a cell; None for that of the format.
        file_format: Name of a registered format; None to tell it from the name of the file, or from what it holds.
        images: Folder of the images that annotations name; None for the usual folders.
        masks: Folder of the masks, if `path` is that of their images.
        colors: File with the colour of each class in the masks.

    Returns:
        The source.

    Raises:
        InvalidInput: If a column is given without a table, does not exist, or `text` is missing for a text model.
        FileError: If the path does not exist.
    """
    import tltk

    companions = {"images": images, "masks": masks, "colors": colors}
    beside = {name: value for name, value in companions.items() if value is not None}
    data_format = _format(path, file_format, has_text=text is not None, options=tuple(beside))
    has_columns = data_format is not None and data_format.has_columns
    table_options = {"text": text, "sample_weight": sample_weight, "delimiter": delimiter, "separator": separator}
    _check_options(path, data_format, table_options, beside)
    if data_format is None:
        return _images_in_folders(path, labels) if path.is_dir() else tltk.from_file(path)  # which lists the formats
    if not has_columns:
        in_order = {} if labels is None or not data_format.takes("labels") else {"labels": labels}
        return data_format.read(path, **beside, **in_order)
    if text is None and modality == "text":
        raise InvalidInput(f"the model reads texts: name the column of the texts in {path.name} with --text.")
    column = _input_columns(input_column, text)
    modality = modality or ("image" if text is None else "text")
    columns: dict[str, Any] = {"input": column, "label": label, "label_type": label_type, "modality": modality}
    # Only if they are given: a registered format need not have them.
    given = {"sample_weight": sample_weight, "delimiter": _unescaped(delimiter), "separator": separator}
    columns |= {name: value for name, value in given.items() if value is not None}
    try:
        return data_format.read(path, labels=labels, **columns)
    except InvalidInput as error:
        defaults = {"label": label == "label", "path": text is None and input_column == "path"}
        if any(is_default and f"has no column {name!r}" in str(error) for name, is_default in defaults.items()):
            raise InvalidInput(f"{error}\n{_HOW_TO_NAME_COLUMNS}") from error
        raise


def _check_options(
    path: Path, data_format: "Format | None", table_options: dict[str, str | None], beside: dict[str, Path]
) -> None:
    """Raise if options are given that the format of the data does not have."""
    received = f"the folder {path}" if path.is_dir() else f"{path}. {_HOW_TO_NAME_TABLES}"
    for name, value in table_options.items():
        if value is not None and (data_format is None or not data_format.has_columns):
            option = f"--{name.replace('_', '-')}"
            raise InvalidInput(f"`{option}` is for tables, such as a .csv or .jsonl file. Received: {received}")
    for name in beside:
        if data_format is None or not data_format.takes(name):
            _check_json(path)  # damaged annotations are recognized as none
            described = (
                f"{path}, read in the format {data_format.name}"
                if data_format
                else f"the folder {path}, whose format is unknown"
            )
            raise InvalidInput(f"`--{name}` is {_BESIDE[name]}. Received: {described}. {_HOW_TO_NAME_FORMATS}")


def _check_json(path: Path) -> None:
    """Raise if a JSON file cannot be parsed: with line and column, which say more than a wrong format."""
    from tltk.data.formats.json_file import read_json

    if path.suffix.lower() == ".json" and path.is_file():
        read_json(path)


def _images_in_folders(path: Path, labels: "LabelSpec | None") -> "Source":
    """Read a folder with a sub-folder per class, in the order of the model's outputs if it has the same classes."""
    import tltk

    images = tltk.from_folder(path)
    if labels is not None and images.labels is not None and set(images.labels.names) == set(labels.names):
        return tltk.from_folder(path, classes=labels.names)
    return images


def _input_columns(input_column: str, text: str | None) -> str | tuple[str, ...]:
    """Return the column of image paths, or the columns of texts."""
    if text is None:
        return input_column
    if input_column != "path":
        raise InvalidInput(
            "`--input` is the column of image paths, `--text` that of texts: pass one of them. "
            f"Received: --input {input_column} and --text {text}"
        )
    return tuple(part.strip() for part in text.split(","))


def budget(text: str) -> str | None:
    """Return the argument `budget` for the value of `--budget`, which may be "off".

    Raises:
        InvalidInput: If it is not a duration.
    """
    if text != "off" and duration.seconds_of(text) is None:
        raise InvalidInput(f"`--budget` must be a time such as '5 min', '30 s' or '2 h', or off. Received: {text!r}")
    return None if text == "off" else text


def not_an_input(
    option: str, output: Path | None, inputs: Iterable[str | Path | None], run: Path | None = None
) -> None:
    """Check, before any work, that a file to write is not among the files that are read.

    Args:
        option: Name of the option, such as "--out".
        output: Value of the option; None if it is not given.
        inputs: Files and folders that the command reads, or texts, which are not files; None for those not given.
        run: Folder of the run that the command loads.

    Raises:
        InvalidInput: If `output` is one of `inputs`, also under another name, or a file of the run.
    """
    if output is None:
        return
    from tltk.training.run_folder import is_file_of_run

    same = next((path for path in inputs if path is not None and _is_same_file(output, path)), None)
    if same is not None:
        raise InvalidInput(f"`{option}` would overwrite the input {same}. Received: {output}. Choose another name.")
    if run is not None and is_file_of_run(run, output):
        raise InvalidInput(
            f"`{option}` would overwrite a file of the run {run}. Received: {output}. Choose another name."
        )


def _is_same_file(output: Path, path: str | Path) -> bool:
    """Tell whether two paths lead to one existing file; an argument may be a text, which is too long for a name."""
    return os.path.exists(path) and output.exists() and os.path.samefile(output, path)  # noqa: PTH110, PTH121


def _format(path: Path, name: str | None, *, has_text: bool, options: Sequence[str]) -> "Format | None":
    """Return the format of a file or folder, of questions in JSON lines by looking; None if it is unknown."""
    from tltk.data.formats.registry import FORMATS, format_of
    from tltk.data.formats.text_files import existing_file

    path = path if path.is_dir() else existing_file(path)
    if name is not None:
        return FORMATS.get(name)
    if path.suffix.lower() in (".jsonl", ".ndjson") and not has_text and _has_questions(path):
        return FORMATS.get("squad")
    return format_of(path, options=options)


def _has_questions(path: Path) -> bool:
    """Tell whether the first line of a file is a question with its context, as in flat SQuAD."""
    with path.open("rb") as file:
        first = file.readline()
    try:
        row = json.loads(first)
    except ValueError:  # the reader says what is wrong
        return False
    return isinstance(row, dict) and {"question", "context"} <= set(row)


def _unescaped(delimiter: str | None) -> str | None:
    """Return a delimiter as a character: a person types a tab as \\t."""
    return "\t" if delimiter == "\\t" else delimiter


def batch_size(text: str) -> int | str:
    """Parse `--batch-size`: a number of examples, or a budget such as "2048 tokens", which `tltk.fit` checks."""
    return int(text) if text.isascii() and text.isdigit() else text


def overlap(value: float | None) -> float | None:
    """Return the value of `--overlap`: a whole number, as texts need it, if it is one."""
    return int(value) if value is not None and value == int(value) else value
