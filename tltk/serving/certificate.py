"""The certificate of an export: stored requests with the outputs of the trained model, and their replay."""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tltk.foundation import checks as check
from tltk.foundation.archives import check_archive
from tltk.foundation.errors import InvalidInput, NotFound, ServingError
from tltk.serving.replay.runtimes import FILES

TOLERANCE = 1e-5
FILE = Path("assets.extra") / "certificate.npz"  # TensorFlow Serving ignores unknown files of this folder
_REPLAY = Path(__file__).parent / "replay" / "replay.py"
_REPEATS = 100  # timed calls for each batch size


@dataclass(frozen=True)
class Answers:
    """Answers of an exported file beside those of the model, for the same examples.

    Args:
        examples: Number of examples: those of `calibration`, or generated requests.
        changed: Share of the examples whose label or spans changed; for numbers, that moved by more than a tenth of
            their standard deviation over the examples.
        max_changed: Largest share that the export accepted.
        metric: Name of the score, see `Task.score_name`; "" if the examples have no labels.
        model_score: Score of the model; None without labels.
        score: Score of the exported file; None without labels.
    """

    examples: int
    changed: float
    max_changed: float
    metric: str = ""
    model_score: float | None = None
    score: float | None = None

    def describe(self) -> str:
        """Describe the comparison in one line."""
        count = round(self.changed * self.examples)
        line = f"{count} of {self.examples} answers changed ({self.changed:.1%})"
        return (
            f"{line}, {self.metric} {self.model_score:.4g} before and {self.score:.4g} after" if self.metric else line
        )


@dataclass(frozen=True)
class Verification:
    """Result of replaying the certificate of an export in a clean process.

    Args:
        path: Folder of the verified version, such as serving/photos/1.
        differences: Signature → output → largest difference from the trained model. For floats it is relative where the
            expected value is above 1, else absolute; for other dtypes it is the number of values that differ.
        size_bytes: Size on disk.
        load_seconds: Seconds until the first call was possible.
        latencies: Batch size ("1", "32") → {"p50_ms", "p99_ms"} for one call; empty if latencies were not measured.
        first_outputs: Outputs for the first stored request.
        answers: Comparison of the answers during the export. None for a SavedModel, whose answers must all be equal to
            those of `tltk.predict`, and for exports of earlier versions of tltk.
    """

    path: Path
    differences: dict[str, dict[str, float]]
    size_bytes: int
    load_seconds: float
    latencies: dict[str, dict[str, float]]
    first_outputs: dict[str, Any]
    answers: Answers | None = None

    @property
    def largest_differences(self) -> dict[str, float]:
        """Largest difference of each signature."""
        return {name: max(outputs.values()) for name, outputs in self.differences.items()}


def write(
    export_folder: Path,
    stored: Mapping[str, Mapping[str, Mapping[str, Any]]],
    *,
    tensors: Mapping[str, Mapping[str, Mapping[str, str]]] | None = None,
    tolerance: float = TOLERANCE,
    tolerances: Mapping[str, float] | None = None,
    answers: Answers | None = None,
) -> None:
    """Store requests and expected outputs inside an export.

    Args:
        export_folder: Folder of the export.
        stored: Signature → "inputs" and "outputs" (the expected ones) → name → values [requests, …].
        tensors: Signature → "inputs" and "outputs" → name → name of the tensor in the graph, as TensorFlow's C
            interface needs it; only for a SavedModel.
        tolerance: Largest accepted difference of a float.
        tolerances: Name of an output → its own tolerance.
        answers: Comparison of the answers with those of the model, if there is one.
    """
    file = export_folder / FILE
    file.parent.mkdir(exist_ok=True)
    arrays: dict[str, Any] = {}
    default_inputs = stored.get("serving_default", {}).get("inputs")
    for signature, sides in stored.items():
        for side, columns in sides.items():
            if side == "inputs" and signature != "serving_default" and _same_columns(columns, default_inputs):
                continue  # requests that several signatures share are stored once
            for name, values in columns.items():
                arrays |= _to_arrays(f"{signature}/{side}/{name}", values)
    if answers is not None:
        arrays["answers"] = json.dumps(asdict(answers))
    if tolerances:
        arrays["tolerances"] = json.dumps(dict(tolerances))
    np.savez_compressed(file, tensors=json.dumps(tensors or {}), tolerance=tolerance, **arrays)


def _same_columns(columns: Mapping[str, Any], others: Mapping[str, Any] | None) -> bool:
    """Return whether two signatures got identical objects; equal names do not imply equal inputs."""
    return (
        others is not None and columns.keys() == others.keys() and all(columns[key] is others[key] for key in columns)
    )


def verify(folder: str | Path, *, measure_latency: bool = True, c_interface: bool = False) -> Verification:
    """Replay the certificate of an export in a clean process that imports only TensorFlow or the format's runtime.

    `export` already does this. Repeat it on the serving machine, or after a new version of TensorFlow was installed.

    Args:
        folder: Version folder written by `tltk.export`, or the parent of version folders, of which the highest is used.
        measure_latency: Whether to measure latencies too: 100 calls at batch sizes 1 and 32.
        c_interface: Whether to load and call the SavedModel through TensorFlow's C interface, as TensorFlow Serving
            does, without TensorFlow's Python code.

    Returns:
        The differences from the trained model, the size, and the measured times.

    Raises:
        NotFound: If there is no export, it has no certificate, or TensorFlow's library is not found.
        ServingError: A RuntimeError, if the export cannot be loaded, its certificate is damaged, or an output differs:
            floats by more than the tolerance of the export (1e-5 for a SavedModel), other dtypes at all.
        InvalidInput: If `c_interface` is set and the export is not a SavedModel.
    """
    path = _version_folder(Path(folder))
    _check_certificate(path)
    if c_interface and not (path / "saved_model.pb").is_file():
        raise InvalidInput(f"`c_interface=True` requires a SavedModel. Received: {path}, which has no saved_model.pb")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-I", str(_REPLAY), str(path), str(path / FILE), str(_REPEATS if measure_latency else 0)]
    command += [str(_tensorflow_library())] if c_interface else []
    process = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if process.returncode:  # the replay prints its own errors as JSON and exits with 0
        code = process.returncode
        reason = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise ServingError(f"{path}: the clean process ended with {reason}.\n{process.stderr[-500:]}")
    result: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    if "error" in result:
        raise ServingError(f"{path} could not be loaded or called in a clean process: {result['error']}")
    problems = check.Problems()
    for signature, outputs in result["signatures"].items():
        for name, difference in outputs.items():
            if not difference <= result["tolerances"].get(name, result["tolerance"]):  # also true for NaN
                problems.add(f"`{name}` of {signature} differs by {difference:g}")
    if result["imported"]:
        problems.add(f"it imports {check.listing(result['imported'])}, which a serving machine may not have")
    problems.raise_if_any(f"{path} does not reproduce the outputs of the trained model:", error=ServingError)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    first = result["first"].get("serving_default") or result["first"]["predict_tensor"]
    answers = _read_answers(path)
    return Verification(path, result["signatures"], size, result["load_seconds"], result["latency"], first, answers)


def _read_answers(path: Path) -> Answers | None:
    with np.load(path / FILE) as stored:
        return Answers(**json.loads(str(stored["answers"]))) if "answers" in stored.files else None


def _check_certificate(path: Path) -> None:
    """Raise if the certificate is missing or damaged, so that a damaged file is not reported as a damaged model."""
    file = path / FILE
    if not file.is_file():
        raise NotFound(
            f"{path} has no certificate ({FILE}): it was written by another tool or an older version of tltk. "
            "Export the model again."
        )
    problem = f"{file} is damaged, or was written by an older version of tltk. Export the model again."
    try:
        check_archive(file)
    except InvalidInput as error:
        raise ServingError(f"{problem} ({error})") from error
    with zipfile.ZipFile(file) as archive:
        if not {"tensors.npy", "tolerance.npy"} <= set(archive.namelist()):
            raise ServingError(problem)


def _tensorflow_library() -> Path:
    """Find TensorFlow's shared library without importing TensorFlow."""
    spec = importlib.util.find_spec("tensorflow")
    folders = spec.submodule_search_locations if spec and spec.submodule_search_locations else []
    libraries = [library for folder in folders for library in sorted(Path(folder).glob("*tensorflow_cc*"))]
    if not libraries:
        raise NotFound("TensorFlow's C library (libtensorflow_cc) was not found in the installed tensorflow package.")
    return libraries[0]


def _version_folder(folder: Path) -> Path:
    """Return the folder itself if it is an export, or else its highest version."""
    if _is_export(folder):
        return folder
    numbered = [entry for entry in folder.iterdir() if entry.name.isdecimal()] if folder.is_dir() else []
    versions = [entry for entry in numbered if _is_export(entry)]
    if not versions:
        raise NotFound(f"{folder} contains no exported model and no version folders.")
    return max(versions, key=lambda entry: int(entry.name))


def _is_export(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("saved_model.pb", *FILES))


def _to_arrays(key: str, values: Any) -> dict[str, np.ndarray]:
    """Return the arrays to store; strings become one array of bytes and one of end offsets.

    NumPy's own string dtype pads every string to the longest and drops trailing zero bytes.
    """
    array = np.asarray(values, object) if isinstance(values, list) else np.asarray(values)
    if array.dtype.kind not in "OS":
        return {key: array}
    strings = [bytes(string) for string in array.ravel()]
    ends = np.cumsum([len(string) for string in strings], dtype=np.int64).reshape(array.shape)
    return {key: np.frombuffer(b"".join(strings), np.uint8), f"{key}:ends": ends}
