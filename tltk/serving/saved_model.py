"""Export: a SavedModel of image bytes or texts → labels, checked in a clean process before it is called done."""

import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tltk import _check as check
from tltk import files
from tltk.data import texts
from tltk.data.decode import decode_image
from tltk.data.wordpiece import WordPiece
from tltk.model import TransferModel
from tltk.specs import InputSpec, TextSpec
from tltk.tasks.classification import MultiLabel
from tltk.tasks.regression import Regress

TOLERANCE = 1e-5
_REPLAY = Path(__file__).with_name("replay.py")


@dataclass(frozen=True)
class Exported:
    """An export that was checked.

    Args:
        path: of the version, such as serving/photos/1.
        bytes: its size on disk.
        differences: output name → largest difference between the SavedModel in a clean process and the model here.
        answer: the clean process's answer to the first stored request.
    """

    path: Path
    bytes: int
    differences: dict[str, float]
    answer: dict[str, Any]


def export(
    model: TransferModel, folder: str | Path, *, version: int | None = None, requests: list[bytes] | None = None
) -> Exported:
    """Write a versioned SavedModel: image bytes or texts in, labels and probabilities out.

    The preprocessing of training is inside it, so that a client sends files or texts as they are. It is written beside
    its place, replayed in a clean process that imports tensorflow alone, and only then renamed into place.

    Args:
        model: from `assemble`, `adopt` or a run.
        folder: parent of the version folders, as TensorFlow Serving reads it.
        version: folder name; the default is one above the highest there is.
        requests: encoded pictures, or texts as UTF-8, to check the export with; the default is eight generated ones.

    Returns:
        Where it is, and how far its answers were from the model's.

    Raises:
        FileExistsError: if the version is there already.
        OSError: if the disk is full or the folder cannot be written; nothing half-written stays behind.
        RuntimeError: if the clean process's answers differ by more than 1e-5.
    """
    check.kind_of(
        "model", model, TransferModel, hint="Pass what tltk.assemble, tltk.adopt or tltk.load_run(...).model returned."
    )
    folder = files.make_folder(Path(folder), needs=2 * sum(weight.numpy().nbytes for weight in model.keras.weights))
    target = folder / str(_next_version(folder) if version is None else version)
    if target.exists():
        raise FileExistsError(f"{target} is there already. Leave out `version`, or choose another.")
    stored = requests if requests is not None else sample_requests(model)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as scratch:
        written = Path(scratch) / "model"
        try:
            _write(model, written)
        except (OSError, tf.errors.ResourceExhaustedError) as error:
            raise OSError(errno.ENOSPC, f"the export could not be written: {error}", str(folder)) from error
        result = replay(model, written, stored)
        written.replace(target)
    size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    return Exported(target, size, result["differences"], result["first"])


def replay(model: TransferModel, saved_model: Path, requests: list[bytes]) -> dict[str, Any]:
    """Send requests to a SavedModel in a clean process and compare its answers with the model's.

    Args:
        model: the reference.
        saved_model: folder of the SavedModel.
        requests: encoded pictures, or texts as UTF-8.

    Returns:
        "differences" (output name → largest difference), "first" (the first answer), "imported" (foreign modules).

    Raises:
        RuntimeError: if the process fails, or a difference is above 1e-5.
    """
    _, serve = _serve(model)
    answers = serve(tf.constant(requests, tf.string))
    expected = {name: value.numpy() for name, value in answers.items() if value.dtype.is_floating}
    with tempfile.TemporaryDirectory() as scratch:
        examples = Path(scratch) / "examples.npz"
        np.savez(examples, requests=np.array([request.hex() for request in requests]), **expected)
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, "-I", str(_REPLAY), str(saved_model), str(examples)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"the export could not be loaded in a clean process:\n{done.stderr[-2000:]}")
    result = json.loads(done.stdout.splitlines()[-1])
    wrong = {name: value for name, value in result["differences"].items() if not value <= TOLERANCE}
    if wrong or result["imported"]:
        raise RuntimeError(f"the export is not the model: differences {wrong}, imported {result['imported']}")
    return result


def sample_requests(model: TransferModel, count: int = 8) -> list[bytes]:
    """Make a few pictures, JPEG and PNG in turn, of a size that the model does not expect; or a few texts."""
    generator = np.random.default_rng(0)
    if isinstance(model.input, TextSpec):
        words = [piece for piece in model.input.vocabulary if piece.isalpha()] or ["text"]
        drawn = (generator.choice(words, generator.integers(1, 40)) for _ in range(count))
        return [b"", *(" ".join(each).encode() for each in drawn)][:count]
    rows, columns = model.input.height + 13, model.input.width + 40
    ramp = np.linspace(0, 255, columns)[None, :, None] * np.linspace(0, 1, rows)[:, None, None]
    found = []
    for index in range(count):
        picture = np.clip(ramp + generator.normal(0, 30, (rows, columns, 3)), 0, 255).astype("uint8")
        found.append((tf.io.encode_png if index % 2 else tf.io.encode_jpeg)(picture).numpy())
    return found


def _write(model: TransferModel, folder: Path) -> None:
    archive = keras.export.ExportArchive()
    # The endpoints alone, without `track(model)`: tracking stores every weight a second time (keras#23553).
    name = "texts" if isinstance(model.input, TextSpec) else "image_bytes"
    tables, serve = _serve(model)
    for table in tables:
        archive.track(table)
    archive.add_endpoint("serving_default", serve, input_signature=[tf.TensorSpec([None], tf.string, name=name)])
    archive.write_out(str(folder), verbose=False)


def _serve(model: TransferModel) -> tuple[list, Any]:
    """Build the served function: image bytes or texts [batch] → named outputs; and the tables that it looks up."""
    names = tf.constant(model.task.labels.names)
    task, (tables, prepare) = model.task, _prepare(model.input)

    def serve(requests: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = model.keras(prepare(requests), training=False)
        every = tf.tile(names[None], [tf.shape(outputs)[0], 1])
        if isinstance(task, Regress):
            return {"values": outputs, "labels": every}
        if isinstance(task, MultiLabel):
            return {"probabilities": outputs, "labels": every, "chosen": outputs > task.threshold}
        best = tf.argmax(outputs, -1)
        return {
            "label": tf.gather(names, best),
            "probability": tf.reduce_max(outputs, -1),
            "probabilities": outputs,
            "labels": every,
        }

    return tables, tf.function(serve, autograph=False)


def _prepare(spec: InputSpec | TextSpec) -> tuple[list, Callable[[tf.Tensor], tf.Tensor]]:
    """Build what turns requests into what the model eats, as in training."""
    if isinstance(spec, TextSpec):
        tokenizer = WordPiece(spec)
        return [tokenizer.table], lambda data: texts.ids(data, tokenizer)
    shape = tf.TensorSpec(spec.shape, tf.float32)
    return [], lambda data: tf.map_fn(lambda each: decode_image(each, spec), data, fn_output_signature=shape)


def _next_version(folder: Path) -> int:
    present = [int(entry.name) for entry in folder.iterdir() if entry.name.isdigit()]
    return max(present, default=0) + 1
