"""Replay stored requests on a SavedModel in a process that imports tensorflow alone, and compare the answers.

Run as a file, never imported: `python replay.py SAVED_MODEL CERTIFICATE.npz [REPEATS [LIBRARY]]`. With LIBRARY, the
path of TensorFlow's shared library, the SavedModel is loaded and called through its C interface, and no Python of
TensorFlow's is imported at all. It prints one JSON object.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

Call: TypeAlias = Callable[[str, dict[str, Any]], dict[str, np.ndarray]]


def main(saved_model: str, certificate: str, repeats: str = "0", library: str = "") -> None:
    """Load, call, compare; print the largest difference of each output, or how many differ where it is no number."""
    stored = np.load(certificate, allow_pickle=False)
    file = next((entry for entry in Path(saved_model).iterdir() if entry.suffix in (".onnx", ".tflite", ".xml")), None)
    if not library and file is None:
        import tensorflow  # noqa: F401 - its own loading is not the model's
    begun = time.perf_counter()
    if file is not None:
        call = _through_runtime(file)
    else:
        call = _through_c(library, saved_model, stored) if library else _through_python(saved_model)
    result: dict[str, Any] = {"load_seconds": time.perf_counter() - begun, "signatures": {}, "first": {}}
    result["tolerance"] = float(stored["tolerance"])
    for name in sorted({key.split("/")[0] for key in stored.files if "/" in key}):
        answers = call(name, _columns(stored, f"{name}/ask/") or _columns(stored, "serving_default/ask/"))
        expected = _columns(stored, f"{name}/answer/")
        result["signatures"][name] = {key: _difference(answers.get(key), value) for key, value in expected.items()}
        result["first"][name] = {key: _plain(value[:1].tolist()) for key, value in answers.items()}
    timed = min(result["signatures"], key=lambda name: (name != "serving_default", name))
    asked = _columns(stored, f"{timed}/ask/")
    result["latency"] = {
        str(size): _latency(call, timed, asked, size, int(repeats)) for size in (1, 32) if int(repeats)
    }
    # TensorFlow imports keras by itself; tltk and KerasHub must not be needed, and of the C interface not TensorFlow.
    unwanted = ("tltk", "keras_hub", *(("tensorflow",) if library or file else ()))
    result["imported"] = sorted(name for name in unwanted if name in sys.modules)
    sys.stdout.write(json.dumps(result) + "\n")


def _through_c(library: str, saved_model: str, stored: Any) -> Call:
    sys.path.append(str(Path(__file__).parent))  # behind everything else, so that it hides nothing
    load: Callable[..., Call] = importlib.import_module("c_interface").load
    return load(library, saved_model, json.loads(str(stored["tensors"])))


def _through_runtime(file: Path) -> Call:
    sys.path.append(str(Path(__file__).parent))
    run = importlib.import_module("runtimes").load(str(file))

    def call(name: str, columns: dict[str, Any]) -> dict[str, np.ndarray]:
        (tensor,) = columns.values()
        return {"outputs": run(np.asarray(tensor))}

    return call


def _through_python(saved_model: str) -> Call:
    import tensorflow as tf

    signatures = tf.saved_model.load(saved_model).signatures

    def call(name: str, columns: dict[str, Any]) -> dict[str, np.ndarray]:
        answers = signatures[name](**{key: tf.constant(column) for key, column in columns.items()})
        return {key: value.numpy() for key, value in answers.items()}

    return call


def _columns(stored: Any, before: str) -> dict[str, Any]:
    names = [key for key in stored.files if key.startswith(before) and not key.endswith(":ends")]
    return {key.removeprefix(before): _column(stored, key) for key in names}


def _column(stored: Any, key: str) -> np.ndarray:
    """Read numbers as they are; strings are one run of bytes, and where each of them ends in it."""
    if f"{key}:ends" not in stored.files:
        return np.asarray(stored[key])
    ends, data = stored[f"{key}:ends"], stored[key].tobytes()
    found = np.empty(ends.size, object)
    found[:] = [data[start:stop] for start, stop in zip([0, *ends.ravel()[:-1]], ends.ravel(), strict=True)][
        : ends.size
    ]
    return found.reshape(ends.shape)


def _difference(found: np.ndarray | None, expected: np.ndarray) -> float:
    if found is None or found.shape != expected.shape:
        return float("inf")
    if found.dtype.kind == "f":
        return float((np.abs(found - expected) / np.maximum(1.0, np.abs(expected))).max(initial=0.0))
    return float(np.sum(found.ravel() != expected.ravel()))


def _latency(call: Call, name: str, asked: dict[str, Any], size: int, repeats: int) -> dict[str, float]:
    """Measure milliseconds a call at one batch size, requests in turn."""
    seconds = []
    for number in range(repeats + 2):
        batch = {
            key: column[[(number * size + place) % len(column) for place in range(size)]]
            for key, column in asked.items()
        }
        begun = time.perf_counter()
        call(name, batch)
        seconds.append(time.perf_counter() - begun)
    middle, most = np.percentile(seconds[2:], [50, 99])  # the first two trace and warm up
    return {"p50_ms": 1000 * float(middle), "p99_ms": 1000 * float(most)}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:  # noqa: BLE001 - whatever it is, the other process shall tell it in a line
        first = (str(error).strip().splitlines() or [""])[0]
        sys.stdout.write(json.dumps({"error": f"{type(error).__name__}: {first}"}) + "\n")
