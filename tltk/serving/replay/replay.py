"""Replays the stored requests of an export in a clean process, and compares the outputs with the stored ones.

Run as a file, never imported: `python replay.py EXPORT CERTIFICATE.npz [REPEATS [LIBRARY]]`. Nothing but NumPy and
TensorFlow, or the runtime of the format, is imported. With LIBRARY, the path of TensorFlow's shared library, a
SavedModel is loaded and called through TensorFlow's C interface, without any Python code of TensorFlow. The result is
printed as one JSON object.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

Call: TypeAlias = Callable[[str, dict[str, Any]], dict[str, np.ndarray]]  # signature, inputs → outputs


def main(export_folder: str, certificate: str, repeats: str = "0", library: str = "") -> None:
    """Load an export, run the stored requests, and print the differences from the stored outputs.

    Args:
        export_folder: Folder of the export.
        certificate: Path of the certificate.
        repeats: Number of timed calls for each batch size; "0" measures no latencies.
        library: Path of TensorFlow's shared library, to use its C interface.
    """
    stored = np.load(certificate, allow_pickle=False)
    suffixes = (".onnx", ".tflite", ".xml")
    file = next((entry for entry in Path(export_folder).iterdir() if entry.suffix in suffixes), None)
    if not library and file is None:
        # TensorFlow imports Keras 3 and, with it, scikit-learn and Matplotlib. A SavedModel needs none of them.
        os.environ["TF_USE_LEGACY_KERAS"] = "1"
        import tensorflow  # noqa: F401 - its import must not count as load time of the model
    start = time.perf_counter()
    if file is not None:
        call = _load_with_runtime(file)
    elif library:
        call = _load_with_c_interface(library, export_folder, stored)
    else:
        call = _load_with_tensorflow(export_folder)
    result: dict[str, Any] = {"load_seconds": time.perf_counter() - start, "signatures": {}, "first": {}}
    result["tolerance"] = float(stored["tolerance"])
    result["tolerances"] = json.loads(str(stored["tolerances"])) if "tolerances" in stored.files else {}
    for name in sorted({key.split("/")[0] for key in stored.files if "/" in key}):
        outputs = call(name, _columns(stored, f"{name}/inputs/") or _columns(stored, "serving_default/inputs/"))
        expected = _columns(stored, f"{name}/outputs/")
        if file is not None and [*expected] == ["outputs"] and "outputs" not in outputs:
            outputs = {"outputs": next(iter(outputs.values()))}  # certificates of files whose one output had no name
        result["signatures"][name] = {key: _difference(outputs.get(key), value) for key, value in expected.items()}
        result["first"][name] = {key: _to_json(value[:1].tolist()) for key, value in outputs.items()}
    timed_signature = min(result["signatures"], key=lambda name: (name != "serving_default", name))
    inputs = _columns(stored, f"{timed_signature}/inputs/")
    result["latency"] = {
        str(size): _latency(call, timed_signature, inputs, size, int(repeats)) for size in (1, 32) if int(repeats)
    }
    # The C interface and the other runtimes must work without TensorFlow.
    unwanted = ("tltk", "keras_hub", *(("tensorflow",) if library or file else ()))
    result["imported"] = sorted(name for name in unwanted if name in sys.modules)
    sys.stdout.write(json.dumps(result) + "\n")


def _load_with_c_interface(library: str, saved_model: str, stored: Any) -> Call:
    sys.path.append(str(Path(__file__).parent))  # at the end, so that its modules shadow no others
    load: Callable[..., Call] = importlib.import_module("c_interface").load
    return load(library, saved_model, json.loads(str(stored["tensors"])))


def _load_with_runtime(file: Path) -> Call:
    sys.path.append(str(Path(__file__).parent))
    run = importlib.import_module("runtimes").load(str(file))

    def call(name: str, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
        (tensor,) = inputs.values()
        outputs: dict[str, np.ndarray] = run(np.asarray(tensor))
        return outputs

    return call


def _load_with_tensorflow(saved_model: str) -> Call:
    import tensorflow as tf

    signatures = tf.saved_model.load(saved_model).signatures

    def call(name: str, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
        outputs = signatures[name](**{key: tf.constant(column) for key, column in inputs.items()})
        return {key: value.numpy() for key, value in outputs.items()}

    return call


def _columns(stored: Any, prefix: str) -> dict[str, Any]:
    """Return the arrays whose keys start with a prefix, under the rest of their keys."""
    keys = [key for key in stored.files if key.startswith(prefix) and not key.endswith(":ends")]
    return {key.removeprefix(prefix): _column(stored, key) for key in keys}


def _column(stored: Any, key: str) -> np.ndarray:
    """Read one array; strings are stored as one array of bytes and one of end offsets."""
    if f"{key}:ends" not in stored.files:
        return np.asarray(stored[key])
    ends, data = stored[f"{key}:ends"], stored[key].tobytes()
    strings = np.empty(ends.size, object)
    starts = [0, *ends.ravel()][: ends.size]
    strings[:] = [data[start:end] for start, end in zip(starts, ends.ravel(), strict=True)]
    return strings.reshape(ends.shape)


def _difference(output: np.ndarray | None, expected: np.ndarray) -> float:
    """Return the largest difference of floats, relative where the expected value is above 1; else count mismatches."""
    if output is None or output.shape != expected.shape:
        return float("inf")
    if output.dtype.kind == "f":
        return float((np.abs(output - expected) / np.maximum(1.0, np.abs(expected))).max(initial=0.0))
    return float(np.sum(output.ravel() != expected.ravel()))


def _latency(call: Call, name: str, inputs: dict[str, Any], size: int, repeats: int) -> dict[str, float]:
    """Return percentiles of the milliseconds of a call at one batch size, cycling through the requests."""
    seconds = []
    for step in range(repeats + 2):
        batch = {
            key: column[[(step * size + offset) % len(column) for offset in range(size)]]
            for key, column in inputs.items()
        }
        start = time.perf_counter()
        call(name, batch)
        seconds.append(time.perf_counter() - start)
    p50, p99 = np.percentile(seconds[2:], [50, 99])  # the first two calls trace graphs and allocate memory
    return {"p50_ms": 1000 * float(p50), "p99_ms": 1000 * float(p99)}


def _to_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_to_json(item) for item in value]
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:  # noqa: BLE001 - every error must reach the parent process as JSON
        message = (str(error).strip().splitlines() or [""])[0]
        sys.stdout.write(json.dumps({"error": f"{type(error).__name__}: {message}"}) + "\n")
