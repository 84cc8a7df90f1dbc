"""Export: a SavedModel of image bytes or texts → labels, checked in a clean process before it is called done."""

import errno
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from tltk import _check as check
from tltk import files
from tltk.model import TransferModel
from tltk.serving import certificate
from tltk.serving.certificate import verify
from tltk.serving.signatures import served
from tltk.specs import TextSpec

Requests: TypeAlias = Sequence[bytes | tuple[bytes, ...]]
_STORED = 24  # requests of a certificate


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
    model: TransferModel, folder: str | Path, *, version: int | None = None, requests: Requests | None = None
) -> Exported:
    """Write a versioned SavedModel: image bytes or texts in, labels and probabilities out.

    The preprocessing of training is inside it, so that a client sends files or texts as they are. It is written beside
    its place, replayed in a clean process that imports tensorflow alone, and only then renamed into place.

    Args:
        model: from `assemble`, `adopt` or a run.
        folder: parent of the version folders, as TensorFlow Serving reads it.
        version: folder name; the default is one above the highest there is.
        requests: encoded pictures, or texts as UTF-8 (of pairs, tuples of two), to check the export with; the default
            is two dozen generated ones. They stay with it, and `verify` asks them again.

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
            certificate.write(written, answered(model, stored))
        except (OSError, tf.errors.ResourceExhaustedError) as error:
            raise OSError(errno.ENOSPC, f"the export could not be written: {error}", str(folder)) from error
        found = verify(written, timed=False)
        written.replace(target)
    return Exported(target, found.bytes, found.differences["serving_default"], found.first)


def answered(model: TransferModel, requests: Requests) -> dict[str, dict[str, dict[str, Any]]]:
    """Ask the model itself, as its SavedModel will be asked.

    Args:
        model: the reference.
        requests: encoded pictures, or texts as UTF-8; of pairs, tuples of two.

    Returns:
        For `certificate.write`: signature → "ask" and "answer" → name → rows.
    """
    function = served(model)
    columns = _columns(requests, function.inputs)
    answers = function.run(*(tf.constant(column, tf.string) for column in columns.values()))
    return {"serving_default": {"ask": columns, "answer": {name: value.numpy() for name, value in answers.items()}}}


def _columns(requests: Requests, names: tuple[str, ...]) -> dict[str, list[bytes]]:
    """Turn requests into a column for each input."""
    rows = [request if isinstance(request, tuple) else (request,) for request in requests]
    wrong = next((row for row in rows if len(row) != len(names)), None)
    if wrong is not None:
        raise ValueError(f"a request must hold {' and '.join(names)}. Received: {wrong!r:.60}")
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def sample_requests(model: TransferModel, count: int = _STORED) -> Requests:
    """Make a few pictures, JPEG and PNG in turn, of a size that the model does not expect; or a few texts."""
    generator = np.random.default_rng(0)
    if isinstance(model.input, TextSpec):
        words = [piece for piece in model.input.vocabulary if piece.isalpha()] or ["text"]
        drawn = [" ".join(generator.choice(words, generator.integers(1, 40))).encode() for _ in range(2 * count)]
        return [*zip(drawn[:count], drawn[count:], strict=True)] if model.input.pairs else [b"", *drawn[: count - 1]]
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
    function = served(model)
    for table in function.tables:
        archive.track(table)
    archive.add_endpoint("serving_default", function.run, input_signature=function.signature)
    archive.write_out(str(folder), verbose=False)


def _next_version(folder: Path) -> int:
    present = [int(entry.name) for entry in folder.iterdir() if entry.name.isdigit()]
    return max(present, default=0) + 1
