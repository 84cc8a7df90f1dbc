"""Exports trained models for serving, and verifies each export in a clean process."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import tensorflow as tf

from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation import familiar, files
from tltk.foundation.errors import FileError, InvalidInput
from tltk.models.transfer_model import TransferModel
from tltk.serving import formats, saved_model
from tltk.serving.certificate import Verification, verify
from tltk.serving.saved_model import Requests
from tltk.tasks.registry import require_task
from tltk.training.run import Run, model_of

# TensorFlow's exceptions for failed writes → errno.
_WRITE_ERRORS = {
    tf.errors.ResourceExhaustedError: errno.ENOSPC,
    tf.errors.PermissionDeniedError: errno.EACCES,
    tf.errors.FailedPreconditionError: errno.EROFS,
    tf.errors.UnknownError: errno.EIO,
}


@familiar.arguments
def export(
    model: TransferModel | Run | str | Path,
    folder: str | Path,
    *,
    format: str = "saved_model",  # noqa: A002 - the name in Keras' own `Model.export`
    version: int | None = None,
    requests: Requests | None = None,
    calibration: Source | None = None,
    max_changed: float | None = None,
    warmup: bool = False,
    fold_batch_norm: bool = False,
) -> Verification:
    """Export a model for serving as a new version, by default a SavedModel that takes image bytes or texts.

    A SavedModel contains the preprocessing of training and returns labels and probabilities, so that clients send files
    or plain texts. The other formats contain the network only: from decoded pixels or token ids to probabilities or
    values. Every export is first written to a temporary folder and replayed in a clean process that imports only
    TensorFlow or the format's runtime; it is renamed to its version number if all outputs match.

    Args:
        model: A run, the folder of a run, or a model from `assemble` or `adopt`.
        folder: Parent of the version folders, in the layout of TensorFlow Serving.
        format: "saved_model", "onnx", "openvino", "litert", "litert_float16" or "litert_int8".
        version: Name of the version folder; the default is one above the highest existing version.
        requests: Requests that verify a SavedModel: encoded images, texts as UTF-8, or tuples of two texts. They are
            stored with the export for `tltk.verify`. The default is 24 generated requests.
        calibration: Examples such as the training set. "litert_int8" requires them, and measures the value range of
            each layer on 100 of them. Every format except a SavedModel is judged on up to 500 of them: which answers
            changed and, with labels, whether the score fell. The default is generated requests.
        max_changed: Largest accepted share of examples whose label, spans or values changed, in [0, 1]. The default is
            0 for float32 formats, 0.01 for "litert_float16" and 0.05 for "litert_int8"; in addition, accuracy (the
            task's `score_name`) may then fall by one point at most.
        warmup: Whether to store warm-up requests in a SavedModel, which TensorFlow Serving replays while it loads the
            model (requires `tltk[serving]`).
        fold_batch_norm: Whether to fold batch norms into the convolutions before them (float32 SavedModels only): up to
            a third less time per call. Equal up to rounding: outputs may differ by 1e-4, and the largest difference is
            reported.

    Returns:
        The path, the size and the differences from the model. Latencies are not measured; use `tltk.verify` for them.

    Raises:
        NotFound: If `model` is a path and not the folder of a run.
        FileError: If the version exists already.
        MissingExtra: If the packages of the format, or of warm-up requests, are not installed.
        FileError: If the disk is full or the folder is not writable; no partial export is left behind.
        ServingError: A RuntimeError, if the SavedModel would not return the predictions of `tltk.predict`, or if the
            outputs in the clean process differ from the model by more than the tolerance of the format: 1e-5 for a
            SavedModel, 1e-4 with `fold_batch_norm` and for float32 formats; or if too many answers changed.
        InvalidInput: If the format is unknown or does not have a given option, or the task is not registered.
    """
    model = model_of(model)
    require_task(model.task)
    if version is not None and (type(version) is not int or version < 0):
        raise InvalidInput(f"`version` must be an integer, at least 0. Received: {version!r}")
    if max_changed is not None:
        check.within("max_changed", max_changed, low=0, high=1)
    formats.check_options(format, requests=requests is not None, calibration=calibration, warmup=warmup)
    if fold_batch_norm and (format != "saved_model" or model.precision != "float32"):
        raise InvalidInput(
            '`fold_batch_norm=True` requires format="saved_model" and float32 precision. '
            f"Received: format={format!r}, precision {model.precision!r}"
        )
    required_bytes = 2 * sum(weight.numpy().nbytes for weight in model.keras.weights)
    folder = files.make_folder(check.path("folder", folder), required_bytes=required_bytes)
    if version is not None:
        _check_not_exists(folder / str(version))
    with files.temporary_folder(folder, ".writing-") as scratch:
        written = scratch / "model"
        try:
            if format == "saved_model":
                warmup_name = folder.name if warmup else None
                saved_model.write(model, written, requests, fold_batch_norm=fold_batch_norm, warmup_name=warmup_name)
            else:
                formats.write(model, written, format, calibration, max_changed=max_changed)
            files.flush(*written.rglob("*"), written)
        except (OSError, *_WRITE_ERRORS) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            code = getattr(error, "errno", None) or _WRITE_ERRORS.get(type(error), errno.EIO)
            raise FileError(code, f"the export could not be written: {reason}", str(folder)) from error
        verified = verify(written, measure_latency=False)
        target = _rename_to_version(written, folder, version)
    files.flush(folder)
    return replace(verified, path=target)


def _rename_to_version(written: Path, folder: Path, version: int | None) -> Path:
    """Rename to the version number, or to the next free one if a concurrent export took it and `version` is None."""
    while True:
        target = folder / str(_next_version(folder) if version is None else version)
        try:
            return written.rename(target)
        except OSError:  # the error for an existing target differs between systems
            if not os.path.lexists(target):
                raise
            if version is not None:
                _check_not_exists(target)


def _check_not_exists(target: Path) -> None:
    if os.path.lexists(target):  # a dangling link exists, too
        raise FileError(f"{target} exists already. Leave out `version`, or choose another one.")


def _next_version(folder: Path) -> int:
    versions = [int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal()]
    return max(versions, default=0) + 1
