"""The result of `tltk.fit`, and the folder in which it is saved."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import keras

from tltk import tasks
from tltk.backbones.base import Origin
from tltk.backbones.text.kerashub import keep_loadable, register_layers_of
from tltk.foundation import checks as check
from tltk.foundation import display, familiar, files
from tltk.foundation.archives import check_archive
from tltk.foundation.errors import InvalidInput, InvalidType, NotFound, TltkError
from tltk.modalities.modality import modality_of, named_modality
from tltk.models.transfer_model import TransferModel
from tltk.specs import InvalidExample
from tltk.tasks.base import Task
from tltk.tasks.uneven import DECISIONS
from tltk.training import run_folder
from tltk.training.custom_objects import custom_objects_of, unknown_objects, why_unloadable
from tltk.training.phase import PhaseResult

log = logging.getLogger("tltk")

FORMAT = 2
_REQUIRED = ("config.json", "model.keras")
_PACKAGES = ("tltk", "tensorflow", "keras", "keras-hub", "numpy")


@familiar.attributes
class Epochs(tuple[dict[str, Any], ...]):
    """One row per epoch: a tuple of dicts, whose errors say where Keras' `history.history` is."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, str):
            raise InvalidType(
                f"the history has one row per epoch. Use [row[{index!r}] for row in run.history]. Received: {index!r}"
            )
        return super().__getitem__(index)


@familiar.attributes
@dataclass(frozen=True)
class Run:
    """A trained model and the record of its training.

    Args:
        model: The model, at its best weights.
        phases: Result of each phase.
        history: One row per epoch: phase, epoch, seconds, and every metric.
        invalid: Examples that could not be read.
        config: Recipe, seed, batch size, versions and origin of the weights, as JSON values.
        folder: Folder it was saved in, or None.
    """

    model: TransferModel
    phases: tuple[PhaseResult, ...] = ()
    history: tuple[dict[str, Any], ...] = ()
    invalid: tuple[InvalidExample, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    __repr__ = display.short_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "history", Epochs(self.history))

    def _repr_html_(self) -> str:
        columns = ("phase", "epochs", "best epoch", "kept", "seconds")
        phases = [(phase.name, phase.epochs, phase.best_epoch, phase.kept, phase.seconds) for phase in self.phases]
        metrics = tuple(dict.fromkeys(name for row in self.history for name in row))
        epochs = [[row.get(name, "") for name in metrics] for row in self.history[-10:]]
        summary = f"Run: {self.model.backbone}, {self.model.task.name}, saved in {self.folder or 'no folder'}"
        last = display.Table(metrics, epochs, title="Last epochs" if len(self.history) > 10 else "Epochs")
        return display.html(summary, [display.Table(columns, phases), last, display.invalid_table(self.invalid)])

    @property
    def seconds(self) -> float:
        """Wall time of all phases, in seconds."""
        return sum(phase.seconds for phase in self.phases)

    def save(self, folder: str | Path) -> "Run":
        """Write config.json, model.keras, history.csv, metrics.json and invalid.csv; for texts also the vocabulary.

        Args:
            folder: Created if it does not exist. Another run in it is replaced as a whole: if the process is killed,
                the folder has the old run or the new one. Files that belong to no run stay.

        Returns:
            The same run with its folder.

        Raises:
            FileError: If the folder cannot be written or the disk is full.
        """
        folder = check.path("folder", folder)
        with run_folder.unfinished(folder, required_bytes=model_bytes(self.model)) as temporary:
            return publish_run(self, temporary, folder)


def publish_run(run: Run, temporary: Path, folder: Path) -> Run:
    """Write the files of a run to a temporary folder, then move all of its files to the folder of the run.

    Args:
        run: The run.
        temporary: From `run_folder.unfinished`; files that it already holds, such as LoRA weights, belong to the run.
        folder: Folder of the run.

    Returns:
        The same run with its folder.
    """
    files.write_atomically(temporary / "model.keras", run.model.keras.save)
    write_history(temporary, run.history)
    files.write_csv(temporary / "invalid.csv", [asdict(example) for example in run.invalid])
    phases = [asdict(phase) for phase in run.phases]
    seconds = {"phases": [phase.pop("seconds") for phase in phases], "epochs": _seconds(run.history)}
    files.write_json(temporary / "metrics.json", {"phases": phases})
    files.write_json(temporary / "seconds.json", seconds)
    description = describe_model(run.model, temporary)  # writes files of its own, such as a vocabulary
    names = sorted(path.name for path in temporary.iterdir() if path.name != files.LOCK)
    config = files.as_json_values({**run.config, **description, "files": names})
    config.pop(run_folder.CHECKSUMS, None)  # of the folder that the run was loaded from
    config[run_folder.CHECKSUMS] = run_folder.checksums(temporary, config)
    files.write_json(temporary / run_folder.CONFIG, config)
    run_folder.publish(temporary, folder)
    return replace(run, folder=folder)


def write_history(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write history.csv, without the seconds of the epochs: these differ between two trainings that are equal."""
    files.write_csv(folder / "history.csv", [{name: row[name] for name in row if name != "seconds"} for row in rows])


def _seconds(rows: Sequence[dict[str, Any]]) -> list[float]:
    return [row.get("seconds", 0.0) for row in rows]


def model_of(model: TransferModel | Run | str | Path) -> TransferModel:
    """Return the model that `tltk.predict`, `evaluate`, `embed` and `export` were given in any form.

    Args:
        model: A model, a run, or the folder of a run, which is loaded.

    Returns:
        The model.

    Raises:
        NotFound: If a path is not the folder of a run.
        InvalidInput: If the run is damaged.
        InvalidType: If `model` is anything else; for a plain Keras model, the message names `tltk.adopt`.
    """
    if isinstance(model, str | Path):
        return load_run(model).model
    if isinstance(model, Run):
        return model.model
    if isinstance(model, keras.Model):
        raise InvalidType(
            f"`model` is a plain Keras model, {model.name!r}, without labels and input format. Pass "
            "tltk.adopt(model, task), with a task such as tltk.classification(class_names)."
        )
    hint = "Pass a run, its folder, or what tltk.assemble or tltk.adopt returned."
    check.instance_of("model", model, (TransferModel, Run, str, Path), hint=hint)
    return model


@familiar.arguments
def load_run(folder: str | Path, *, custom_objects: dict[str, Any] | None = None) -> Run:
    """Load a saved run.

    Args:
        folder: Folder written by `fit(out=)` or `Run.save`.
        custom_objects: Layers, losses, metrics and functions of your own by name, unless they are registered with
            `keras.saving.register_keras_serializable`.

    Returns:
        The run; its model can predict, be evaluated, exported or trained further.

    Raises:
        NotFound: If the folder, config.json or model.keras is missing.
        InvalidInput: If a file is damaged, has the format of another version of tltk, or needs layers that Keras does
            not know.

    Examples:
        >>> load_run("runs/nowhere")
        Traceback (most recent call last):
        ...
        tltk.errors.NotFound: runs/nowhere is not the folder of a run: it does not exist. Pass the folder ...
    """
    folder = Path(folder)
    return _read_run(folder, lambda config: _load_model(folder / "model.keras", config, custom_objects))


def load_run_into(model: TransferModel, folder: Path) -> Run:
    """Load a saved run whose model was built again, so that the objects of the user in it need not be registered.

    Args:
        model: Model of the same architecture; gets the weights of the run.
        folder: Folder of the run.

    Raises:
        NotFound: If a file is missing.
        InvalidInput: If a file is damaged, or the weights do not fit.
    """

    def with_weights(config: dict[str, Any]) -> TransferModel:
        path = folder / "model.keras"
        check_archive(path)
        try:
            model.keras.load_weights(path)
        except Exception as error:  # h5py, zipfile and Keras raise many types; each becomes an InvalidInput
            raise InvalidInput(f"the weights of {path} cannot be read into the model: {error}") from error
        decision = {name: value for name, value in config["task"].items() if name in DECISIONS}
        return replace(model, task=model.task.with_decision(decision))

    return _read_run(folder, with_weights)


def read_config(folder: Path) -> dict[str, Any]:
    """Read the configuration of a saved run, and check that its files are those that were saved.

    Raises:
        NotFound: If a file is missing.
        InvalidInput: If a file is damaged, or has the format of another version of tltk.
    """
    _require_run(folder)
    training = run_folder.unfinished_training(folder)
    if training:
        log.warning("%s. This is the previous run.", training)
    config = _read_json(folder / "config.json")
    if not isinstance(config, dict) or not isinstance(config.get("task", {}), dict):
        raise InvalidInput(f"{folder / 'config.json'} is damaged: it does not hold the configuration of a run.")
    if config.get("format") != FORMAT:
        raise InvalidInput(
            f"{folder / 'config.json'} has format {config.get('format')!r}; this version of tltk reads format {FORMAT}."
        )
    run_folder.check_intact(folder, config)
    return config


def _read_run(folder: Path, load_model: Callable[[dict[str, Any]], TransferModel]) -> Run:
    config = read_config(folder)
    try:
        model = load_model(config)
        metrics = _read_json(folder / "metrics.json") if (folder / "metrics.json").is_file() else {"phases": []}
        phases = tuple(_phase_result(phase) for phase in metrics["phases"])
        rows = files.read_csv(folder / "history.csv")
        history = [{name: _parsed(text) for name, text in row.items()} for row in rows]
        phases, history = _with_seconds(folder, phases, history)
    except TltkError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise InvalidInput(
            f"{folder} is damaged: config.json or metrics.json has missing or wrong entries ({error})."
        ) from error
    invalid = tuple(_invalid_example(folder, row) for row in files.read_csv(folder / "invalid.csv"))
    return Run(model, phases, tuple(history), invalid, config, folder)


def _phase_result(stored: dict[str, Any]) -> PhaseResult:
    return PhaseResult(**{"seconds": 0.0, **stored, "score": _as_tuple(stored["score"])})


def _with_seconds(
    folder: Path, phases: tuple[PhaseResult, ...], history: list[dict[str, Any]]
) -> tuple[tuple[PhaseResult, ...], list[dict[str, Any]]]:
    """Add the seconds of phases and epochs, which are in a file of their own; older runs have them in the others."""
    if not (folder / "seconds.json").is_file():
        return phases, history
    seconds = _read_json(folder / "seconds.json")
    phases = tuple(replace(phase, seconds=float(s)) for phase, s in zip(phases, seconds["phases"], strict=True))
    order = ("phase", "epoch", "seconds")
    timed = [{**row, "seconds": float(s)} for row, s in zip(history, seconds["epochs"], strict=True)]
    rows = [{**{name: row[name] for name in order if name in row}, **row} for row in timed]
    return phases, rows


def _require_run(folder: Path) -> None:
    """Raise unless a folder has the files of a run; the message says where a run is."""
    missing = [name for name in _REQUIRED if not (folder / name).is_file()]
    if not missing:
        return
    fix = "Pass the folder that was given to tltk.fit(out=) or Run.save."
    if folder.is_dir():
        training = run_folder.unfinished_training(folder)
        problem = f"it lacks {' and '.join(missing)}{'; ' if training else ''}{training}"
        nearby = [entry for entry in sorted(folder.iterdir()) if run_folder.is_run(entry)]
        fix = f"It contains runs: {check.listing(nearby)}." if nearby else fix
    elif folder.suffix in (".keras", ".h5"):
        problem = "it is a file" if folder.is_file() else "it does not exist"
        fix += f" For a Keras file alone: tltk.adopt(keras.models.load_model({str(folder)!r}), task)."
    else:
        problem = "it is a file" if folder.is_file() else "it does not exist"
        siblings = folder.parent.iterdir() if folder.parent.is_dir() else ()
        fix += check.did_you_mean(str(folder), [str(entry) for entry in siblings if run_folder.is_run(entry)])
    raise NotFound(f"{folder} is not the folder of a run: {problem}. {fix}")


def describe_model(model: TransferModel, folder: Path) -> dict[str, Any]:
    """Return everything that the .keras file of a model lacks, as JSON values.

    Args:
        model: The model to describe.
        folder: Folder of the run. Files that do not fit into JSON, such as a vocabulary, are written there.

    Returns:
        Entries of config.json.
    """
    modality = modality_of(model.input_spec)
    return {
        "format": FORMAT,
        "backbone": model.backbone,
        "input": {"modality": modality.name, **modality.to_config(model.input_spec, folder)},
        "task": model.task.to_config(),
        "stages": model.stages,
        "weights": asdict(model.origin),
        "precision": model.precision,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions of the packages that the result depends on: package → version."""
    return {name: metadata.version(name) for name in _PACKAGES}


def model_bytes(model: TransferModel) -> int:
    """Estimate the size of a saved model in bytes: its weights, and 10 MB for the graph."""
    return sum(weight.numpy().nbytes for weight in model.keras.weights) + 10_000_000


def _load_model(path: Path, config: dict[str, Any], custom_objects: dict[str, Any] | None) -> TransferModel:
    stored = dict(config["input"])
    spec = named_modality(stored.pop("modality")).from_config(stored, path.parent)
    # Before the layers: an unknown task is the better explanation if its layers are unknown as well.
    task = _load_task(path, config["task"], custom_objects)
    check_archive(path)
    try:
        register_layers_of(path)
        loaded = keras.models.load_model(path, custom_objects=custom_objects, compile=False)
    except Exception as error:  # h5py, zipfile and Keras raise many types; each becomes an InvalidInput
        reason = why_unloadable(path, custom_objects) or error
        raise InvalidInput(f"{path} cannot be read as a Keras model: {reason}") from error
    keep_loadable(loaded)
    return TransferModel(
        keras=loaded,
        task=task,
        input_spec=spec,
        stages=config["stages"],
        backbone=config["backbone"],
        origin=Origin(**config["weights"]),
        precision=config["precision"],
    )


def _load_task(path: Path, config: dict[str, Any], custom_objects: dict[str, Any] | None) -> Task:
    """Rebuild a task with its loss and metrics, which may be of the user's own."""
    try:
        with keras.saving.custom_object_scope(custom_objects or {}):
            return tasks.from_config(config)
    except (TypeError, ValueError) as error:
        unknown = custom_objects_of(config.get("objective"), custom_objects).names
        if not unknown:
            raise
        raise InvalidInput(f"{path.parent}: loss or metrics of the task need {unknown_objects(unknown)}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is damaged: {error}") from error


def _invalid_example(folder: Path, row: dict[str, str]) -> InvalidExample:
    try:
        return InvalidExample(row["example_id"], row["reason"])
    except KeyError as error:
        raise InvalidInput(f"{folder / 'invalid.csv'} is damaged: it has no column {error}") from error


def _parsed(text: str) -> Any:
    """Parse a cell of history.csv as an int or float if possible; otherwise return the text."""
    for number_type in (int, float):
        try:
            return number_type(text)
        except ValueError:
            continue
    return text


def _as_tuple(value: list | None) -> tuple | None:
    return None if value is None else tuple(value)
