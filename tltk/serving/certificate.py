"""The certificate of a SavedModel: stored requests, the answers that the trained model gave, and their replay."""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tltk.foundation import checks as check
from tltk.serving.replay.runtimes import FILES

TOLERANCE = 1e-5
FILE = Path("assets.extra") / "certificate.npz"  # TensorFlow Serving reads nothing there that it does not know
_REPLAY = Path(__file__).parent / "replay" / "replay.py"
_REPEATS = 100  # calls that a latency is taken from


@dataclass(frozen=True)
class Verified:
    """What an export did in a clean process.

    Args:
        path: of the version, such as serving/photos/1.
        differences: signature → output → largest difference from the trained model's answer, of numbers above 1 as a
            share of them; of what is no number, how many differ.
        bytes: its size on disk.
        load_seconds: until it could be called.
        latency: batch size ("1", "32") → {"p50_ms", "p99_ms"} of a call; empty if nothing was timed.
        first: the answer to the first stored request.
    """

    path: Path
    differences: dict[str, dict[str, float]]
    bytes: int
    load_seconds: float
    latency: dict[str, dict[str, float]]
    first: dict[str, Any]

    @property
    def largest(self) -> dict[str, float]:
        """Largest difference of each signature."""
        return {name: max(outputs.values()) for name, outputs in self.differences.items()}


def write(
    saved_model: Path,
    stored: Mapping[str, Mapping[str, Mapping[str, Any]]],
    *,
    tensors: Mapping[str, Mapping[str, Mapping[str, str]]] | None = None,
    tolerance: float = TOLERANCE,
) -> None:
    """Store requests and answers inside an export.

    Args:
        saved_model: its folder.
        stored: signature → "ask" and "answer" → name → what was asked and answered, a row a request.
        tensors: of a SavedModel, the same keys → the tensor's name in the graph, which TensorFlow's C interface calls
            it by.
        tolerance: largest difference of an answer that is a number.
    """
    place = saved_model / FILE
    place.parent.mkdir(exist_ok=True)
    flat: dict[str, Any] = {}
    asked = stored.get("serving_default", {}).get("ask")
    for signature, sides in stored.items():
        for side, columns in sides.items():
            if side == "ask" and signature != "serving_default" and _are_same(columns, asked):
                continue  # the same requests: they are stored once
            for name, values in columns.items():
                flat |= _arrays(f"{signature}/{side}/{name}", values)
    np.savez_compressed(place, tensors=json.dumps(tensors or {}), tolerance=tolerance, **flat)


def _are_same(columns: Mapping[str, Any], others: Mapping[str, Any] | None) -> bool:
    """Tell whether two signatures were asked the very same; a tensor may have the name of a string."""
    return (
        others is not None and columns.keys() == others.keys() and all(columns[key] is others[key] for key in columns)
    )


def verify(folder: str | Path, *, timed: bool = True, c_interface: bool = False) -> Verified:
    """Replay the certificate of an export in a clean process that imports tensorflow, or the format's runtime, alone.

    `export` does so before it says done; do it again where the model is served: on another machine, under another
    version of TensorFlow.

    Args:
        folder: a version that `tltk.export` wrote, or the parent of versions, of which the highest is taken.
        timed: measure latencies too, a hundred calls at batch sizes 1 and 32.
        c_interface: load and call it through TensorFlow's C interface, as TensorFlow Serving does, without any Python
            of TensorFlow's.

    Returns:
        How far its answers are from the trained model's, its size, and how fast it is.

    Raises:
        FileNotFoundError: if there is no SavedModel, it has no certificate, or TensorFlow's library is not found.
        ServingError: a RuntimeError, if it cannot be loaded, its certificate is damaged, or an answer differs: a number
            by more than the export's tolerance (1e-5 of a SavedModel), anything else at all.
    """
    path = _version(Path(folder))
    _check_certificate(path)
    if c_interface and not (path / "saved_model.pb").is_file():
        raise ValueError(f"`c_interface` is of a SavedModel; {path} is none.")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-I", str(_REPLAY), str(path), str(path / FILE), str(_REPEATS if timed else 0)]
    command += [str(_library())] if c_interface else []
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:  # the replay itself tells its errors in its one line
        ended = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise check.ServingError(f"{path}: the clean process that asked it was ended by {ended}.\n{done.stderr[-500:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if "error" in result:
        raise check.ServingError(f"{path} could not be loaded or called in a clean process: {result['error']}")
    problems = check.Problems()
    for signature, outputs in result["signatures"].items():
        for name, value in outputs.items():
            if not value <= result["tolerance"]:
                problems.add(f"`{name}` of {signature} differs: {value:g}")
    if result["imported"]:
        problems.add(f"it needs {check.listing(result['imported'])}, which a server has not")
    problems.raise_if_any(f"{path} does not answer as the trained model did:", error=check.ServingError)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    first = result["first"].get("serving_default") or result["first"]["predict_tensor"]
    return Verified(path, result["signatures"], size, result["load_seconds"], result["latency"], first)


def _check_certificate(path: Path) -> None:
    """Tell a damaged certificate from a damaged model."""
    place = path / FILE
    if not place.is_file():
        raise FileNotFoundError(
            f"{path} has no certificate ({FILE}). It is of another tool or an older tltk: export anew."
        )
    try:
        with zipfile.ZipFile(place) as held:
            whole = held.testzip() is None and {"tensors.npy", "tolerance.npy"} <= set(held.namelist())
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error):
        whole = False
    if not whole:
        raise check.ServingError(f"{place} is damaged, or of an older tltk: export anew.")


def _library() -> Path:
    """Find TensorFlow's shared library without importing TensorFlow."""
    spec = importlib.util.find_spec("tensorflow")
    places = spec.submodule_search_locations if spec and spec.submodule_search_locations else []
    found = [library for place in places for library in sorted(Path(place).glob("*tensorflow_cc*"))]
    if not found:
        raise FileNotFoundError("TensorFlow's C library (libtensorflow_cc) is not in the installed tensorflow package.")
    return found[0]


def _version(folder: Path) -> Path:
    """Return an export's own folder, or the highest version in a parent of versions."""
    if _holds_model(folder):
        return folder
    found = [entry for entry in folder.iterdir() if entry.name.isdecimal()] if folder.is_dir() else []
    versions = [entry for entry in found if _holds_model(entry)]
    if not versions:
        raise FileNotFoundError(f"{folder} holds no exported model and no versions of one.")
    return max(versions, key=lambda entry: int(entry.name))


def _holds_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("saved_model.pb", *FILES))


def _arrays(key: str, values: Any) -> dict[str, np.ndarray]:
    """Write strings as one run of bytes and where each ends: NumPy's own are as wide as the longest, and lose zeros."""
    array = np.asarray(values, object) if isinstance(values, list) else np.asarray(values)
    if array.dtype.kind not in "OS":
        return {key: array}
    held = [bytes(value) for value in array.ravel()]
    ends = np.cumsum([len(value) for value in held], dtype=np.int64).reshape(array.shape)
    return {key: np.frombuffer(b"".join(held), np.uint8), f"{key}:ends": ends}
