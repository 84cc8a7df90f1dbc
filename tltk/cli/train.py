"""The command `tltk train`: its options."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from tltk.cli import command_file, console, training
from tltk.cli.options import (
    Colors,
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
    MaxInvalid,
    OptionalDataPath,
    Overlap,
    Separator,
    TextColumn,
    WeightColumn,
)
from tltk.foundation.errors import InvalidInput


def train(
    context: typer.Context,
    data: OptionalDataPath = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the run; default: a new one in runs, which runs/latest is a link to."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out by the new one.")] = False,
    backbone: Annotated[
        str | None,
        typer.Option(help="A name from `tltk backbones`, or a preset folder; default: by the data."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="auto, fine_tune, linear_probe, full, bert or few_shot; default: auto where possible."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Time limit of the recipe auto, such as '5 min', or off; default: 10 min.")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Epochs of the recipe's last phase; training says how many there are in all."),
    ] = None,
    probe_epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of the phase that trains the head alone (fine_tune, few_shot).")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Highest learning rate of the last phase.")] = None,
    warmup: Annotated[
        float | None,
        typer.Option(help="Warm-up of the last phase: a fraction of its steps, or from 1 a number of steps."),
    ] = None,
    patience: Annotated[
        int | None, typer.Option(min=1, help="Epochs without improvement before the last phase ends.")
    ] = None,
    accumulate: Annotated[
        int | None, typer.Option(min=1, help="Batches whose gradients make one step of the last phase.")
    ] = None,
    unfreeze: Annotated[str | None, typer.Option(help="Lowest stage that fine_tune trains, such as conv5.")] = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Height and width in pixels; default: that of the backbone.")
    ] = None,
    sequence_length: Annotated[
        int | None, typer.Option(min=1, help="Tokens of a text that are read; default: those of the backbone.")
    ] = None,
    truncation: Annotated[
        str | None, typer.Option(help="Side at which longer texts are truncated: end, start or middle.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="Length of a sound; default: that of the backbone.")] = None,
    trim_silence: Annotated[
        float | None,
        typer.Option(help="Decibels below its loudest part that are silence, cut off before and after a sound."),
    ] = None,
    spectrogram: Annotated[str | None, typer.Option(help="Pictures of sounds: log_mel or pcen.")] = None,
    overlap: Overlap = None,
    batch_size: Annotated[str, typer.Option(help="Examples per step, or for texts a budget: '2048 tokens'.")] = "32",
    class_weight: Annotated[
        str | None, typer.Option(help="Weights of classes in the loss: balanced, or spam=5,ham=1.")
    ] = None,
    balance: Annotated[
        str | None, typer.Option(help="What is done about uneven classes: auto, inverse, crt …; default: nothing.")
    ] = None,
    tune_thresholds: Annotated[
        str | None, typer.Option(help="Metric for which thresholds are tuned: macro_f1, balanced_accuracy or accuracy.")
    ] = None,
    calibrate: Annotated[bool, typer.Option("--calibrate", help="Fit a temperature on the validation part.")] = False,
    threshold: Annotated[
        float | None, typer.Option(help="Probability above which a label is predicted (multilabel).")
    ] = None,
    val: Annotated[
        float | None,
        typer.Option(help="Fraction of the examples for validation; default: 0.15, or 0 with the recipe auto."),
    ] = None,
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
    images: Images = None,
    masks: Masks = None,
    colors: Colors = None,
    exclude: Exclude = None,
    max_invalid: MaxInvalid = 0.1,
    weights: Annotated[str, typer.Option(help="pretrained, random or a path.")] = "pretrained",
    precision: Annotated[str, typer.Option(help="auto, float32, mixed_bfloat16 or mixed_float16.")] = "auto",
    cache: Annotated[
        str, typer.Option(help="Where features of frozen layers are cached: auto, memory, disk, off or a folder.")
    ] = "auto",
    checkpoint: Annotated[
        str, typer.Option(help="Time or steps between two checkpoints: '5 min', '500 steps'; or off.")
    ] = "5 min",
    resume: Annotated[
        Path | None, typer.Option(help="Folder of a run whose training was stopped: resume it, with its options.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="With --resume: also with other options, data or versions.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train on images or texts: split, fit, evaluate on the test part, write a report."""
    with console.command(as_json=as_json, debug=debug):
        _check_resume_options(resume, out=out, overwrite=overwrite, force=force)
        options = dict(context.params)
        working_folder: AbstractContextManager[None] = nullcontext()
        if resume is not None:
            stored = command_file.read(resume)
            options |= command_file.resumed_options(stored, command_file.given_options(context), force=force)
            options["out"] = resume.absolute()
            if not force or data is None or Path(stored["working_folder"]).is_dir():
                fix = "Run the command where the data is, with --force and DATA."
                working_folder = command_file.in_working_folder(stored, fix=fix)
        elif options["data"] is None:
            raise InvalidInput("DATA is missing: a folder or a file to train on; or pass --resume and a run.")
        else:
            options["data"] = str(options["data"])
        with working_folder:
            training.run(options, as_json=as_json)


def _check_resume_options(resume: Path | None, *, out: Path | None, overwrite: bool, force: bool) -> None:
    """Raise if options are given that would do nothing."""
    problems = []
    if resume is None and force:
        problems.append("`--force` is only used with --resume.")
    if resume is not None and out is not None:
        problems.append("`--out` is not used with --resume, which continues in the folder of the run.")
    if resume is not None and overwrite:
        problems.append("`--overwrite` is not used with --resume, which continues in the folder of the run.")
    if problems:
        raise InvalidInput(" ".join([*problems, "Leave out what is not used."]))
