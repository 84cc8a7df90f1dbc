"""The command `tltk advise`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tltk.cli import console, options
from tltk.cli.options import (
    DataPath,
    Debug,
    Delimiter,
    Exclude,
    FileFormat,
    InputColumn,
    Json,
    LabelColumn,
    Separator,
    TextColumn,
)
from tltk.foundation.errors import InvalidInput

if TYPE_CHECKING:
    from tltk.data.source import Source


def advise(
    data: DataPath,
    backbone: Annotated[
        list[str] | None,
        typer.Option(help="A name from `tltk backbones`; repeat it for several. Default: all whose weights are here."),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option(help="Examples like those that the model will be used on, labelled or not, to be compared."),
    ] = None,
    budget: Annotated[str, typer.Option(help="Time that it may take, such as '5 min'; or off.")] = "5 min",
    measures: Annotated[bool, typer.Option("--measures", help="Also show H-score and LogME.")] = False,
    depth: Annotated[
        bool, typer.Option("--depth", help="Also fine-tune with several depths and learning rates, and compare.")
    ] = False,
    image_size: Annotated[int | None, typer.Option(help="Height and width of the input in pixels.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of folds and draws.")] = 0,
    label: LabelColumn = "label",
    input_column: InputColumn = "path",
    text: TextColumn = None,
    delimiter: Delimiter = None,
    separator: Separator = None,
    format: FileFormat = None,  # noqa: A002 - becomes the option --format
    exclude: Exclude = None,
    batch_size: Annotated[int, typer.Option(help="Examples per step.")] = 32,
    cache: Annotated[str, typer.Option(help="Where features are stored: memory, disk or a folder.")] = "memory",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Compare backbones on labelled examples before training, and forecast what more labels would bring."""
    with console.command(as_json=as_json, debug=debug):
        settings: dict[str, Any] = {"budget": options.budget(budget), "measures": measures, "depth": depth}
        console.start_tensorflow()
        import tltk

        columns: dict[str, Any] = {"label": label, "input_column": input_column, "text": text}
        columns |= {"label_type": "categorical", "delimiter": delimiter, "separator": separator, "file_format": format}
        source = options.source(data, **columns).without(exclude)
        target_source = None if target is None else _target(target, source, columns)
        settings |= {"image_size": image_size, "batch_size": batch_size, "cache": cache, "seed": seed}
        advice = tltk.advise(source, backbones=backbone or (), target=target_source, **settings)
        if as_json:
            console.show_json(advice.to_dict())
            return
        console.show(advice.describe())
        console.report_invalid(advice.invalid)


def _target(path: Path, source: "Source", columns: dict[str, Any]) -> "Source":
    """Read the examples of a target: labelled if it has the classes of the source, or the column of the labels."""
    import tltk

    if path.is_dir():
        names = () if source.labels is None else source.labels.names
        folders = {entry.name for entry in path.iterdir() if entry.is_dir()}
        if not folders & {*names, "train", "test"}:
            return tltk.from_folder(path, unlabelled=True)
        return tltk.from_folder(path, classes=names) if folders <= set(names) else options.source(path, **columns)
    try:
        return options.source(path, **columns)
    except InvalidInput as error:
        if f"has no column {columns['label']!r}" not in str(error):
            raise
        console.say(f"{path} has no column {columns['label']!r}: its examples are compared without labels.")
        return options.source(path, **columns | {"label": None})
