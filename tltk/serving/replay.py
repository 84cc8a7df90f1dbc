"""Replay stored requests on a SavedModel in a process that imports tensorflow alone, and compare the answers.

Run as a file, never imported: `python replay.py SAVED_MODEL CERTIFICATE.npz [REPEATS]`. It prints one JSON object.
"""

import json
import sys
import time
from typing import Any


def main(saved_model: str, certificate: str, repeats: str = "0") -> None:
    """Load, call, compare; print the largest difference of each output, or how many differ where it is no number."""
    import numpy as np
    import tensorflow as tf

    stored = np.load(certificate, allow_pickle=False)
    begun = time.perf_counter()
    signatures = tf.saved_model.load(saved_model).signatures
    result: dict[str, Any] = {"load_seconds": time.perf_counter() - begun, "signatures": {}, "first": {}}
    for name in sorted({key.split("/")[0] for key in stored.files}):
        asked = _columns(stored, f"{name}/ask/")
        answers = signatures[name](**{key: tf.constant(column) for key, column in asked.items()})
        found = {key: _difference(value.numpy(), stored[f"{name}/answer/{key}"]) for key, value in answers.items()}
        result["signatures"][name] = found
        result["first"][name] = {key: _plain(value.numpy()[:1].tolist()) for key, value in answers.items()}
    asked = _columns(stored, "serving_default/ask/")
    serve = signatures["serving_default"]
    result["latency"] = {str(size): _latency(serve, asked, size, int(repeats)) for size in (1, 32) if int(repeats)}
    # TensorFlow imports keras by itself; tltk and KerasHub must not be needed.
    result["imported"] = sorted(name for name in ("tltk", "keras_hub") if name in sys.modules)
    sys.stdout.write(json.dumps(result) + "\n")


def _columns(stored: Any, before: str) -> dict[str, Any]:
    columns = {key.removeprefix(before): stored[key] for key in stored.files if key.startswith(before)}
    # Strings are kept in hexadecimal digits: NumPy's files keep no bytes that end in zeros.
    return {key: list(map(bytes.fromhex, each)) if each.dtype.kind == "U" else each for key, each in columns.items()}


def _difference(found: Any, expected: Any) -> float:
    import numpy as np

    if found.shape != expected.shape:
        return float("inf")
    if found.dtype.kind == "f":
        return float(np.abs(found - expected).max(initial=0.0))
    same = [bytes(each).hex() for each in found.ravel()] if found.dtype.kind == "O" else found.ravel()
    return float(np.sum(np.asarray(same) != expected.ravel()))


def _latency(serve: Any, asked: dict[str, Any], size: int, repeats: int) -> dict[str, float]:
    """Measure seconds a call at one batch size, requests in turn."""
    import numpy as np
    import tensorflow as tf

    seconds = []
    for number in range(repeats + 2):
        batch = {
            key: tf.constant([column[(number * size + place) % len(column)] for place in range(size)])
            for key, column in asked.items()
        }
        begun = time.perf_counter()
        for value in serve(**batch).values():
            value.numpy()
        seconds.append(time.perf_counter() - begun)
    middle, most = np.percentile(seconds[2:], [50, 99])  # the first two trace and warm up
    return {"p50_ms": 1000 * float(middle), "p99_ms": 1000 * float(most)}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


if __name__ == "__main__":
    main(*sys.argv[1:])
