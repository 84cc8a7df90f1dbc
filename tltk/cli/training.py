"""What `tltk train` does: split, fit, evaluate on the test part, write a report."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tltk.cli import command_file, console, options, run_folders, training_options
from tltk.foundation import checks as check
from tltk.foundation import files

if TYPE_CHECKING:
    from tltk.backbones.base import Backbone
    from tltk.data.source import Source
    from tltk.evaluation.report import Report
    from tltk.recipes import Recipe
    from tltk.specs import InvalidExample
    from tltk.training.run import Run

_SOURCE_OPTIONS = ("label", "input_column", "text", "sample_weight", "delimiter", "separator")
_BESIDE = ("images", "masks", "colors")  # paths of what belongs to the data
_PHASE_OPTIONS = ("epochs", "probe_epochs", "learning_rate", "warmup", "patience", "accumulate", "unfreeze")
_FORM_OPTIONS = ("image_size", "sequence_length", "truncation", "trim_silence", "spectrogram")


def run(given: Mapping[str, Any], *, as_json: bool, quiet: bool = False) -> None:
    """Train with the options of `tltk train`.

    Args:
        given: Name of each option, as in `tltk.cli.train.train` → value.
        as_json: Whether to print the results as JSON.
        quiet: Whether to print no results, and not to evaluate the run on its test part.
    """
    option = SimpleNamespace(**given)
    training_options.check_recipe(option.recipe, unfreeze=option.unfreeze, probe_epochs=option.probe_epochs)
    check.one_of("label_type", option.label_type, training_options.LABEL_TYPES)
    check.seed(option.seed)
    checkpoint = training_options.checkpoint(option.checkpoint)
    budget = {} if option.budget is None else {"budget": options.budget(option.budget)}
    resume: bool | str = "force" if option.resume and option.force else option.resume is not None
    folder = option.out if resume else run_folders.choose(option.out, overwrite=option.overwrite)
    if not resume:
        run_folders.check_inputs(folder, option.data, option.exclude, option.colors)
    class_weight = training_options.class_weight(option.class_weight)
    console.start_tensorflow()
    import tltk

    methods = {"thresholds": option.tune_thresholds, "calibrate": option.calibrate}
    balance = training_options.balance(option.balance, **methods, class_weight=option.class_weight)
    recipe = training_options.recipe(option.recipe, **{name: getattr(option, name) for name in _PHASE_OPTIONS})
    training_options.check_budget(option.budget, recipe)
    option.val = _validation_fraction(option, recipe)
    parts = _parts(option)
    console.say("\n".join(training_options.describe_parts(parts)))
    model, recipe = _model_and_recipe(option, parts["train"])
    console.say(training_options.describe_training(model, recipe))
    step_size = options.batch_size(option.batch_size)
    settings: dict[str, Any] = {"recipe": recipe, "batch_size": step_size, "seed": option.seed, "cache": option.cache}
    settings |= budget
    settings |= {"class_weight": class_weight, "balance": balance}
    settings |= {"checkpoint": checkpoint, "resume": resume}
    val_part = parts["val"] if len(parts["val"]) else None
    link = run_folders.linked(folder) if option.out is None else nullcontext()
    with link, command_file.recorded(folder, given):
        trained = tltk.fit(model, parts["train"], val_part, out=folder, max_invalid_fraction=1.0, **settings)
    if quiet:
        return
    report = _test(trained, parts["test"], batch_size=step_size if isinstance(step_size, int) else 32)
    _show_training(trained, report, parts, as_json=as_json)


def _validation_fraction(option: SimpleNamespace, recipe: "Recipe | str | None") -> float:
    """Return the fraction of the examples for validation, which depends on the recipe."""
    is_balanced = bool(option.balance or option.calibrate or option.tune_thresholds)
    return training_options.validation_fraction(
        option.val, recipe, label_type=option.label_type, is_balanced=is_balanced
    )


def _parts(option: SimpleNamespace) -> "dict[str, Source]":
    """Return the training, validation and test examples."""
    import tltk
    from tltk.modalities.modality import drop_invalid

    columns = {name: getattr(option, name) for name in _SOURCE_OPTIONS}
    columns |= {name: None if (path := getattr(option, name)) is None else Path(path) for name in _BESIDE}
    source = options.source(Path(option.data), label_type=option.label_type, file_format=option.format, **columns)
    source = source.without(option.exclude)
    # The limit applies to the whole source: a small part may contain a larger fraction of invalid examples.
    source, invalid = drop_invalid(source, max_invalid_fraction=option.max_invalid)
    source = replace(source, invalid=invalid)  # `fit` tells them, and the run lists them
    parts = tltk.split(source, val=option.val, test=option.test, seed=option.seed)
    return dict(zip(("train", "val", "test"), parts, strict=True))


def _model_and_recipe(option: SimpleNamespace, train_part: "Source") -> tuple[Any, Any]:
    """Return the model to train, and its recipe."""
    import tltk
    from tltk.modalities.modality import named_modality
    from tltk.tasks import for_source

    modality = named_modality(train_part.modality)
    phases = {name: getattr(option, name) for name in _PHASE_OPTIONS}
    recipe = training_options.recipe(option.recipe, **phases, default_rate=modality.learning_rate)
    form = {name: getattr(option, name) for name in _FORM_OPTIONS}
    name = modality.default_backbone if option.backbone is None else option.backbone
    is_native = name in tltk.backbones.names(modality.name)
    form["overlap"] = options.overlap(option.overlap)
    form["spec"] = modality.spec_of_length(option.seconds, is_native=is_native)
    task = training_options.with_threshold(for_source(train_part), option.threshold)
    backbone = _backbone(name, option.weights, **form)
    return tltk.assemble(backbone, task, precision=option.precision, seed=option.seed), recipe


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
    from tltk.training import run_folder, split_file

    run_folder.rewrite(run.folder, split_file.NAME, lambda path: split_file.write(path.parent, {"test": test_part}))
    return tltk.evaluate(run, test_part, batch_size=batch_size, max_invalid_fraction=1.0)


def _show_training(run: "Run", report: "Report | None", parts: "dict[str, Source]", *, as_json: bool) -> None:
    """Save the report and the list of invalid examples, and print the results."""
    from tltk.training import run_folder

    page = report.save(run.folder / "report.html") if report and run.folder else None
    invalid: dict[InvalidExample, None] = dict.fromkeys((*run.invalid, *(report.invalid if report else ())))
    if run.folder:
        listed = [asdict(example) for example in invalid]
        run_folder.rewrite(run.folder, "invalid.csv", lambda path: files.write_csv(path, listed))
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
