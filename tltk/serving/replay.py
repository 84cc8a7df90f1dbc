"""Replay stored requests on a SavedModel in a process that imports tensorflow alone, and compare the answers.

Run as a file, never imported: `python replay.py SAVED_MODEL EXAMPLES.npz`. It prints one JSON object.
"""

import json
import sys


def main(saved_model: str, examples: str) -> None:
    """Load, call, compare; print the largest difference of each output, or how many differ where it is no number."""
    import numpy as np
    import tensorflow as tf

    stored = np.load(examples, allow_pickle=False)
    signature = tf.saved_model.load(saved_model).signatures["serving_default"]
    asked = {name.removeprefix("ask."): stored[name] for name in stored.files if name.startswith("ask.")}
    answers = signature(**{name: tf.constant(list(map(bytes.fromhex, column))) for name, column in asked.items()})
    differences = {}
    for name, value in answers.items():
        expected, found = stored[f"answer.{name}"], value.numpy()
        if found.shape != expected.shape:
            differences[name] = float("inf")
        elif found.dtype.kind == "f":
            differences[name] = float(np.abs(found - expected).max(initial=0.0))
        else:
            same = [bytes(each).hex() for each in found.ravel()] if found.dtype.kind == "O" else found.ravel()
            differences[name] = float(np.sum(np.asarray(same) != expected.ravel()))
    first = {name: _plain(value.numpy()[:1].tolist()) for name, value in answers.items()}
    # TensorFlow imports keras by itself; tltk and KerasHub must not be needed.
    foreign = sorted(name for name in ("tltk", "keras_hub") if name in sys.modules)
    sys.stdout.write(json.dumps({"differences": differences, "first": first, "imported": foreign}) + "\n")


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


if __name__ == "__main__":
    main(*sys.argv[1:])
