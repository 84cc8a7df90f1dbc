"""Latency of `tltk.predict` for one image, compared with `predict_on_batch` of the same Keras model.

    python examples/benchmarks/predict_latency.py           # one line of JSON

A run is saved and loaded; then both calls alternate in one process on the same pixels, and the medians are compared.
The first call of each traces its graph and is reported separately. `file` is `tltk.predict` of the path of a PNG, which
also validates and decodes the file; `embed` is `tltk.embed` of the same pixels.

MobileNetV2 with random weights at 224 px on two cores, `--calls 50`, machine not idle: see docs/evaluate.md.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

import tltk
from tltk.cli import console


def main() -> None:
    """Read the command line, measure, print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="mobilenet_v2", help="name from `tltk backbones`")
    parser.add_argument("--image-size", type=int, default=224, help="side in pixels")
    parser.add_argument("--calls", type=int, default=50, help="calls of each kind; the medians are reported")
    options = parser.parse_args()
    with console.command(as_json=True):
        console.start_tensorflow()
        print(json.dumps(measure(options)))


def measure(options: argparse.Namespace) -> dict:
    """Time each kind of call in alternation.

    Args:
        options: Backbone, image size, number of calls.

    Returns:
        Milliseconds of the first call and the median of the later ones, kind → value, and the ratio of tltk to Keras.
    """
    backbone = tltk.backbone(options.backbone, weights="random", image_size=options.image_size)
    pixels = np.random.default_rng(0).integers(0, 255, (1, *backbone.input_spec.shape)).astype("uint8")
    with tempfile.TemporaryDirectory() as folder:
        model = tltk.assemble(backbone, tltk.classification(["cat", "dog"]), precision="float32")
        run = tltk.load_run(str(tltk.Run(model).save(Path(folder) / "run").folder))
        path = Path(folder) / "image.png"
        Image.fromarray(pixels[0]).save(path)
        network, floats = run.model.keras, pixels.astype("float32")
        calls: dict[str, Callable[[], object]] = {
            "keras": lambda: network.predict_on_batch(floats),
            "tltk": lambda: tltk.predict(run, pixels),
            "file": lambda: tltk.predict(run, path),
            "embed": lambda: tltk.embed(run, pixels),
        }
        first = {kind: milliseconds(call) for kind, call in calls.items()}
        rounds = [{kind: milliseconds(call) for kind, call in calls.items()} for _ in range(options.calls)]
    medians = {kind: statistics.median(times[kind] for times in rounds) for kind in calls}
    return {
        "backbone": options.backbone,
        "image_size": options.image_size,
        "calls": options.calls,
        "first_ms": {kind: round(value) for kind, value in first.items()},
        "median_ms": {kind: round(value, 2) for kind, value in medians.items()},
        "ratio": round(medians["tltk"] / medians["keras"], 2),
    }


def milliseconds(call: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()
