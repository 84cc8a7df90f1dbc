"""The command `tltk train`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tltk.cli import console, options, run_folders
from tltk.cli.options import DataPath, Debug, InputColumn, Json, LabelColumn, LabelType, TextColumn, WeightColumn
from tltk.foundation import checks as check

if TYPE_CHECKING:
    from tltk.evaluation.report import Report
    from tltk.training.run import Run


def train(
    data: DataPath,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the run; default: a new one in runs, which runs/latest is a link to."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out by the new one.")] = False,
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
    sample_weight: WeightColumn = None,
    weights: Annotated[str, typer.Option(help="pretrained, random or a path.")] = "pretrained",
    precision: Annotated[str, typer.Option(help="auto, float32, mixed_bfloat16 or mixed_float16.")] = "auto",
    cache: Annotated[
        str, typer.Option(help="Where features of frozen layers are cached: auto, memory, disk, off or a folder.")
    ] = "auto",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train on images or texts: split, fit, evaluate on the test part, write a report."""
    with console.command(as_json=as_json, debug=debug):
        options.check_recipe(recipe, unfreeze=unfreeze)
        check.one_of("label_type", label_type, options.LABEL_TYPES)
        check.seed(seed)
        folder = run_folders.choose(out, overwrite=overwrite)
        console.start_tensorflow()
        columns: dict[str, Any] = {"label": label, "input_column": input_column, "text": text}
        source = options.source(data, label_type=label_type, sample_weight=sample_weight, **columns)
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
        network = tltk.backbone(
            modality.default_backbone if backbone is None else backbone, weights=weights, image_size=image_size
        )
        model = tltk.assemble(network, for_source(source), precision=precision, seed=seed)
        console.say(f"{model.describe()}\nweights: {model.origin.kind} {model.origin.path or ''}")
        step_size = options.batch_size(batch_size)
        settings: dict[str, Any] = {"recipe": training_recipe, "batch_size": step_size, "seed": seed, "cache": cache}
        try:
            run = tltk.fit(
                model, train_part, val_part if len(val_part) else None, out=folder, max_invalid_fraction=1.0, **settings
            )
        finally:  # also after Ctrl-C
            if out is None and folder.exists():
                run_folders.link_latest(folder)
        report = None
        if len(test_part):
            test_batch = step_size if isinstance(step_size, int) else 32
            report = tltk.evaluate(run, test_part, batch_size=test_batch, max_invalid_fraction=1.0)
        _show_training(run, report, invalid=len({*invalid, *run.invalid}), as_json=as_json)


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
