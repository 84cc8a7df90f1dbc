"""What a fit leaves behind: a folder with the model, its history, and everything needed to make it again."""

import csv
import json
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import keras

from tltk import tasks
from tltk.backbones.base import Origin
from tltk.backbones.text.kerashub import keep_loadable, register_layers_of
from tltk.foundation import files
from tltk.modalities.modality import modality_of, named_modality
from tltk.models.transfer_model import TransferModel
from tltk.specs import InvalidExample
from tltk.training.phase import PhaseResult

FORMAT = 2
_PACKAGES = ("tltk", "tensorflow", "keras", "keras-hub", "numpy")


@dataclass(frozen=True)
class Run:
    """A trained model and the record of its training.

    Args:
        model: at its best weights.
        phases: what became of each phase.
        history: one row an epoch: phase, epoch, seconds, and every metric.
        invalid: examples that could not be read.
        config: recipe, seeds, versions, where the weights came from; plain JSON values.
        folder: where it was saved, or None.
    """

    model: TransferModel
    phases: tuple[PhaseResult, ...] = ()
    history: tuple[dict[str, Any], ...] = ()
    invalid: tuple[InvalidExample, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def seconds(self) -> float:
        """Wall time of all phases."""
        return sum(phase.seconds for phase in self.phases)

    def save(self, folder: str | Path) -> "Run":
        """Write the run: config.json, model.keras, history.csv, metrics.json, invalid.csv; of text, its pieces.

        Args:
            folder: made if it does not exist; files of an older run there are replaced one by one, atomically.

        Returns:
            The same run with its folder.

        Raises:
            OSError: if the folder cannot be written or the disk is full.
        """
        folder = files.make_folder(Path(folder), needs=model_bytes(self.model))
        files.write_atomically(folder / "model.keras", self.model.keras.save)
        files.write_csv(folder / "history.csv", self.history)
        files.write_csv(folder / "invalid.csv", [asdict(example) for example in self.invalid])
        files.write_json(folder / "metrics.json", {"phases": [asdict(phase) for phase in self.phases]})
        files.write_json(folder / "config.json", {**self.config, **describe_model(self.model, folder)})
        return replace(self, folder=folder)


def load_run(folder: str | Path) -> Run:
    """Bring a saved run back.

    Args:
        folder: what `fit(out=)` or `Run.save` wrote.

    Returns:
        The run, its model ready to predict, evaluate, export or train further.

    Raises:
        FileNotFoundError: if the folder or one of its files is missing.
        ValueError: if a file is damaged or of a newer format.

    Example:
        >>> load_run("runs/nowhere")
        Traceback (most recent call last):
        ...
        FileNotFoundError: runs/nowhere is no run: it has no config.json, model.keras
    """
    folder = Path(folder)
    missing = [name for name in ("config.json", "model.keras") if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder} is no run: it has no {', '.join(missing)}")
    config = _read_json(folder / "config.json")
    if not isinstance(config, dict) or not isinstance(config.get("task", {}), dict):
        raise ValueError(f"{folder / 'config.json'} is damaged: it holds no record of a run")
    if config.get("format") != FORMAT:
        raise ValueError(
            f"{folder / 'config.json'} is of format {config.get('format')!r}; this version reads {FORMAT}."
        )
    try:
        model = _load_model(folder / "model.keras", config)
        metrics = _read_json(folder / "metrics.json") if (folder / "metrics.json").is_file() else {"phases": []}
        phases = tuple(PhaseResult(**{**phase, "score": _tuple(phase["score"])}) for phase in metrics["phases"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder} is damaged: its records lack or misstate {error}") from error
    history = tuple({name: _number(text) for name, text in row.items()} for row in _read_csv(folder / "history.csv"))
    invalid = tuple(InvalidExample(row["example_id"], row["reason"]) for row in _read_csv(folder / "invalid.csv"))
    return Run(model, phases, history, invalid, config, folder)


def describe_model(model: TransferModel, folder: Path) -> dict[str, Any]:
    """Return everything about a model that is not in its .keras file, as plain JSON values.

    Args:
        model: to describe.
        folder: of the run; gets what is too large for JSON, such as a vocabulary.
    """
    modality = modality_of(model.input)
    return {
        "format": FORMAT,
        "backbone": model.backbone,
        "input": {"modality": modality.name, **modality.to_config(model.input, folder)},
        "task": model.task.to_config(),
        "stages": model.stages,
        "weights": asdict(model.origin),
        "precision": model.precision,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of the packages that the result depends on."""
    return {name: metadata.version(name) for name in _PACKAGES}


def model_bytes(model: TransferModel) -> int:
    """Estimate the size of a saved model: its weights in their own formats, and 10 MB for the graph."""
    return sum(weight.numpy().nbytes for weight in model.keras.weights) + 10_000_000


def _load_model(path: Path, config: dict[str, Any]) -> TransferModel:
    stored = dict(config["input"])
    spec = named_modality(stored.pop("modality")).from_config(stored, path.parent)
    task = tasks.from_config(config["task"])  # first: that a task is unknown explains why its layers are
    try:
        register_layers_of(path)
        loaded = keras.models.load_model(path, compile=False)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path} cannot be read as a Keras model: {error}") from error
    keep_loadable(loaded)
    return TransferModel(
        keras=loaded,
        task=task,
        input=spec,
        stages=config["stages"],
        backbone=config["backbone"],
        origin=Origin(**config["weights"]),
        precision=config["precision"],
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def _read_csv(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _number(text: str) -> Any:
    """Turn what a history file holds into a number, if it is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _tuple(value: list | None) -> tuple | None:
    return None if value is None else tuple(value)
