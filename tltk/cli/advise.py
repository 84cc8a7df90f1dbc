"""The command `tltk advise`."""

from pathlib import Path
from typing import Annotated, Any

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


def advise(
    data: DataPath,
    backbone: Annotated[
        list[str] | None,
        typer.Option(help="A name from `tltk backbones`; repeat it for several. Default: all whose weights are here."),
    ] = None,
    target: Annotated[
        Path | None, typer.Option(help="Examples like those that the model will be used on, to be compared.")
    ] = None,
    budget: Annotated[
        str, typer.Option(help="Time after which no further backbone is tried, such as '5 min'; or off.")
    ] = "5 min",
    measures: Annotated[bool, typer.Option("--measures", help="Also show H-score and LogME.")] = False,
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
        console.start_tensorflow()
        import tltk

        columns: dict[str, Any] = {"label": label, "input_column": input_column, "text": text}
        columns |= {"label_type": "categorical", "delimiter": delimiter, "separator": separator, "file_format": format}
        source = options.source(data, **columns).without(exclude)
        target_source = None if target is None else options.source(target, **columns)
        settings: dict[str, Any] = {"image_size": image_size, "batch_size": batch_size, "cache": cache, "seed": seed}
        settings |= {"budget": None if budget == "off" else budget, "measures": measures}
        advice = tltk.advise(source, backbones=backbone or (), target=target_source, **settings)
        console.show_json(advice.to_dict()) if as_json else console.show(advice.describe())
