"""The command `tltk inspect`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tltk.cli import console, options, training_options
from tltk.cli.options import (
    Colors,
    DataPath,
    Debug,
    Delimiter,
    Exclude,
    FileFormat,
    Images,
    InputColumn,
    Json,
    LabelColumn,
    LabelType,
    Masks,
    Separator,
    TextColumn,
)
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput

if TYPE_CHECKING:
    from tltk.inspection.records import Inspection


def inspect(
    data: DataPath,
    test: Annotated[
        Path | None, typer.Option(help="Examples of the final test, which must not be in the data.")
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="A name from `tltk backbones`, or a preset folder: compares features, checks labels."),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Folder of a run, instead of --backbone; also scores --test without its leaks.")
    ] = None,
    exclude_list: Annotated[Path | None, typer.Option(help="File to write the ids to leave out to.")] = None,
    findings: Annotated[
        str | None,
        typer.Option(
            help="Findings on the exclude list: unreadable,leaks,wrong_labels …; default: those that are sure."
        ),
    ] = None,
    false_alarms: Annotated[float, typer.Option(help="Accepted fraction of false pairs among near duplicates.")] = 0.02,
    image_size: Annotated[int | None, typer.Option(help="Height and width of the backbone's input in pixels.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the folds in which labels are checked.")] = 0,
    label: LabelColumn = "label",
    input_column: InputColumn = "path",
    text: TextColumn = None,
    label_type: LabelType = "categorical",
    delimiter: Delimiter = None,
    separator: Separator = None,
    format: FileFormat = None,  # noqa: A002 - becomes the option --format
    images: Images = None,
    masks: Masks = None,
    colors: Colors = None,
    exclude: Exclude = None,
    batch_size: Annotated[int, typer.Option(help="Examples per step.")] = 32,
    cache: Annotated[str, typer.Option(help="Where features are stored: memory, disk or a folder.")] = "memory",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Look for broken files, duplicates, leaks, wrong labels and other faults of a data set."""
    with console.command(as_json=as_json, debug=debug):
        check.one_of("label_type", label_type, training_options.LABEL_TYPES)
        names = _names(findings)
        if backbone is not None and run is not None:
            raise InvalidInput("`--run` has a backbone already: leave --backbone out.")
        unused = ["`--image-size` is only used with --backbone."] if image_size is not None and backbone is None else []
        unused += ["`--findings` is only used with --exclude-list."] if names and exclude_list is None else []
        if unused:
            raise InvalidInput(" ".join(unused))
        options.not_an_input("--exclude-list", exclude_list, (data, test, exclude), run)
        console.start_tensorflow()
        import tltk

        columns: dict[str, Any] = {"label": label, "input_column": input_column, "text": text}
        columns |= {"label_type": label_type, "delimiter": delimiter, "separator": separator, "file_format": format}
        columns |= {"images": images, "masks": masks, "colors": colors}
        source = options.source(data, **columns).without(exclude)
        test_source = None if test is None else options.source(test, **columns)
        size: dict[str, Any] = {} if image_size is None else {"image_size": image_size}
        model: Any = run if backbone is None else tltk.backbone(backbone, **size)
        settings: dict[str, Any] = {
            "false_alarms": false_alarms,
            "batch_size": batch_size,
            "cache": cache,
            "seed": seed,
        }
        inspection = tltk.inspect(source, test=test_source, model=model, **settings)
        written = None if exclude_list is None else inspection.save_exclude_list(exclude_list, *names)
        _show(inspection, written, as_json=as_json)


def _names(findings: str | None) -> list[str]:
    """Return the names of findings in the value of `--findings`; they are checked before any data is read."""
    from tltk.inspection.records import FINDINGS

    names = [] if findings is None else [name.strip().replace(" ", "_") for name in findings.split(",")]
    for name in names:
        check.one_of("--findings", name, FINDINGS)
    return names


def _show(inspection: "Inspection", written: Path | None, *, as_json: bool) -> None:
    if as_json:
        console.show_json({**inspection.to_dict(), "exclude_list": written})
        return
    console.show(inspection.describe())
    if written is not None:
        console.show(f"exclude list: {written}")
