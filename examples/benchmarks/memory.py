"""Resident memory of repeated predictions and trainings, each on new arrays, compared with plain Keras.

    python examples/benchmarks/memory.py                    # one line of JSON

Each kind of call runs in a process of its own: `predict` 200 times on 64 images, `fit` 5 times on 256 images with the
same model. Reported are megabytes after the second call, after the last one, and the growth between them. TensorFlow
keeps a graph for each new function, and Keras traces `fit` anew whenever a model is compiled, so that some growth is
expected of plain Keras too.
"""

import argparse
import gc
import json
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import psutil

import tltk
from tltk.cli import console

KINDS = ("tltk predict", "keras predict", "tltk fit", "keras fit")
SIZE, CLASSES = 64, 3


def main() -> None:
    """Read the command line, measure each kind in a new process, print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predict-calls", type=int, default=200)
    parser.add_argument("--fit-calls", type=int, default=5)
    parser.add_argument("--kind", choices=KINDS, help="measure only this kind, in this process")
    options = parser.parse_args()
    with console.command(as_json=True):
        if options.kind:
            console.start_tensorflow()
            times = options.predict_calls if "predict" in options.kind else options.fit_calls
            print(json.dumps(growth(call_of(options.kind), times)))
            return
        results = {kind: in_new_process(kind, options) for kind in KINDS}
        calls = {"predict": options.predict_calls, "fit": options.fit_calls}
        print(json.dumps({"calls": calls, "megabytes": results}))


def in_new_process(kind: str, options: argparse.Namespace) -> dict:
    """Measure one kind of call in a new process."""
    counts = ["--predict-calls", str(options.predict_calls), "--fit-calls", str(options.fit_calls)]
    command = [sys.executable, __file__, "--kind", kind, *counts]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def growth(call: Callable[[int], object], times: int) -> dict:
    """Call a function and measure the resident memory.

    Args:
        call: Takes the number of the call, as the seed of its data.
        times: Number of calls, at least 3.

    Returns:
        Megabytes after the second and after the last call, and the growth between them as a fraction.
    """
    process, megabytes = psutil.Process(), []
    for number in range(times):
        call(number)
        gc.collect()
        megabytes.append(process.memory_info().rss / 1e6)
    second, last = megabytes[1], megabytes[-1]
    return {"after_second": round(second), "after_last": round(last), "growth": round(last / second - 1, 3)}


def call_of(kind: str) -> Callable[[int], object]:
    """Build the model, and return the function to call."""
    labels = tuple(f"class {number}" for number in range(CLASSES))
    backbone = tltk.backbone("mobilenet_v2", weights="random", image_size=SIZE)
    model = tltk.assemble(backbone, tltk.classification(labels), precision="float32")
    recipe = tltk.fine_tune(epochs=1, probe_epochs=1)

    def images(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng(seed)
        return generator.integers(0, 255, (count, SIZE, SIZE, 3)).astype("uint8"), np.arange(count) % CLASSES

    def fit_keras(seed: int) -> None:
        x, y = images(seed, 256)
        model.keras.compile("adam", "sparse_categorical_crossentropy")
        model.keras.fit(x.astype("float32"), y, epochs=2, verbose=0)

    return {
        "tltk predict": lambda seed: tltk.predict(model, images(seed, 64)[0]),
        "keras predict": lambda seed: model.keras.predict(images(seed, 64)[0].astype("float32"), verbose=0),
        "tltk fit": lambda seed: tltk.fit(model, tltk.from_arrays(*images(seed, 256), labels=labels), recipe=recipe),
        "keras fit": fit_keras,
    }[kind]


if __name__ == "__main__":
    main()
