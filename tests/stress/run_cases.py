"""Damaged run folders and exports: refused, or the same predictions."""

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import tltk
from tests.conftest import squares, squares_model
from tests.stress.damage import Generator, damage
from tests.stress.fuzz import Failed, Place
from tests.stress.table_cases import _change
from tests.texts import TEXTS, text_model, texts, tiny_preset
from tltk.training import checkpoint_file
from tltk.training.run import Run


def prepare(place: Place, kinds: tuple[str, ...]) -> None:
    """Make the undamaged folders before memory is limited."""
    makers = {"run": _image_run, "text_run": _text_run, "export": _export, "checkpoint": _checkpoints}
    for kind, make in makers.items():
        if kind in kinds:
            make(place)


def _image_run(place: Place) -> Path:
    def make(path: Path) -> None:
        recipe = tltk.linear_probe(epochs=1)
        tltk.fit(squares_model(), squares(), squares(12), recipe=recipe, batch_size=8, out=path, verbose=0)

    return place.made_once("image_run", make)


def _text_run(place: Place) -> Path:
    preset = place.made_once("preset", tiny_preset)

    def make(path: Path) -> None:
        tltk.fit(text_model(preset), texts(), recipe=tltk.linear_probe(epochs=1), batch_size=4, out=path, verbose=0)

    return place.made_once("text_run", make)


def _export(place: Place) -> Path:
    return place.made_once("export", lambda path: tltk.export(_image_run(place), path))


@cache
def _expected(folder: Path) -> tuple[Any, ...]:
    return _described(tltk.load_run(folder))


def _inputs(run: Run) -> Any:
    return squares(6).examples if run.model.input_spec.name != "token_ids" else list(TEXTS)


def _described(run: Run) -> tuple[Any, ...]:
    """Return everything about a run that a user sees."""
    predictions = tltk.predict(run, _inputs(run))
    probabilities = np.asarray(predictions.probabilities)
    repr(run), run._repr_html_(), run.model.origin
    return (predictions.labels, predictions.names, probabilities.tobytes(), run.phases, run.history, run.invalid)


def image_run(generator: Generator, place: Place) -> str:
    """Damage a file of a run of images."""
    return _damaged_run(_image_run(place), generator, place)


def text_run(generator: Generator, place: Place) -> str:
    """Damage a file of a run of texts, which has a vocabulary."""
    return _damaged_run(_text_run(place), generator, place)


def _damaged_run(original: Path, generator: Generator, place: Place) -> str:
    folder = place.folder / "run"
    shutil.copytree(original, folder)
    expected = _expected(original)
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    path = folder / names[int(generator.integers(len(names)))]
    how = _hurt_file(path, generator)
    run = tltk.load_run(folder)
    described = _described(run)
    changed = [index for index, (one, other) in enumerate(zip(described, expected, strict=True)) if one != other]
    if changed:
        what = ("labels", "names", "probabilities", "phases", "history", "invalid")[changed[0]]
        raise Failed(f"{path.name}, {how}: {what} differ, and nothing said so: {described[changed[0]]!r:.300}")
    _use_split(folder)
    return "used"


def _use_split(folder: Path) -> None:
    """Read what `evaluate` reads from the folder."""
    tltk.evaluate(tltk.load_run(folder), squares(6)) if "image" in str(folder) else None
    from tltk.training import split_file

    split_file.trained_on(folder, squares(6))


def _hurt_file(path: Path, generator: Generator) -> str:
    """Damage a file, or a value in it if it is JSON, or remove it; return how."""
    choice = generator.random()
    if choice < 0.05:
        path.unlink()
        return "removed"
    if choice < 0.35 and path.suffix == ".json":
        content = json.loads(path.read_text(encoding="utf-8"))
        _change(content, generator)
        path.write_text(json.dumps(content))
        return f"changed to {content!r:.2000}"
    data, how = damage(path.read_bytes() or b"\n", generator)
    path.write_bytes(data)
    return how


def _checkpoints(place: Place) -> Path:
    """Make the folder of a training with two checkpoints."""

    def make(path: Path) -> None:
        for number in range(2):
            weights = [np.arange(2000, dtype="float32").reshape(40, 50) + number, np.zeros(3, "int64")]
            state = {"phase": number, "before": {"weights": weights, "score": (0.5, -1.25)}, "during": None}
            checkpoint_file.write(path, state, keep=2)

    return place.made_once("checkpoint", make)


def checkpoint(generator: Generator, place: Place) -> str:
    """Damage the latest checkpoint, and sometimes both: the one before it is used, or all are refused."""
    folder = place.folder / "training"
    shutil.copytree(_checkpoints(place), folder)
    latest, older = checkpoint_file.checkpoint_files(folder)
    hurt = (latest, older) if generator.random() < 0.3 else (latest,)
    for file in hurt:
        data, _ = damage(file.path.read_bytes(), generator)
        file.path.write_bytes(data)
    is_damaged = {file.number: file.path.read_bytes() != _undamaged(place, file) for file in (latest, older)}
    state = checkpoint_file.read_latest(folder)
    expected = next(number for number in (2, 1) if not is_damaged[number])
    if state is None or state["phase"] != expected - 1 or state["before"]["weights"][0][0, 0] != expected - 1:
        raise Failed(f"the state of checkpoint {expected} was expected, and another one was read")
    return "used"


def _undamaged(place: Place, file: checkpoint_file.CheckpointFile) -> bytes:
    return (_checkpoints(place) / checkpoint_file.FOLDER / file.path.name).read_bytes()


def export(generator: Generator, place: Place) -> str:
    """Damage a file of an export: `verify` refuses it, or it answers as before."""
    original = next(path for path in _export(place).iterdir() if path.name == "1")
    folder = place.folder / "1"
    shutil.copytree(original, folder)
    names = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    path = names[int(generator.integers(len(names)))]
    how = _hurt_file(path, generator)
    tltk.verify(folder, measure_latency=False)
    images = [tf.io.encode_png(image).numpy() for image in squares(6).examples]
    answers = [
        {name: value.numpy().tolist() for name, value in _serve(version, images).items()}
        for version in (folder, original)
    ]
    if answers[0] != answers[1]:
        raise Failed(f"{path.relative_to(folder)}, {how}: other answers, and the certificate did not say so")
    return "used"


def _serve(version: Path, images: list[bytes]) -> dict[str, tf.Tensor]:
    signature = tf.saved_model.load(str(version)).signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]
    return signature(**{name: tf.constant(images)})
