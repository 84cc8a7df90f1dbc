"""Replay stored requests on a SavedModel in a process that imports tensorflow alone, and compare the answers.

Run as a file, never imported: `python replay.py SAVED_MODEL EXAMPLES.npz`. It prints one JSON object.
"""

import json
import sys


def main(saved_model: str, examples: str) -> None:
    """Load, call, compare; print the largest difference of each output."""
    import numpy as np
    import tensorflow as tf

    stored = np.load(examples, allow_pickle=False)
    signature = tf.saved_model.load(saved_model).signatures["serving_default"]
    requests = [bytes.fromhex(request) for request in stored["requests"].tolist()]
    answers = signature(tf.constant(requests))
    compared = [name for name in stored.files if name != "requests"]
    differences = {name: float(np.abs(answers[name].numpy() - stored[name]).max(initial=0.0)) for name in compared}
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
