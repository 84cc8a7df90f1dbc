"""The command `tltk train`."""

from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tltk.cli import console, options, run_folders, training_options
from tltk.cli.options import (
    DataPath,
    Debug,
    Delimiter,
    Exclude,
    FileFormat,
    InputColumn,
    Json,
    LabelColumn,
    LabelType,
    MaxInvalid,
    Separator,
    TextColumn,
    WeightColumn,
)
from tltk.foundation import checks as check
from tltk.foundation import files

if TYPE_CHECKING:
    from tltk.backbones.base import Backbone
    from tltk.data.source import Source
    from tltk.evaluation.report import Report
    from tltk.specs import InvalidExample
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
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of the recipe's last phase; training says how many there are in all.")
    ] = None,
    probe_epochs: Annotated[
        int | None, typer.Option(help="Epochs of the phase that trains the head alone (fine_tune, few_shot).")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Highest learning rate of the last phase.")] = None,
    warmup: Annotated[
        float | None,
        typer.Option(help="Warm-up of the last phase: a fraction of its steps, or from 1 a number of steps."),
    ] = None,
    patience: Annotated[int | None, typer.Option(help="Epochs without improvement before the last phase ends.")] = None,
    accumulate: Annotated[
        int | None, typer.Option(help="Batches whose gradients make one step of the last phase.")
    ] = None,
    unfreeze: Annotated[str | None, typer.Option(help="Lowest stage that fine_tune trains, such as conv5.")] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Height and width in pixels; default: that of the backbone.")
    ] = None,
    sequence_length: Annotated[
        int | None, typer.Option(help="Tokens of a text that are read; default: those of the backbone.")
    ] = None,
    truncation: Annotated[
        str | None, typer.Option(help="Side at which longer texts are truncated: end, start or middle.")
    ] = None,
    batch_size: Annotated[str, typer.Option(help="Examples per step, or for texts a budget: '2048 tokens'.")] = "32",
    class_weight: Annotated[
        str | None, typer.Option(help="Weights of classes in the loss: balanced, or spam=5,ham=1.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Probability above which a label is predicted (multilabel).")
    ] = None,
    val: Annotated[float, typer.Option(help="Fraction of the examples for validation.")] = 0.15,
    test: Annotated[float, typer.Option(help="Fraction of the examples for the final test.")] = 0.15,
    seed: Annotated[int, typer.Option(help="Seed of the split, the order, the augmentation and the head.")] = 0,
    label: LabelColumn = "label",
    input_column: InputColumn = "path",
    text: TextColumn = None,
    label_type: LabelType = "categorical",
    sample_weight: WeightColumn = None,
    delimiter: Delimiter = None,
    separator: Separator = None,
    format: FileFormat = None,  # noqa: A002 - becomes the option --format
    exclude: Exclude = None,
    max_invalid: MaxInvalid = 0.1,
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
        training_options.check_recipe(recipe, unfreeze=unfreeze, probe_epochs=probe_epochs)
        check.one_of("label_type", label_type, training_options.LABEL_TYPES)
        check.seed(seed)
        folder = run_folders.choose(out, overwrite=overwrite)
        console.start_tensorflow()
        columns: dict[str, Any] = {"label": label, "input_column": input_column, "text": text}
        columns |= {"sample_weight": sample_weight, "delimiter": delimiter}
        columns |= {"separator": separator, "file_format": format}
        source = options.source(data, label_type=label_type, **columns).without(exclude)
        import tltk
        from tltk.modalities.modality import drop_invalid, named_modality
        from tltk.tasks import for_source

        modality = named_modality(source.modality)
        phases: dict[str, Any] = {"epochs": epochs, "probe_epochs": probe_epochs, "learning_rate": learning_rate}
        phases |= {"warmup": warmup, "patience": patience, "accumulate": accumulate, "unfreeze": unfreeze}
        training_recipe = training_options.recipe(recipe, **phases, default_rate=modality.learning_rate)
        # The limit applies to the whole source: a small part may contain a larger fraction of invalid examples.
        source, invalid = drop_invalid(source, max_invalid_fraction=max_invalid)
        source = replace(source, invalid=invalid)  # `fit` tells them, and the run lists them
        parts = dict(zip(("train", "val", "test"), tltk.split(source, val=val, test=test, seed=seed), strict=True))
        console.say("\n".join(training_options.describe_parts(parts)))
        form = {"image_size": image_size, "sequence_length": sequence_length, "truncation": truncation}
        name = modality.default_backbone if backbone is None else backbone
        task = training_options.with_threshold(for_source(source), threshold)
        model = tltk.assemble(_backbone(name, weights, **form), task, precision=precision, seed=seed)
        console.say(training_options.describe_training(model, training_recipe))
        step_size = options.batch_size(batch_size)
        settings: dict[str, Any] = {"recipe": training_recipe, "batch_size": step_size, "seed": seed, "cache": cache}
        settings["class_weight"] = training_options.class_weight(class_weight)
        val_part = parts["val"] if len(parts["val"]) else None
        with run_folders.linked(folder) if out is None else nullcontext():
            run = tltk.fit(model, parts["train"], val_part, out=folder, max_invalid_fraction=1.0, **settings)
        report = _test(run, parts["test"], batch_size=step_size if isinstance(step_size, int) else 32)
        _show_training(run, report, parts, as_json=as_json)


def _backbone(name: str, weights: str, **form: Any) -> "Backbone":
    """Return a backbone; options of its input that are None were not given."""
    import tltk

    given = {option: value for option, value in form.items() if value is not None}
    return tltk.backbone(name, weights=weights, **given)


def _test(run: "Run", test_part: "Source", *, batch_size: int) -> "Report | None":
    """Evaluate a run on its test part, and add that part to the split of the run."""
    if not len(test_part) or run.folder is None:
        return None
    import tltk
    from tltk.training import split_file

    split_file.write(run.folder, {"test": test_part})
    return tltk.evaluate(run, test_part, batch_size=batch_size, max_invalid_fraction=1.0)


def _show_training(run: "Run", report: "Report | None", parts: "dict[str, Source]", *, as_json: bool) -> None:
    """Save the report and the list of invalid examples, and print the results."""
    page = report.save(run.folder / "report.html") if report and run.folder else None
    invalid: dict[InvalidExample, None] = dict.fromkeys((*run.invalid, *(report.invalid if report else ())))
    if run.folder:
        files.write_csv(run.folder / "invalid.csv", [asdict(example) for example in invalid])
    if as_json:
        counts = {name: {"examples": len(part), "classes": part.counts()} for name, part in parts.items()}
        result: dict[str, Any] = {"run": run.folder, "parts": counts, "phases": [vars(phase) for phase in run.phases]}
        result |= {"test": report.metrics if report else None, "headline": report.headline if report else ""}
        console.show_json({**result, "notes": report.notes if report else (), "report": page, "invalid": len(invalid)})
        return
    rows = [
        (phase.name, phase.epochs, phase.best_epoch or None, "kept" if phase.kept else "undone", phase.seconds)
        for phase in run.phases
    ]
    console.show_table(["phase", "epochs", "best epoch", "result", "seconds"], rows)
    if report:
        console.show_report(report)
    if invalid:
        console.show(
            f"left out in all: {len(invalid):,} example{'s' * (len(invalid) != 1)}, listed in {run.folder}/invalid.csv"
        )
    console.show(f"run: {run.folder}" + (f"   report: {page}" if page else ""))
