"""Export: a model leaves Python, and is checked in a clean process before that is called done."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import tensorflow as tf

from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation import files
from tltk.models.transfer_model import TransferModel
from tltk.serving import formats, saved_model
from tltk.serving.certificate import Verified, verify
from tltk.serving.saved_model import Requests
from tltk.tasks.registry import require_task

# What TensorFlow raises when a disk is full or may not be written.
_OF_DISKS = {
    tf.errors.ResourceExhaustedError: errno.ENOSPC,
    tf.errors.PermissionDeniedError: errno.EACCES,
    tf.errors.FailedPreconditionError: errno.EROFS,
    tf.errors.UnknownError: errno.EIO,
}


def export(
    model: TransferModel,
    folder: str | Path,
    *,
    format: str = "saved_model",  # noqa: A002 - the word of Keras' own export
    version: int | None = None,
    requests: Requests | None = None,
    calibration: Source | None = None,
    warmup: bool = False,
    fold_batch_norm: bool = False,
) -> Verified:
    """Write a versioned model for serving: a SavedModel of image bytes or texts in, labels and probabilities out.

    The preprocessing of training is inside it, so that a client sends files or texts as they are. It is written beside
    its place, replayed in a clean process that imports tensorflow alone, and only then renamed into place. The other
    formats hold the network, from decoded pixels or token ids to numbers, and are replayed by their own runtime.

    Args:
        model: from `assemble`, `adopt` or a run.
        folder: parent of the version folders, as TensorFlow Serving reads it.
        format: "saved_model", "onnx", "openvino", "litert", "litert_float16" or "litert_int8".
        version: folder name; the default is one above the highest there is.
        requests: of a SavedModel, encoded pictures, or texts as UTF-8 (of pairs, tuples of two), to check the export
            with; the default is two dozen generated ones. They stay with it, and `verify` asks them again.
        calibration: of "litert_int8", examples to measure the range of each layer on, such as the training set; 100 of
            them are read.
        warmup: store requests in a SavedModel that TensorFlow Serving replays while it loads (`tltk[serving]`).
        fold_batch_norm: Whether to fold batch norms into the convolutions before them (float32 SavedModels only): up to
            a third less time per call. Equal up to rounding: answers may differ by 1e-4, and the largest difference is
            reported.

    Returns:
        Where it is, and how far its answers were from the model's; no latencies, which `verify` measures.

    Raises:
        FileExistsError: if the version is there already.
        MissingExtraError: if the packages of the format, or of warm-up requests, are not installed.
        OSError: if the disk is full or the folder cannot be written; nothing half-written stays behind.
        ServingError: a RuntimeError, if what would be served is not what `tltk.predict` says, or the clean process's
            answers differ from the model's by more than the format may: 1e-5 of a SavedModel, 1e-4 in float32.
        ValueError: for an unknown format, options that it does not have, or a task that is not registered.
    """
    check.kind_of(
        "model", model, TransferModel, hint="Pass what tltk.assemble, tltk.adopt or tltk.load_run(...).model returned."
    )
    require_task(model.task)
    if version is not None and (type(version) is not int or version < 0):
        raise ValueError(f"`version` must be a whole number, at least 0. Received: {version!r}")
    formats.check_options(format, requests=requests is not None, calibration=calibration, warmup=warmup)
    if fold_batch_norm and (format != "saved_model" or model.precision != "float32"):
        raise ValueError(
            '`fold_batch_norm=True` requires format="saved_model" and float32 precision. '
            f"Received: format={format!r}, precision {model.precision!r}"
        )
    folder = files.make_folder(Path(folder), needs=2 * sum(weight.numpy().nbytes for weight in model.keras.weights))
    if version is not None:
        _check_free(folder / str(version))
    with files.temporary_folder(folder, ".writing-") as scratch:
        written = scratch / "model"
        try:
            if format == "saved_model":
                warm = folder.name if warmup else None
                saved_model.write(model, written, requests, fold_batch_norm=fold_batch_norm, warm=warm)
            else:
                formats.write(model, written, format, calibration)
            files.flush(*written.rglob("*"), written)
        except (OSError, *_OF_DISKS) as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            number = getattr(error, "errno", None) or _OF_DISKS.get(type(error), errno.EIO)
            raise OSError(number, f"the export could not be written: {said}", str(folder)) from error
        checked = verify(written, timed=False)
        target = _placed(written, folder, version)
    files.flush(folder)
    return replace(checked, path=target)


def _placed(written: Path, folder: Path, version: int | None) -> Path:
    """Rename into place; of a number that another export has taken meanwhile, the next one."""
    while True:
        target = folder / str(_next_version(folder) if version is None else version)
        try:
            return written.rename(target)
        except OSError:  # what a folder in the way is called differs
            if not os.path.lexists(target):
                raise
            if version is not None:
                _check_free(target)


def _check_free(target: Path) -> None:
    if os.path.lexists(target):  # a link that leads nowhere is in the way, too
        raise FileExistsError(f"{target} is there already. Leave out `version`, or choose another.")


def _next_version(folder: Path) -> int:
    present = [int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal()]
    return max(present, default=0) + 1
